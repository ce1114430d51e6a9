"""Lowering: a mapping becomes a tile program of loads, stores and computes with bytes, ticks and waits.

A mapping is lowered on a machine's structure, which is remembered, and then priced: machines that differ in
clocks, bandwidths, room or energies only share the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as MappingType
from typing import Final

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.carried import Moves, reads_before, reads_below, stepping
from einsim.dataflow.clock import Clock, port_name
from einsim.dataflow.cores import parts_in
from einsim.dataflow.counted import LoweredBefore, counted
from einsim.dataflow.crossing import share_elements
from einsim.dataflow.draft import DraftOp
from einsim.dataflow.held import held_bytes
from einsim.dataflow.layout import Home, Layout, Leaf, lay_out, points_below, relevant_loops, summed, users
from einsim.dataflow.leaf import latency_cycles
from einsim.dataflow.mapping import Compute, Keep, Loop, Mapping, Node, Sequence, chain
from einsim.dataflow.mapping_text import mapping_text
from einsim.dataflow.program import Engine, Op, Program, ScheduleNode
from einsim.dataflow.remarks import remarks
from einsim.dataflow.structure import structure_of
from einsim.dataflow.transfer import ends_of
from einsim.dataflow.turns import taking_turns
from einsim.dataflow.visit import MOST_VISITED
from einsim.dataflow.volume import Costs, costs_of, op_at
from einsim.dataflow.waits import add_waits
from einsim.specs.progress import telling
from einsim.specs.remembered import Remembered
from einsim.workloads.ahead import Dependence, initial_only
from einsim.workloads.cascade import Access, Cascade
from einsim.workloads.recognised import grouped_queries

_PROGRAMS: Final = Remembered[Program](1_000_000, lambda one: sum(len(op.costs) for op in one.ops))
Where = tuple[tuple[int, ...], dict[int, str]]
"""Loops of a transfer, and those that are pinned to their first or last iteration."""
_KNOWN: Final = Remembered[LoweredBefore](64)


def lower(mapping: Mapping, cascade: Cascade, machine: Machine) -> Program:
    """Lower a legal mapping; whether it is one is for `einsim.dataflow.legality.check` to say."""
    return priced(unpriced(mapping, cascade, machine), machine)


def unpriced(mapping: Mapping, cascade: Cascade, machine: Machine) -> Program:
    """The program on the machine's structure, where each cycle and byte takes one tick."""
    structure = structure_of(machine)
    written, states = map(msgspec.msgpack.encode, (mapping, cascade.overwritten))  # by readers outside, too
    known = _KNOWN.get((cascade, structure.frame, states), LoweredBefore)
    key = cascade, structure.key, written, states
    return _PROGRAMS.get(key, lambda: _on_structure(mapping, cascade, structure.machine, known))


def priced(program: Program, machine: Machine) -> Program:
    """An unpriced program on a machine of its structure."""
    clock = Clock(machine)
    made = msgspec.structs.replace(
        program,
        accel=machine.name,
        clock_hz=machine.clock_hz,
        ticks_per_cycle=clock.ticks_per_cycle,
        ops=tuple(op_at(op, clock.rates) for op in program.ops),
    )
    vars(made)["chains"] = program.chains
    return made


def _on_structure(mapping: Mapping, cascade: Cascade, machine: Machine, known: LoweredBefore) -> Program:
    tree = _stepped(mapping.tree, cascade, cascade.sizes)
    stepped = mapping if tree == mapping.tree else msgspec.structs.replace(mapping, tree=tree)
    layout = lay_out(stepped, cascade)
    clock = Clock(machine, [cascade.einsum(leaf.node.einsum) for leaf in layout.leaves])
    drafts = _computes(layout)
    for home, _ in layout.homes:
        drafts.extend(_transfers(cascade, machine, layout, home))
    drafts.sort(key=lambda draft: (draft.place, {"load": 0, "compute": 1, "store": 2}[draft.kind]))
    waits = add_waits(cascade, layout, drafts)
    turns = taking_turns([draft.leaf.node.unit for draft in drafts if draft.kind == "compute"], machine)
    sizes = cascade.sizes
    ops = tuple(
        _op(number, draft, waits[number], layout, cascade, machine, clock, turns, known)
        for number, draft in enumerate(telling("lowering", drafts))
    )
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
        shape=_Shape(drafts).of(stepped.tree, ()),
        buffers=held_bytes(stepped, layout, cascade, machine),
        notes=(*mapping.notes, *remarks(mapping, cascade, machine), *_rounding(ops)),
        macs=cascade.macs,
        outermost=machine.dram.name,
        dispatched=dispatched(mapping.tree),
        grouped=grouped_queries(cascade),
        dma={f"dma {memory.name}": memory.dma_engines for memory in machine.memories if memory.dma_engines},
        windows={f"window {one.name}": one.outstanding for one in machine.memories if one.outstanding},
    )


