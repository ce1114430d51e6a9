"""One mapping of a stateful group as choices, and the tree that they stand for."""

from __future__ import annotations

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.mapper.nest import Retention
from einsim.dataflow.mapper.stateful.group import Group
from einsim.dataflow.mapper.stateful.layouts import spread
from einsim.dataflow.mapping import Compute, Mapping, Node, Pipeline, Sequence, chain, keep


class Tiling(msgspec.Struct, frozen=True, kw_only=True):
    """The loops around the group: `outer` ones stand around the steps, `inner` ones inside a step.

    Both are ranks with tiles, outermost first; a rank that is missing is walked whole there.
    """

    outer: tuple[tuple[str, int], ...] = ()
    inner: tuple[tuple[str, int], ...] = ()


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """Each Einsum's unit and layout, and each made tensor's home: an on-chip memory or a unit's registers.

    Both are in the group's order (body, then tail).
    """

    nodes: tuple[Compute, ...]
    homes: tuple[str, ...]


class Pipelining(msgspec.Struct, frozen=True, kw_only=True):
    """`interleaved` tiles overlap, `flight` of them at once; else one tile's Einsums run one after the other.

    `sets` of the state are held: with 2, the next outer tile begins while the last one ends.
    """

    interleaved: bool
    flight: int
    sets: int


class StatefulPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping of a stateful group. `places` are those of the inputs, in the group's order."""

    tiling: Tiling
    places: tuple[Retention, ...]
    assignment: Assignment
    schedule: Pipelining


def body_loops(group: Group, tiling: Tiling) -> tuple[tuple[str, int], ...]:
    """Loops around the body, outermost first: the steps stand between outer and inner ones."""
    return (*tiling.outer, (group.step, 1), *tiling.inner)


def tail_loops(tiling: Tiling) -> tuple[tuple[str, int], ...]:
    """Loops around the tail, outermost first."""
    return (*tiling.outer, *tiling.inner)


def in_tail(group: Group, tensor: str) -> bool:
    """Whether only Einsums after the last step touch a tensor."""
    names = {einsum.name for einsum in group.readers(tensor)} | ({tensor} & set(group.made))
    return not names & group.stepping


def chained(group: Group, nodes: tuple[Compute, ...], at: int) -> tuple[str, ...]:
    """Operands of the Einsum at a position that its unit has just made, laid out alike."""
    every = (*group.body, *group.tail)
    placed = {einsum.name: node for einsum, node in zip(every, nodes, strict=True)}
    reader, node = every[at], nodes[at]
    found = []
    for (name, reads), between in group.chains.items():
        if reads != reader.name or placed[name].unit != node.unit:
            continue
        if any(placed[other].unit == node.unit for other in between):
            continue
        made = spread(group.cascade, placed[name], group.cascade.einsum(name), name)
        if made == spread(group.cascade, node, reader, name):
            found.append(name)
    return tuple(found)


def mapping(group: Group, machine: Machine, point: StatefulPoint, notes: tuple[str, ...] = ()) -> Mapping:
    """The mapping tree of a point."""
    tree = _TreeBuilder(group, point)
    return Mapping(
        cascade=group.cascade.name, machine=machine.name, template="searched", tree=tree.build(), notes=notes
    )


class _TreeBuilder:
    def __init__(self, group: Group, point: StatefulPoint) -> None:
        self.group = group
        self.point = point
        self.shared = len(point.tiling.outer)

    def build(self) -> Node:
        point, group = self.point, self.group
        body = self._branch(body_loops(group, point.tiling), group.stepping, not point.schedule.interleaved)
        tree = body
        if group.tail:
            names = frozenset(einsum.name for einsum in group.tail)
            tree = Pipeline(children=(body, self._branch(tail_loops(point.tiling), names, False)))
        states = [
            keep((tensor,), home, buffers=point.schedule.sets)
            for tensor, home in zip(group.made, point.assignment.homes, strict=True)
            if tensor in group.state
        ]
        nodes: list[Node | tuple[str, int] | None] = []
        for depth, loop in enumerate(point.tiling.outer):
            nodes += [*self._inputs(depth), loop]
        return chain(*nodes, *self._inputs(self.shared), *states, tree)

    def _inputs(self, depth: int, tail: bool | None = None) -> list[Node | None]:
        """Keeps of the inputs below `depth` loops; below the shared ones, of the body's or the tail's."""
        return [
            keep((tensor,), place.memory)
            for tensor, place in zip(self.group.inputs, self.point.places, strict=True)
            if place.depth == depth and (tail is None or in_tail(self.group, tensor) == tail)
        ]

    def _branch(self, loops: tuple[tuple[str, int], ...], names: frozenset[str], serial: bool) -> Node:
        """The loops of one branch below the shared ones, with what is kept between them."""
        group, point = self.group, self.point
        tail = not names & group.stepping
        leaves: list[Node] = []
        kept: dict[tuple[str, int], list[str]] = {}
        for at, einsum in enumerate((*group.body, *group.tail)):
            if einsum.name not in names:
                continue
            node = msgspec.structs.replace(
                point.assignment.nodes[at], chained=chained(group, point.assignment.nodes, at)
            )
            leaves.append(node)
            if einsum.name not in group.state:
                flight = 2 if tail else point.schedule.flight
                kept.setdefault((point.assignment.homes[at], flight), []).append(einsum.name)
        nodes: list[Node | tuple[str, int] | None] = []
        for depth in range(self.shared, len(loops)):
            nodes.append(loops[depth])
            nodes += self._inputs(depth + 1, tail)
        inner = [keep(tuple(tensors), home, buffers=count) for (home, count), tensors in kept.items()]
        last: Node = leaves[0]
        if len(leaves) > 1:
            last = Sequence(children=tuple(leaves)) if serial else Pipeline(children=tuple(leaves))
        return chain(*nodes, *inner, last)
