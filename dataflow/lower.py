"""Lowering: a mapping becomes a tile program of loads, stores and computes with bytes, ticks and waits."""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingType

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.clock import NOC, Clock, bus_name, port_name
from einsim.dataflow.cores import wanting
from einsim.dataflow.footprint import access_of, relevant_ranks, runs, steps, tile_bytes
from einsim.dataflow.held import held_bytes, points_below
from einsim.dataflow.iteration import Path
from einsim.dataflow.layout import Home, Layout, Leaf, lay_out, relevant_loops
from einsim.dataflow.leaf import Residence, latency_cycles, leaf_cost
from einsim.dataflow.mapping import Compute, Keep, Loop, Mapping, Node, Sequence
from einsim.dataflow.mapping_text import mapping_text
from einsim.dataflow.program import Cost, Engine, MemoryAccess, Op, Program, ScheduleNode, Stream
from einsim.dataflow.remarks import remarks
from einsim.dataflow.turns import taking_turns
from einsim.dataflow.waits import DraftOp, add_waits
from einsim.workloads.cascade import Cascade


def lower(mapping: Mapping, cascade: Cascade, machine: Machine) -> Program:
    """Lower a legal mapping; whether it is one is for `einsim.dataflow.legality.check` to say."""
    layout = lay_out(mapping, cascade)
    clock = Clock(machine, tuple(tensor.name for tensor in cascade.tensors))
    drafts = _computes(layout)
    for home, _ in layout.homes:
        drafts.extend(_transfers(cascade, machine, layout, home))
    drafts.sort(key=lambda draft: (draft.place, {"load": 0, "compute": 1, "store": 2}[draft.kind]))
    waits = add_waits(cascade, layout, drafts)
    sizes = cascade.sizes
    ops = tuple(
        _op(number, draft, waits[number], layout, cascade, machine, clock, sizes)
        for number, draft in enumerate(drafts)
    )
    ops = taking_turns(ops, machine)
    return Program(
        workload=cascade.name,
        accel=machine.name,
        mapping=mapping_text(mapping),
        clock_hz=machine.clock_hz,
        ticks_per_cycle=clock.ticks_per_cycle,
        sizes=sizes,
        loops=layout.loops,
        ops=ops,
        engines=_engines(machine, ops),
        shape=_shape(mapping.tree, (), drafts),
        buffers=held_bytes(mapping, layout, cascade, machine),
        notes=(*mapping.notes, *remarks(mapping, cascade, machine)),
        macs=cascade.macs,
        dma={f"dma {memory.name}": memory.dma_engines for memory in machine.memories if memory.dma_engines},
    )


def _computes(layout: Layout) -> list[DraftOp]:
    return [
        DraftOp(
            kind="compute", subject=leaf.node.einsum, leaf=leaf, place=leaf.place, path=leaf.path, when={}
        )
        for leaf in layout.leaves
    ]


def _transfers(cascade: Cascade, machine: Machine, layout: Layout, home: Home) -> list[DraftOp]:
    """The load that fills a home and the store that empties it, where data crosses its border."""
    if home.memory == machine.dram.name:
        return []
    tensor = home.tensor
    here = layout.under(home.place)
    nearest = [leaf for leaf in here if home in leaf.homes.get(tensor, ())]
    producer = next((leaf for leaf in nearest if leaf.node.einsum == tensor), None)
    readers = [leaf for leaf in nearest if leaf.node.einsum != tensor and _reads(cascade, leaf, tensor)]
    made: list[DraftOp] = []
    if producer is None and readers:
        path, when = _chunk(cascade, layout, readers[0], tensor, home, "first")
        made.append(
            DraftOp(
                kind="load",
                subject=tensor,
                leaf=readers[0],
                place=readers[0].place,
                path=path,
                when=when,
                home=home,
            )
        )
    if producer is not None:
        inside = {leaf.place for leaf in here}
        used_outside = any(
            leaf.place not in inside and _reads(cascade, leaf, tensor) for leaf in layout.leaves
        )
        if used_outside or cascade.is_output(tensor):
            path, when = _chunk(cascade, layout, producer, tensor, home, "last")
            made.append(
                DraftOp(
                    kind="store",
                    subject=tensor,
                    leaf=producer,
                    place=producer.place,
                    path=path,
                    when=when,
                    home=home,
                )
            )
    return made