def dispatched(node: Node) -> int:
    """Ops that a machine starts one by one: children of the outermost sequence, or the whole mapping."""
    while isinstance(node, Keep):
        node = node.body
    return len(node.children) if isinstance(node, Sequence) else 1


def _stepped(node: Node, cascade: Cascade, tiles: MappingType[str, int]) -> Node:
    """The tree with a loop around each Einsum that takes steps of its own state in a tile: one a step."""
    if isinstance(node, Compute):
        einsum = cascade.einsum(node.einsum)
        own = einsum.iterative if any(read.tensor == einsum.name for read in einsum.reads) else ()
        return chain(*((rank, 1) for rank in own if tiles[rank] > 1), node)
    if isinstance(node, (Loop, Keep)):
        below = {**tiles, node.rank: node.tile} if isinstance(node, Loop) else tiles
        return msgspec.structs.replace(node, body=_stepped(node.body, cascade, below))
    return type(node)(children=tuple(_stepped(child, cascade, tiles) for child in node.children))


def _computes(layout: Layout) -> list[DraftOp]:
    return [
        DraftOp(kind="compute", subject=one.node.einsum, leaf=one, place=one.place, path=one.path, when={})
        for one in layout.leaves
    ]


def _transfers(cascade: Cascade, machine: Machine, layout: Layout, home: Home) -> list[DraftOp]:
    """The load that fills a home and the store that empties it, where data crosses its border."""
    if home.memory == machine.dram.name or home.stays:
        return []
    tensor, drafts = home.tensor, list[DraftOp]()

    def transfer(kind: str, moves: Moves, where: Where, carried: tuple[str, ...] = ()) -> None:
        leaf, (path, when) = moves[0][0], where
        drafts.append(
            DraftOp(
                kind=kind, subject=tensor, leaf=leaf, place=leaf.place, path=path, when=when, home=home,
                moves=moves, carried=carried,
            )
        )  # fmt: skip

    here = users(cascade, layout, home)
    producer = next((leaf for leaf in here if leaf.node.einsum == tensor), None)
    steps, before = stepping(cascade, layout, home), reads_before(cascade, layout, home)
    if producer is None:
        reads = tuple(
            (leaf, read)
            for leaf, read in reads_below(cascade, layout, home)
            if not _initial(cascade, leaf.node.einsum, read)
        )
        now = tuple(one for one in reads if one not in before)
        apart = before and now and {*steps} <= {*cascade.overwritten.get(tensor, ())}
        for moves, carried in ((before, steps), (now, ())) if apart else ((reads, ()),):
            if moves:
                transfer("load", moves, _loading(cascade, layout, moves, home, carried), carried)
        return drafts
    inside = {leaf.node.einsum for leaf in here}
    outside = any(
        reader.name not in inside and not _initial(cascade, reader.name, read)
        for reader in cascade.consumers(tensor) for read in reader.reads if read.tensor == tensor
    )  # fmt: skip
    leaves = outside or bool(before) or cascade.is_output(tensor)
    made = (producer, cascade.einsum(tensor).output)
    parts = parts_in(cascade, machine, producer.node, home.memory)
    if before:
        transfer("load", before, _loading(cascade, layout, before, home, steps), steps)
    elif leaves and not parts and summed(cascade, layout, producer, home.depth):
        transfer("load", (made,), _chunk(cascade, layout, *made, home, "first"))
    if leaves:
        transfer("store", (made,), _chunk(cascade, layout, *made, home, "last"))
    return drafts


def _initial(cascade: Cascade, reader: str, read: Access) -> bool:
    """Whether an Einsum reads nothing but the initial step of a state, which is never moved."""
    writer = cascade.producer(read.tensor)
    return writer is not None and initial_only(cascade, Dependence(writer, cascade.einsum(reader), read))


def _loading(
    cascade: Cascade, layout: Layout, moves: Moves, home: Home, carried: tuple[str, ...] = ()
) -> Where:
    """Path of a load: tile by tile as the first reader goes, where all readers use each element alike and no
    two of those tiles share one; else all at once, so that what several want crosses once.
    """
    (leaf, access), *_ = moves
    path, when = _chunk(cascade, layout, leaf, access, home, "first", carried)
    walked = [loop for loop in path if loop not in when]
    alike = len({read for _, read in moves}) == 1
    if alike and not share_elements(cascade, layout, access, walked, home.depth):
        return path, when
    return leaf.path[: home.depth], {}


def _chunk(
    cascade: Cascade, layout: Layout, leaf: Leaf, access: Access, home: Home, end: str,
    carried: tuple[str, ...] = (),
) -> Where:  # fmt: skip
    """Path of a transfer: the loops above the home, and below it those that move the leaf's tile.

    The others below, and the later steps of a state that is `carried`, are pinned to their first (load) or
    last (store) iteration, or dropped at the end.
    """
    below = [
        (loop, moves and not {*layout.loops[loop].ranks} & {*carried})
        for loop, moves in relevant_loops(cascade, layout.loops, leaf, access, home.depth)
    ]
    while below and not below[-1][1]:
        below.pop()
    path = leaf.path[: home.depth] + tuple(loop for loop, _ in below)
    return path, {loop: end for loop, relevant in below if not relevant}


