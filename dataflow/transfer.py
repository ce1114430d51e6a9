"""What a transfer between two memories moves and costs: bytes, accesses, port time, copies for the cores."""

from __future__ import annotations

from einsim.accel.machine import Machine
from einsim.dataflow.clock import NOC, Clock, bus_name
from einsim.dataflow.cores import cores_of
from einsim.dataflow.crossing import moved, takers
from einsim.dataflow.draft import DraftOp
from einsim.dataflow.footprint import runs, steps
from einsim.dataflow.layout import Layout
from einsim.dataflow.leaf import merging
from einsim.dataflow.mask import Box
from einsim.dataflow.program import READ, WRITE, Action, MemoryAccess
from einsim.dataflow.volume import MACHINE, PortWork, Volume
from einsim.workloads.cascade import Cascade


def ends_of(machine: Machine, draft: DraftOp) -> tuple[str, str]:
    """Memory (or unit) that a transfer reads from and writes to."""
    assert draft.home is not None
    homes = draft.leaf.homes[draft.subject]
    at = homes.index(draft.home)
    outer = homes[at - 1].memory if at else machine.dram.name
    inner = draft.home.memory
    return (outer, inner) if draft.kind == "load" else (inner, outer)


def transfer_volume(
    draft: DraftOp, layout: Layout, cascade: Cascade, machine: Machine, clock: Clock, tile: Box,
    begun: int | None, partial: int | None,
) -> Volume:  # fmt: skip
    """A load's or store's own work, the ports it streams through, its accesses. Of so many results that it
    brings back or adds to earlier tiles have `begun` sums, so many that it stores are `partial`; None: all.
    """
    assert draft.home is not None
    _, of = draft.moves[0]
    source, target = ends_of(machine, draft)
    outer = target if draft.kind == "store" else source
    move = moved(cascade, machine, layout, draft, tile, outer, begun, partial)
    size, sent = move.outer, move.sent
    run, pitch = runs(cascade, machine, of, {rank: extent for rank, (_, extent) in tile.items()})
    ahead = steps(cascade, machine, of)
    accesses = []
    actions = {}
    for name, reads in ((source, True), (target, False)):
        moves = size if name == outer else move.inner
        if any(unit.name == name for unit in machine.units):
            actions[Action(name, "register", READ if reads else WRITE)] = moves
            continue
        accesses.append(
            MemoryAccess(
                memory=name,
                tensor=draft.subject,
                read_bytes=moves if reads else move.back,
                write_bytes=0 if reads else moves,
                run_bytes=run,
                pitch_bytes=pitch,
                steps=ahead,
            )
        )
    if move.added:
        einsum = cascade.einsum(draft.subject)
        actions[merging(machine.unit(draft.leaf.node.unit), einsum)] = move.added
    engine = clock.port(machine.memory(outer), draft.subject, draft.kind == "load")
    own: list[tuple[str, int]] = []
    setup = 0
    streams: list[PortWork] = []
    for access in accesses:
        for work in clock.passing(access):
            if access.memory == outer and work.port == engine:
                own.append((work.rate, work.amount))
            else:
                streams.append(work)
    if all(unit.name != draft.home.memory for unit in machine.units):
        filled = machine.memory(draft.home.memory)
        setup = filled.descriptor_cycles if filled.dma_engines else 0
        if filled.descriptor_cycles and not setup:
            own.append((MACHINE, filled.descriptor_cycles))
        if filled.bus:
            streams.append(PortWork(bus_name(filled), bus_name(filled), size))
        if machine.noc and filled.name in machine.near:
            carried = size
            if not machine.noc.multicast:
                apart = cores_of(machine, filled.name) > 1
                carried = sent if apart else size * takers(cascade, machine, draft, tile)
            streams.append(PortWork(NOC, NOC, carried))
    return Volume(
        own=tuple(own), streams=tuple(streams), accesses=tuple(accesses), actions=actions, setup_cycles=setup,
        rounded=move.rounded,
    )  # fmt: skip