def _reads(cascade: Cascade, leaf: Leaf, tensor: str) -> bool:
    return any(access.tensor == tensor for access in cascade.einsum(leaf.node.einsum).reads)


def _chunk(
    cascade: Cascade, layout: Layout, leaf: Leaf, tensor: str, home: Home, end: str
) -> tuple[tuple[int, ...], dict[int, str]]:
    """Path of a transfer: the loops above the home, and below it those that move the leaf's tile.

    The others below are pinned to their first (load) or last (store) iteration, or dropped at the end.
    """
    below = list(relevant_loops(cascade, layout.loops, leaf, tensor, home.depth))
    while below and not below[-1][1]:
        below.pop()
    path = leaf.path[: home.depth] + tuple(loop for loop, _ in below)
    return path, {loop: end for loop, relevant in below if not relevant}


def _op(
    number: int,
    draft: DraftOp,
    waits: tuple[object, ...],
    layout: Layout,
    cascade: Cascade,
    machine: Machine,
    clock: Clock,
    sizes: MappingType[str, int],
) -> Op:
    einsum = cascade.einsum(draft.leaf.node.einsum)
    ranks = einsum.ranks if draft.kind == "compute" else access_of(einsum, draft.subject).ranks
    loops = tuple(layout.loops[loop] for loop in draft.path)
    mine = {loop.rank for loop in loops}
    key_ranks = tuple(rank for rank in ranks if rank in mine)
    reduced = set(einsum.reduced) if draft.kind == "compute" else set()
    resumed = tuple(loop.id for loop in loops if loop.count > 1 and reduced & set(loop.ranks))
    path = Path(loops, draft.when, sizes, key_ranks, resumed)
    shared_out = draft.leaf.node.spatial.get("cores", ())
    private = {
        access.tensor: tuple(rank for rank in shared_out if rank in relevant_ranks(cascade, access))
        for access in (einsum.output, *einsum.reads)
        if relevant_ranks(cascade, access) & set(shared_out)
        and (draft.kind == "compute" or access.tensor == draft.subject)
    }
    single = {rank: 1 for loop in loops if len(loop.ranks) > 1 for rank in loop.ranks}
    costs = {}
    for key in path.instances():
        extents = {**sizes, **single, **dict(zip(key_ranks, key, strict=False))}
        if draft.kind == "compute":
            resumes = bool(resumed and key[-1])
            costs[key] = _compute_cost(draft.leaf, cascade, machine, clock, extents, resumes)
        else:
            costs[key] = _transfer_cost(draft, layout, cascade, machine, clock, extents, bool(private))
        if private:
            points = math.prod(extents[rank] for rank in shared_out)
            costs[key] = msgspec.structs.replace(costs[key], cores=points)
    latency = 0
    engine = dma = ""
    if draft.kind == "compute":
        node = draft.leaf.node
        engine = node.unit
        unit, most = machine.unit(node.unit), points_below(layout, cascade, draft.path)
        latency = latency_cycles(cascade, unit, einsum, node, most) * clock.unit_ticks[node.unit]
    else:
        source, target = _ends(machine, draft)
        outer = machine.memory(target if draft.kind == "store" else source)
        engine = clock.port(outer, draft.subject, draft.kind == "load")
        inner = target if draft.kind == "load" else source
        if any(memory.name == inner and memory.dma_engines for memory in machine.memories):
            dma = f"dma {inner}"
    return Op(
        id=number,
        name=draft.name,
        kind=draft.kind,
        engine=engine,
        subject=draft.subject,
        path=draft.path,
        when=draft.when,
        place=draft.place,
        waits=waits,  # type: ignore[arg-type]
        latency_ticks=latency,
        key_ranks=key_ranks,
        costs=costs,
        dma=dma,
        cores=machine.unit(draft.leaf.node.unit).dims.get("cores", 1),
        private=private,
        resumed=resumed,
    )


