"""A point of the map space, and the mapping tree that it stands for."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.holds import outside
from einsim.dataflow.mapper.nest import Inside, Nest, Retention
from einsim.dataflow.mapping import Keep, Mapping, Node, Pipeline, Sequence, chain, keep
from einsim.workloads.cascade import Cascade


class NestPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A nest with a tile size for each loop and one choice of homes for each of its tensors."""

    nest: Nest
    tiles: tuple[int, ...]
    chosen: tuple[int, ...]

    @property
    def homes(self) -> Iterator[tuple[str, Retention]]:
        """Every home with its tensor, a tensor's outermost first."""
        for tensor, choices, at in zip(self.nest.tensors, self.nest.choices, self.chosen, strict=True):
            for home in choices[at]:
                yield tensor, home


class GroupPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Einsums fused inside shared loops, or one alone."""

    inside: Inside
    nests: tuple[NestPoint, ...]


class Point(msgspec.Struct, frozen=True):
    """A whole cascade: groups, one after the other; `resident` results stay whole in the `global_buffer`."""

    groups: tuple[GroupPoint, ...]
    resident: tuple[str, ...] = ()
    global_buffer: str = ""


def tree(cascade: Cascade, machine: Machine, group: GroupPoint) -> Node:
    """The loop tree of one group."""
    shared = len(group.inside.shared)
    branches = tuple(_branch(cascade, machine, nest, shared) for nest in group.nests)
    if not shared and len(branches) == 1:
        return branches[0]
    body = Pipeline(children=branches) if len(branches) > 1 else branches[0]
    homes = [(tensor, home) for nest in group.nests for tensor, home in nest.homes if home.holds]
    parts: list[Node | tuple[str, int] | None] = []
    left = dict(cascade.sizes)
    for depth in range(shared + 1):
        here = [(tensor, home) for tensor, home in homes if home.depth == depth]
        above = [(t, home) for t, home in here if home.fused or depth < shared]
        parts += _keeps(machine, above, group.nests[0].nest.buffers)
        if depth < shared:
            parts += _loop(group.nests[0], depth, left)
    return chain(*parts, body)


def _branch(cascade: Cascade, machine: Machine, point: NestPoint, start: int) -> Node:
    """The loops and keeps of one nest from depth `start` inward."""
    parts: list[Node | tuple[str, int] | None] = []
    left = dict(cascade.sizes)
    for depth in range(start):
        _loop(point, depth, left)
    for depth in range(start, len(point.nest.loops) + 1):
        here = [(t, home) for t, home in point.homes if home.depth == depth and not home.fused]
        parts += _keeps(machine, here, point.nest.buffers)
        if depth < len(point.nest.loops):
            parts += _loop(point, depth, left)
    return chain(*parts, point.nest.node)


def _loop(point: NestPoint, depth: int, left: dict[str, int]) -> list[tuple[str, int]]:
    """The loop at a depth, or nothing where it would run once; `left` is what the loops above leave."""
    rank, tile = point.nest.loops[depth], point.tiles[depth]
    if tile >= left[rank]:
        return []
    left[rank] = tile
    return [(rank, tile)]


def _keeps(machine: Machine, homes: list[tuple[str, Retention]], buffers: int) -> list[Keep | None]:
    """Keeps that stand at one place, outer memories first; tensors of one memory together."""
    order = sorted({home.memory for _, home in homes}, key=lambda name: len(outside(machine, name)))
    return [
        keep(tuple(dict.fromkeys(t for t, h in homes if h.memory == name)), name, buffers=buffers)
        for name in order
    ]


def mapping(cascade: Cascade, machine: Machine, point: Point) -> Mapping:
    """The mapping that a point stands for. A resident input stands above the group that reads it first and
    all after it, so that no group before waits for it.
    """
    starts: dict[int, list[str]] = {}
    for name in point.resident:
        reader = cascade.consumers(name)[0].name
        first = next(at for at, g in enumerate(point.groups) if any(n.nest.einsum == reader for n in g.nests))
        starts.setdefault(0 if cascade.producer(name) else first, []).append(name)
    after: list[Node] = []
    for at in range(len(point.groups) - 1, -1, -1):
        after.insert(0, tree(cascade, machine, point.groups[at]))
        if at in starts or not at:
            root = after[0] if len(after) == 1 else Sequence(children=tuple(after))
            after = [chain(keep(tuple(starts.get(at, ())), point.global_buffer, buffers=1), root)]
    return Mapping(cascade=cascade.name, machine=machine.name, template="mapper", tree=after[0])
