"""From a mapping to its neighbours: another unit or layout of an Einsum with the tensors that follow it into
registers, other homes and buffers of a tensor, other loops, one after the other or interleaved.

A move makes a tree, which may be illegal. What no machine does, though legality lets it pass, is no move:

- registers serve a reader that lays the tensor over the unit as its maker does; what a unit has just made in
  the same loops, laid out alike, is chained;
- with "full" layouts, every dimension of an array gets a rank (not where the busiest unit's Einsums go to
  another), and what does not contract finds an operand that lies along both in the array's registers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache, cached_property, partial

import msgspec

from einsim.dataflow.footprint import relevant_ranks, uses
from einsim.dataflow.holds import common_levels
from einsim.dataflow.in_registers import InRegisters
from einsim.dataflow.leaf import array_cycles, exploited
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapper.tiles import menu, narrowest
from einsim.dataflow.mapper.trees import Place, common, dropped, flat, kept_at, leaves, once, tiles_of
from einsim.dataflow.mapping import (
    Compute,
    Keep,
    Loop,
    Node,
    Pipeline,
    Sequence,
    above,
    node_at,
    placed,
    put,
)
from einsim.dataflow.result import Result
from einsim.dataflow.spatial import Layouts
from einsim.dataflow.templates.sizes import group_along
from einsim.workloads.cascade import Einsum

#: Trees beside one, of which the analytical result is known.
Subject = Callable[[Node, Result], Iterator[Node]]
#: Einsums of the busiest unit that are tried on another.
MOST_ELSEWHERE = 3
#: Buffers of what a step makes that are tried together.
FLIGHTS = (1, 2, 3, 4, 5, 6)


class Moves:
    """The moves on mappings of a cascade on a machine."""

    def __init__(self, space: MapSpace, layouts: Layouts = "full") -> None:
        self.space, self.layouts = space, layouts
        self.cascade, self.machine = cascade, _ = space.cascade, space.machine
        self.steps = {rank for einsum in cascade.einsums for rank in einsum.iterative}
        self.registers = InRegisters(cascade, self.machine, lambda name: self.nodes[name], layouts)
        self.made, self.users = self.registers.made, self.registers.users
        self.ways = cache(self._ways)
        self._times: dict[tuple[int, ...], tuple[Compute, float]] = {}

    def subjects(self, tree: Node) -> list[Subject]:
        """What may be changed, each with its moves; loops by their place among those of the tree."""
        loops = sum(isinstance(node, Loop) for _, node in placed(tree))
        einsums: list[Subject] = [partial(self._layouts, einsum=einsum) for einsum in self.cascade.einsums]
        homes: list[Subject] = [partial(self._homes, tensor=tensor) for tensor in self.users]
        buffers: list[Subject] = [partial(self._buffers, tensor=tensor) for tensor in self.users]
        walks: list[Subject] = [partial(self._loop, at=at) for at in range(loops)]
        rest = [self._flows, self._flights, *walks, self._splits]
        if self.steps:
            return [*einsums, *rest, *homes, *buffers]
        return [self._elsewhere, *rest, *homes, *buffers, *einsums]

    # units and layouts

    @cached_property
    def everywhere(self) -> dict[str, tuple[Compute, ...]]:
        """Units and layouts of each Einsum."""
        return {einsum.name: self.space.every_leaf(einsum, self.layouts) for einsum in self.cascade.einsums}

    @cached_property
    def nodes(self) -> dict[str, tuple[Compute, ...]]:
        """Those of them that give every dimension of an array a rank."""
        of, every = self.cascade.einsum, self.everywhere.items()
        return {name: tuple(node for node in some if self._full(of(name), node)) for name, some in every}

    def _full(self, einsum: Einsum, node: Compute) -> bool:
        """Whether every dimension of an array has a rank, where the Einsum has the ranks."""
        unit = self.machine.unit(node.unit)
        ranks = [r for r in einsum.ranks if self.cascade.size(r) > 1 and r not in self.steps]
        planar = unit.kind == "array" and len(unit.dims) > 1 and self.layouts == "full"
        return not planar or einsum.contracts or not ranks or {"rows", "cols"} <= set(node.spatial)

    def _layouts(self, tree: Node, result: Result, *, einsum: Einsum) -> Iterator[Node]:
        """Another unit or layout, alone or with all that use one of its tensors in the unit's registers."""
        here = leaves(tree)
        tiles = cache(lambda name: tiles_of(tree, here[name], self.cascade.sizes))
        for chosen, registers in self.ways(einsum.name):
            if self._busier(tiles, chosen, result):
                continue
            new = tree
            for name, leaf in chosen.items():
                new = put(new, here[name], leaf)
            yield self.settled(new, registers)

    def _ways(self, einsum: str) -> list[tuple[dict[str, Compute], set[str]]]:
        """Units and layouts of an Einsum, each with those of others that go with it, and the tensors that are
        in registers then.
        """
        tensors = [tensor for tensor in self.cascade.einsum(einsum).accesses if self._stays(tensor)]
        every = (
            self.registers.together(node, tensor)
            for node in self.nodes[einsum]
            for tensor in (None, *(tensors if self.machine.unit(node.unit).registers else ()))
        )
        return [one for one in every if one is not None]

    def _elsewhere(self, tree: Node, result: Result) -> Iterator[Node]:
        """What keeps the busiest unit longest on other units, in its quickest layouts there."""
        here, costs = leaves(tree), result.by_einsum
        busiest = max(self.machine.units, key=lambda unit: result.bound_by.get(unit.name, 0)).name
        there = sorted((name for name in here if costs[name].unit == busiest), key=lambda e: -costs[e].cycles)
        tiles = cache(lambda name: tiles_of(tree, here[name], self.cascade.sizes))
        for name in there[:MOST_ELSEWHERE]:
            einsum, (extents, _) = self.cascade.einsum(name), tiles(name)
            ways = [
                n for n in self.everywhere[name] if n.unit != busiest and not self.registers.needed(einsum, n)
            ]
            quickest = partial(self._cycles, einsum, extents=extents)
            for node in sorted(ways, key=quickest)[:2]:
                if not self._busier(tiles, {name: node}, result):
                    yield self.settled(put(tree, here[name], node))

    def _cycles(self, einsum: Einsum, node: Compute, extents: Mapping[str, int]) -> float:
        """Cycles of the machine's clock of one tile, which are counted once."""
        key = id(node), *(extents[rank] for rank in einsum.ranks)
        if key not in self._times:
            unit = self.machine.unit(node.unit)
            work = exploited(self.cascade, unit, einsum, extents)
            ratio = self.machine.clock_hz / (unit.clock_hz or self.machine.clock_hz)
            self._times[key] = node, ratio * float(array_cycles(self.cascade, unit, einsum, node, work))
        return self._times[key][1]

    def _busier(
        self, tiles_of_leaf: Callable[[str], tuple[dict[str, int], int]], chosen: Mapping[str, Compute],
        result: Result,
    ) -> bool:  # fmt: skip
        """Whether the leaves would keep a unit busy for longer than all takes now."""
        busy = {unit.name: float(result.bound_by.get(unit.name, 0)) for unit in self.machine.units}
        for was in (result.by_einsum[name] for name in chosen):
            busy[was.unit] -= was.cycles
        for name, node in chosen.items():
            extents, tiles = tiles_of_leaf(name)
            busy[node.unit] += tiles * self._cycles(self.cascade.einsum(name), node, extents)
        return max(busy.values()) > result.cycles * 1.02 + 1

    def settled(self, tree: Node, registers: Collection[str] = ()) -> Node:
        """The tree with these tensors in their units' registers, those that may not be there elsewhere, and
        with what is chained.
        """
        here = leaves(tree)
        for tensor in self.made:
            units = {node_at(tree, here[e.name]).unit for e in self.users[tensor]}  # type: ignore[union-attr]
            kept = self.kept(tree, here, tensor)
            if kept is None:
                continue
            own = kept.memory in {unit.name for unit in self.machine.units}
            if tensor in registers and len(units) == 1 and kept.memory != next(iter(units)):
                tree = self._moved(tree, tensor, kept, next(iter(units)))
                here = leaves(tree)
            elif own and not self._agree(tree, here, tensor, kept.memory):
                near = common_levels(self.machine, sorted(units))
                tree = self._moved(tree, tensor, kept, near[-1]) if near else tree
                here = leaves(tree)
        return self._chained(tree)

    def _moved(self, tree: Node, tensor: str, kept: Keep, memory: str) -> Node:
        place = next(at for at, node in placed(tree) if node is kept)
        return dropped(tree, place, tensor, (memory, kept.buffers))

    def _agree(self, tree: Node, here: Mapping[str, Place], tensor: str, unit: str) -> bool:
        """Whether all that use a tensor lay it alike over one unit."""
        nodes = [node_at(tree, here[einsum.name]) for einsum in self.users[tensor]]
        spreads = {self.registers.spread(node, tensor) for node in nodes if isinstance(node, Compute)}
        return len(spreads) == 1 and next(iter(spreads))[0] == unit

    def kept(self, tree: Node, here: Mapping[str, Place], tensor: str) -> Keep | None:
        """The innermost keep of a tensor that stands above all that use it."""
        shared = common(here[einsum.name] for einsum in self.users[tensor])
        keeps = [node for node in above(tree, shared) if isinstance(node, Keep) and tensor in node.tensors]
        return keeps[-1] if keeps else None

    def _chained(self, tree: Node) -> Node:
        """The tree with every operand chained that may be."""
        order = [(place, node) for place, node in placed(tree) if isinstance(node, Compute)]
        at = {node.einsum: number for number, (_, node) in enumerate(order)}
        for number, (place, node) in enumerate(order):
            reads = [read.tensor for read in self.cascade.einsum(node.einsum).reads]
            found = []
            for tensor in dict.fromkeys(reads):
                maker = at.get(tensor, number)
                between = [other.unit for _, other in order[maker + 1 : number]]
                if maker >= number or reads.count(tensor) > 1 or order[maker][1].unit != node.unit:
                    continue
                iterative = self.cascade.einsum(tensor).iterative
                if iterative or node.unit in between or order[maker][0][:-1] != place[:-1]:
                    continue
                if self.registers.spread(order[maker][1], tensor) == self.registers.spread(node, tensor):
                    found.append(tensor)
            if tuple(found) != node.chained:
                tree = put(tree, place, msgspec.structs.replace(node, chained=tuple(found)))
        return tree

    def odd(self, tree: Node) -> frozenset[tuple[str, str]]:
        """Einsums with operands that their units would not find as the module's text says."""
        found = set()
        units = {unit.name for unit in self.machine.units}
        here = leaves(tree)
        for name, place in here.items():
            node, einsum = node_at(tree, place), self.cascade.einsum(name)
            assert isinstance(node, Compute)
            needed = self.registers.needed(einsum, node)
            around = [keep for keep in above(tree, place) if isinstance(keep, Keep)]
            for tensor in {name, *(read.tensor for read in einsum.reads)} - {*node.chained}:
                keeps = [keep for keep in around if tensor in keep.tensors]
                own = bool(keeps) and keeps[-1].memory in units
                if (
                    own and not (tensor in self.made and self._agree(tree, here, tensor, keeps[-1].memory))
                ) or (not own and tensor in needed):
                    found.add((name, tensor))
        return frozenset(found)

    def _stays(self, tensor: str) -> bool:
        """Whether a tensor may stay in registers: it is made, and read."""
        return tensor in self.made and any(
            read.tensor == tensor for e in self.users[tensor] for read in e.reads
        )

    # order, buffers and homes

    def _flows(self, tree: Node, result: Result) -> Iterator[Node]:
        """Interleaved in place of one after the other, and the other way round."""
        for place, node in placed(tree):
            if isinstance(node, (Sequence, Pipeline)):
                other = Pipeline if isinstance(node, Sequence) else Sequence
                yield put(tree, place, other(children=node.children))

    def _flights(self, tree: Node, result: Result) -> Iterator[Node]:
        """So many tiles in flight: buffers of all that is made and read between the leaves of a pipeline."""
        for place, node in placed(tree):
            if not isinstance(node, Pipeline):
                continue
            for count in FLIGHTS:
                new, at = tree, place
                while at and isinstance(keep := node_at(new, at[:-1]), Keep):
                    at = at[:-1]
                    if any(tensor in self.made for tensor in keep.tensors):
                        new = put(new, at, msgspec.structs.replace(keep, buffers=count))
                yield new

    def _buffers(self, tree: Node, result: Result, *, tensor: str) -> Iterator[Node]:
        """Other numbers of buffers of one tensor."""
        for place, node in placed(tree):
            if isinstance(node, Keep) and tensor in node.tensors and not node.overlay:
                for count in {1, 2, node.buffers - 1, node.buffers + 1, node.buffers + 2} - {0, node.buffers}:
                    yield dropped(tree, place, tensor, (node.memory, count))

    def _homes(self, tree: Node, result: Result, *, tensor: str) -> Iterator[Node]:
        """Other memories and depths of one tensor: above a loop that does not move it, or innermost; in one
        buffer, too, since more tiles that stay for longer may have no room.
        """
        here = leaves(tree)
        shared = common(here[einsum.name] for einsum in self.users[tensor])
        keeps = [
            (place, node) for place, node in placed(tree)
            if isinstance(node, Keep) and tensor in node.tensors and not node.overlay
        ]  # fmt: skip
        bare = tree
        for place, _ in reversed(keeps):
            bare = dropped(bare, place, tensor, None)
        shared = common(leaves(bare)[einsum.name] for einsum in self.users[tensor])
        spots = self._spots(bare, tensor, shared)
        units = {node_at(tree, here[e.name]).unit for e in self.users[tensor]}  # type: ignore[union-attr]
        buffers = keeps[-1][1].buffers if keeps else 2
        memories = common_levels(self.machine, sorted(units))
        for place, memory in itertools.product(spots, memories):
            yield self._chained(kept_at(bare, place, tensor, memory, buffers))
        for (outer, one), (inner, two) in itertools.product(itertools.product(spots, memories), repeat=2):
            if len(outer) <= len(inner) and memories.index(one) < memories.index(two):
                new = kept_at(bare, inner, tensor, two, buffers)
                yield self._chained(kept_at(new, outer, tensor, one, buffers))
        for place, memory in itertools.product(spots[:-1] if buffers > 1 else (), memories):
            yield self._chained(kept_at(bare, place, tensor, memory, 1))
        if self._stays(tensor) and len(units) == 1:
            for place in spots:
                yield self._chained(kept_at(bare, place, tensor, next(iter(units)), buffers))

    def _spots(self, tree: Node, tensor: str, shared: Place) -> list[Place]:
        """Places on the way to what uses a tensor where a keep of it may stand, outermost first."""
        moved = frozenset[str]().union(
            *(relevant_ranks(self.cascade, access) for e in self.users[tensor] for access in uses(e, tensor))
        )
        found, last = [], None
        for depth in range(len(shared) + 1):
            node = node_at(tree, shared[:depth])
            if isinstance(node, Keep):
                continue
            still = isinstance(node, Loop) and node.rank not in moved and depth < len(shared)
            if depth == len(shared) or (still and (last is None or last in moved)):
                found.append(shared[:depth])
            last = node.rank if isinstance(node, Loop) else last
        return found

    # loops

    def sizes(self, rank: str) -> tuple[int, ...]:
        """Tile sizes of a rank: parts of it that are whole widths of an array, and any halves."""
        group = group_along(self.cascade, self.machine, rank)
        cores = max((unit.dims.get("cores", 1) for unit in self.machine.units), default=1)
        size, width = self.cascade.size(rank), narrowest(self.machine)
        found = {*menu(size, "steps", width, cores, group), *menu(size, "steps", 2, cores, group)}
        return tuple(sorted(found))

    def _loop(self, tree: Node, result: Result, *, at: int) -> Iterator[Node]:
        """Another tile of a loop, no loop, or the next one outside it."""
        loops = [(place, node) for place, node in placed(tree) if isinstance(node, Loop)]
        if at >= len(loops):
            return
        place, node = loops[at]
        if node.rank not in self.steps:
            for tile in self.sizes(node.rank):
                if tile < self.cascade.size(node.rank) and tile != node.tile:
                    yield put(tree, place, msgspec.structs.replace(node, tile=tile))
            if any(isinstance(outer, Loop) for outer in above(tree, place)):
                yield put(tree, place, node.body)
            else:  # nothing in it is filled again
                yield self._chained(flat(put(tree, place, once(node.body))))
        inner = (*place, 0)
        while isinstance(below := node_at(tree, inner), Keep):
            inner = (*inner, 0)
        if isinstance(below, Loop):
            swapped = put(tree, inner, msgspec.structs.replace(below, rank=node.rank, tile=node.tile))
            body = node_at(swapped, (*place, 0))
            yield put(swapped, place, Loop(rank=below.rank, tile=below.tile, body=body))

    def _splits(self, tree: Node, result: Result) -> Iterator[Node]:
        """A further loop, directly above a fork or the loop of the steps, outside the keeps there."""
        for place, node in placed(tree):
            fork = isinstance(node, (Pipeline, Sequence)) or (
                isinstance(node, Loop) and node.rank in self.steps
            )
            if not fork:
                continue
            at = place
            while at and isinstance(node_at(tree, at[:-1]), Keep):
                at = at[:-1]
            below = [
                self.cascade.einsum(leaf.einsum) for _, leaf in placed(node) if isinstance(leaf, Compute)
            ]
            extents = dict(self.cascade.sizes)
            for loop in above(tree, at):
                if isinstance(loop, Loop):
                    extents[loop.rank] = loop.tile
            for rank in below[0].ranks:
                if rank in self.steps or any(rank not in einsum.ranks for einsum in below):
                    continue
                for tile in self.sizes(rank):
                    if tile < extents[rank]:
                        yield put(tree, at, Loop(rank=rank, tile=tile, body=node_at(tree, at)))