def _compute_cost(
    leaf: Leaf,
    cascade: Cascade,
    machine: Machine,
    clock: Clock,
    extents: MappingType[str, int],
    resumes: bool,
) -> Cost:
    einsum = cascade.einsum(leaf.node.einsum)
    residences = {}
    for tensor in (einsum.name, *(access.tensor for access in einsum.reads)):
        if leaf.homes.get(tensor):
            home = leaf.homes[tensor][-1]
            residences[tensor] = Residence(memory=home.memory, spill=home.spill)
        else:
            residences[tensor] = Residence(memory=machine.dram.name)
    cost = leaf_cost(cascade, machine, einsum, leaf.node, extents, residences, resumes=resumes)
    streams: dict[str, int] = {}
    for access in cost.accesses:
        for stream in clock.transfer(access):
            streams[stream.port] = streams.get(stream.port, 0) + stream.ticks
    cycle = clock.unit_ticks[leaf.node.unit]
    return Cost(
        ticks=cost.cycles * cycle,
        streams=tuple(Stream(port=port, ticks=ticks) for port, ticks in streams.items()),
        accesses=cost.accesses,
        actions=cost.actions,
        points=cost.points,
        active_pe_ticks=cost.active_pe_cycles * cycle,
    )


def _ends(machine: Machine, draft: DraftOp) -> tuple[str, str]:
    """Memory (or unit) that a transfer reads from and writes to."""
    assert draft.home is not None
    homes = draft.leaf.homes[draft.subject]
    at = homes.index(draft.home)
    outer = homes[at - 1].memory if at else machine.dram.name
    inner = draft.home.memory
    return (outer, inner) if draft.kind == "load" else (inner, outer)


def _transfer_cost(
    draft: DraftOp,
    layout: Layout,
    cascade: Cascade,
    machine: Machine,
    clock: Clock,
    extents: MappingType[str, int],
    private: bool,
) -> Cost:
    assert draft.home is not None
    of = access_of(cascade.einsum(draft.leaf.node.einsum), draft.subject)
    size = tile_bytes(cascade, machine, of, extents)
    run, pitch = runs(cascade, machine, of, extents)
    ahead = steps(cascade, machine, of)
    source, target = _ends(machine, draft)
    accesses = []
    actions = {}
    bits = max(1, cascade.tensor(draft.subject).bits)
    every = _copies(draft.home, layout, cascade, machine)
    for name, reads in ((source, True), (target, False)):
        if any(unit.name == name for unit in machine.units):
            actions[f"{name}:register {'read' if reads else 'write'}"] = -(-size * 8 // bits) * every
            continue
        inside = machine.memory(name).copies > 1
        moved = size * every if inside or not machine.multicast else size
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


def _copies(home: Home, layout: Layout, cascade: Cascade, machine: Machine) -> int:
    """Cores that take the same bytes into their own memory or registers; 1 for a memory that they share."""
    units = {unit.name for unit in machine.units}
    if home.memory in units:
        if machine.multicast:
            return 1
    elif machine.memory(home.memory).copies == 1:
        return 1
    found = 1
    for leaf in layout.under(home.place):
        einsum = cascade.einsum(leaf.node.einsum)
        if home in leaf.homes.get(home.tensor, ()) and (
            einsum.name == home.tensor or _reads(cascade, leaf, home.tensor)
        ):
            unit, moved = (
                machine.unit(leaf.node.unit),
                relevant_ranks(cascade, access_of(einsum, home.tensor)),
            )
            found = max(found, wanting(unit, leaf.node, moved, points_below(layout, cascade, leaf.path)))
    return found


def _engines(machine: Machine, ops: tuple[Op, ...]) -> tuple[Engine, ...]:
    used = {op.engine for op in ops} | {
        stream.port for op in ops for cost in op.costs.values() for stream in cost.streams
    }
    units = [Engine(name=unit.name, kind="unit", pes=unit.pes) for unit in machine.units]
    names = {unit.name for unit in machine.units}
    return (*units, *(Engine(name=name, kind="port") for name in sorted(used - names - {""})))


def _shape(node: Node, place: tuple[int, ...], drafts: list[DraftOp]) -> ScheduleNode:
    """The tree of groups over operations; a transfer hangs beside the node that its home wraps."""
    here = tuple(
        ScheduleNode(kind="op", op=number)
        for number, draft in enumerate(drafts)
        if (draft.home.place if draft.home else draft.place) == place
    )
    if isinstance(node, Compute):
        return ScheduleNode(kind="pipeline", children=here) if len(here) != 1 else here[0]
    if isinstance(node, (Loop, Keep)):
        inner = _shape(node.body, (*place, 0), drafts)
        return ScheduleNode(kind="pipeline", children=(*here, inner)) if here else inner
    kind = "sequence" if isinstance(node, Sequence) else "pipeline"
    return ScheduleNode(
        kind=kind,
        children=tuple(_shape(child, (*place, number), drafts) for number, child in enumerate(node.children)),
    )


__all__ = ["Clock", "lower", "port_name"]
