"""What a transfer between two memories moves and costs: bytes, accesses, port time, copies for the cores."""

from __future__ import annotations

import math
from fractions import Fraction

from einsim.accel.machine import Machine
from einsim.dataflow.clock import NOC, Clock, bus_name
from einsim.dataflow.cores import copied
from einsim.dataflow.footprint import Use, access_of, relevant_ranks, runs, steps, union_bytes
from einsim.dataflow.held import points_below
from einsim.dataflow.layout import Layout, users
from einsim.dataflow.mask import Box, mask_of
from einsim.dataflow.program import READ, WRITE, Action, Cost, MemoryAccess, Stream
from einsim.dataflow.waits import DraftOp
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.sparsity import dense_bytes


def apart_of(einsum: Einsum) -> set[str]:
    """Ranks of tensors that an Einsum reads at indices which move apart, so that it depends on the place of a
    tile what of them two reads share.
    """
    found = set()
    for tensor in {access.tensor for access in einsum.reads}:
        accesses = [access for access in einsum.reads if access.tensor == tensor]
        if len({tuple(index.terms for index in access.indices) for access in accesses}) > 1:
            found |= {rank for access in accesses for rank in access.ranks}
    return found


def uses_of(draft: DraftOp, cascade: Cascade, tile: Box) -> tuple[Use, ...]:
    """Everything that the leaves which a transfer serves touch of its tensor in one tile."""
    found = []
    for leaf in draft.served:
        einsum = cascade.einsum(leaf.node.einsum)
        box = {rank: tile[rank] for rank in einsum.ranks}
        mask = mask_of(cascade, einsum.ranks) if cascade.bounds else None
        accesses = (einsum.output,) if einsum.name == draft.subject else einsum.reads
        found += [Use(access, box, mask or None) for access in accesses if access.tensor == draft.subject]
    return tuple(found)


def ends_of(machine: Machine, draft: DraftOp) -> tuple[str, str]:
    """Memory (or unit) that a transfer reads from and writes to."""
    assert draft.home is not None
    homes = draft.leaf.homes[draft.subject]
    at = homes.index(draft.home)
    outer = homes[at - 1].memory if at else machine.dram.name
    inner = draft.home.memory
    return (outer, inner) if draft.kind == "load" else (inner, outer)


def transfer_cost(
    draft: DraftOp,
    layout: Layout,
    cascade: Cascade,
    machine: Machine,
    clock: Clock,
    tile: Box,
    private: bool,
    begun: int | None = None,
) -> Cost:
    """A load's or store's own ticks, the ports it streams through, its accesses; `private` where each core
    takes bytes of its own; of partial results that come back, where bounds let only some be `begun`.
    """
    assert draft.home is not None
    of = access_of(cascade.einsum(draft.leaf.node.einsum), draft.subject)
    size = (
        union_bytes(cascade, machine, draft.subject, uses_of(draft, cascade, tile))
        if begun is None
        else dense_bytes(cascade.tensor(draft.subject), begun)
    )
    run, pitch = runs(cascade, machine, of, {rank: extent for rank, (_, extent) in tile.items()})
    ahead = steps(cascade, machine, of)
    source, target = ends_of(machine, draft)
    accesses = []
    actions = {}
    bits = max(1, cascade.tensor(draft.subject).bits)
    every = _copies(draft, layout, cascade, machine, tile)
    for name, reads in ((source, True), (target, False)):
        if any(unit.name == name for unit in machine.units):
            values = math.ceil(-(-size * 8 // bits) * every)
            actions[Action(name, "register", READ if reads else WRITE)] = values
            continue
        inside = machine.memory(name).copies > 1
        moved = math.ceil(size * every) if inside or not machine.multicast else size
        accesses.append(
            MemoryAccess(
                memory=name,
                tensor=draft.subject,
                read_bytes=moved if reads else 0,
                write_bytes=0 if reads else moved,
                run_bytes=run,
                pitch_bytes=pitch,
                steps=ahead,
            )
        )
    outer = target if draft.kind == "store" else source
    own = setup = 0
    streams = []
    for access in accesses:
        for stream in clock.transfer(access):
            if access.memory == outer:
                own += stream.ticks
            else:
                streams.append(stream)
    if all(unit.name != draft.home.memory for unit in machine.units):
        filled = machine.memory(draft.home.memory)
        descriptor = filled.descriptor_cycles * clock.ticks_per_cycle
        setup, own = (descriptor, own) if filled.dma_engines else (0, own + descriptor)
        if filled.bus:
            streams.append(Stream(port=bus_name(filled), ticks=size * clock.byte_ticks[bus_name(filled)]))
        if machine.noc and filled.name in machine.near:
            cores = machine.unit(draft.leaf.node.unit).dims.get("cores", 1)
            times = 1 if private or machine.noc.multicast else cores
            streams.append(Stream(port=NOC, ticks=size * times * clock.byte_ticks[NOC]))
    return Cost(
        ticks=own, streams=tuple(streams), accesses=tuple(accesses), actions=actions, setup_ticks=setup
    )


def _copies(draft: DraftOp, layout: Layout, cascade: Cascade, machine: Machine, tile: Box) -> Fraction:
    """Cores that take the same bytes into their own memory or registers; 1 for a memory that they share."""
    home = draft.home
    assert home is not None
    units = {unit.name for unit in machine.units}
    if home.memory in units:
        if machine.multicast:
            return Fraction(1)
    elif machine.memory(home.memory).copies == 1:
        return Fraction(1)
    found = Fraction(1)
    for leaf in users(cascade, layout, home):
        moved = relevant_ranks(cascade, access_of(cascade.einsum(leaf.node.einsum), home.tensor))
        extents = points_below(layout, cascade, leaf.path)
        shared = set(draft.path) & set(leaf.path)
        here = {rank for loop in shared for rank in layout.loops[loop].ranks}
        extents.update({rank: extent for rank, (_, extent) in tile.items() if rank in here})
        found = max(found, copied(machine.unit(leaf.node.unit), leaf.node, moved, extents))
    return found