def _op(
    number: int, draft: DraftOp, waits: tuple[object, ...], layout: Layout, cascade: Cascade,
    machine: Machine, clock: Clock, turns: MappingType[str, str], known: LoweredBefore,
) -> Op:  # fmt: skip
    tiles = counted(draft, layout, cascade, machine, clock, turns, known)
    latency = 0
    engine = dma = window = ""
    if draft.kind == "compute":
        node = draft.leaf.node
        engine = node.unit
        unit, most = machine.unit(node.unit), points_below(layout, cascade, draft.path)
        latency = latency_cycles(cascade, unit, cascade.einsum(node.einsum), node, most)
    else:
        source, target = ends_of(machine, draft)
        outer = machine.memory(target if draft.kind == "store" else source)
        engine = clock.port(outer, draft.subject, draft.kind == "load")
        inner = target if draft.kind == "load" else source
        reading = [memory for memory in machine.memories if memory.name == source]
        latency = sum(memory.latency_cycles for memory in reading)
        for memory in (memory for memory in machine.memories if memory.name == inner):
            dma = f"dma {inner}" if memory.dma_engines else ""
            window = f"window {inner}" if memory.outstanding else ""
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
        key_ranks=tiles.key_ranks,
        costs=Costs(tiles.volumes, clock.rates),
        dma=dma,
        window=window,
        resumed=tuple(draft.path[at] for at in tiles.resumed),
        wide=tiles.wide,
        cut=tiles.cut,
    )


def _rounding(ops: tuple[Op, ...]) -> tuple[str, ...]:
    """A note where tiles have so many points that they were not visited one by one."""
    names = [op.name for op in ops if any(one.rounded for one in costs_of(op).tiles.volumes.values())]
    if not names:
        return ()
    why = "points that bounds, cores or several reads cut unevenly count as if whole: never too little"
    return (f"{', '.join(names)}: tiles of more than {MOST_VISITED:,} {why}",)


def _engines(machine: Machine, ops: tuple[Op, ...]) -> tuple[Engine, ...]:
    used = {op.engine for op in ops}
    for op in ops:
        used |= {port for (port, _), _ in costs_of(op).tiles.tally.streams}
    units = [Engine(name=unit.name, kind="unit", pes=unit.pes) for unit in machine.units]
    names = {unit.name for unit in machine.units}
    return (*units, *(Engine(name=name, kind="port") for name in sorted(used - names - {""})))


class _Shape:
    """The tree of groups over operations; a transfer hangs beside the node that its home wraps."""

    def __init__(self, drafts: list[DraftOp]) -> None:
        self.drafts = drafts
        self.here: dict[tuple[int, ...], list[ScheduleNode]] = {}
        for number, draft in enumerate(drafts):
            self.here.setdefault(draft.standing, []).append(ScheduleNode(kind="op", op=number))

    def of(self, node: Node, place: tuple[int, ...]) -> ScheduleNode:
        """The group of a node."""
        here = tuple(self.here.get(place, ()))
        if isinstance(node, Compute):
            return ScheduleNode(kind="pipeline", children=here) if len(here) != 1 else here[0]
        if isinstance(node, (Loop, Keep)):
            return self._beside(self.of(node.body, (*place, 0)), here)
        kind = "sequence" if isinstance(node, Sequence) else "pipeline"
        below = (self.of(child, (*place, number)) for number, child in enumerate(node.children))
        return ScheduleNode(kind=kind, children=tuple(below))

    def _beside(self, inner: ScheduleNode, here: tuple[ScheduleNode, ...]) -> ScheduleNode:
        """A group with the transfers of the node around it. What is loaded once, above a sequence, and read
        by its first child has come when that child ends.
        """
        loads = [one for one in here if self._once(self.drafts[one.op])]
        early: list[ScheduleNode] = []
        if loads and inner.kind == "sequence":
            first = {self.drafts[op].leaf.place for op in _ops(inner.children[0])}
            early = [one for one in loads if self.drafts[one.op].leaf.place in first]
        if early:
            head = ScheduleNode(kind="pipeline", children=(*early, inner.children[0]))
            inner = ScheduleNode(kind="sequence", children=(head, *inner.children[1:]))
        ops = {one.op for one in early}
        late = tuple(one for one in here if one.op not in ops)
        return ScheduleNode(kind="pipeline", children=(*late, inner)) if late else inner

    @staticmethod
    def _once(draft: DraftOp) -> bool:
        return draft.kind == "load" and draft.home is not None and not draft.home.depth


def _ops(node: ScheduleNode) -> Iterator[int]:
    if node.kind == "op":
        yield node.op
    for child in node.children:
        yield from _ops(child)


__all__ = ["Clock", "lower", "port_name"]
