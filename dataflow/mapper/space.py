"""The map space: every mapping that the mapper may return, in words, as numbers, one by one or at random.

A mapping of the space is made of these choices:

- fusion: the Einsums, in the cascade's order, fall into groups of neighbours; groups run one after the other
  through DRAM, Einsums of a group run as a pipeline;
- of a group: which ranks that all of it iterates are shared loops, their order and tiles; the on-chip memory
  that tensors made and read inside the group stay in, below those loops;
- of an Einsum: the unit, the ranks along the unit's dimensions, one block of loops for each memory
  between DRAM and the unit, the order of each block (ranks that move the same tensors stand together,
  those that move all
  of them outermost), and each loop's tile out of a menu;
- of a tensor: above which loop it is kept in each of those memories (above one that does not move it, or
  innermost), or that the unit reads it past the innermost one.

Every keep is double-buffered. Shared loops are over ranks that no Einsum read inside the group reduces.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from functools import cached_property

import msgspec
import numpy as np

from accel.machine import Machine
from dataflow.mapper.model import cost
from dataflow.mapper.nest import Inside, Nest, leaves, nest_of, operands, orders, plain, simple
from dataflow.mapper.point import GroupPoint, NestPoint, Point
from dataflow.mapper.tables import Floats, Scales, scales, tables
from dataflow.mapper.tiles import Menu, Use, menu, undominated
from dataflow.mapper.wishes import check_wishes
from dataflow.mapping import Compute
from dataflow.templates.gemm import levels
from specs.errors import SpecError
from workloads.cascade import Cascade, Einsum
from workloads.passes import pass_of

Tiles = tuple[int, ...]


class MapSpace(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The mappings of `cascade` on `machine`, with what the user restricts.

    `menu` chooses tile sizes ("all", "perfect", "steps"); `most_fused` bounds a group (1: no fusion); `keep`
    holds a tensor whole in a memory, `{"K": "gb"}`, where its Einsum stands alone or reads it from
    outside the group; `order` fixes an Einsum's loops, outermost first; `unit` its unit; `groups` the
    fusion itself.
    Raises SpecError for names that do not exist.
    """

    cascade: Cascade
    machine: Machine
    menu: Menu = "all"
    most_fused: int = 3
    keep: Mapping[str, str] = {}
    order: Mapping[str, tuple[str, ...]] = {}
    unit: Mapping[str, str] = {}
    groups: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        check_wishes(self.cascade, self.machine, self.menu, self.most_fused, self.keep, self.order, self.unit)
        names = [einsum.name for einsum in self.cascade.einsums]
        if self.groups and [name for group in self.groups for name in group] != names:
            raise SpecError("space.groups", f"must be {', '.join(names)} in this order, cut into groups")

    def __str__(self) -> str:
        """The space in words, with its size."""
        lines = [
            f"{self.cascade.name} on {self.machine.name}: {self.count():.3g} mappings, tiles '{self.menu}'"
        ]
        if self.groups:
            lines.append("groups: " + " | ".join(" ".join(group) for group in self.groups))
        else:
            lines.append(f"groups of at most {self.most_fused} neighbouring Einsums")
        lines += [f"keep {tensor} whole in {memory}" for tensor, memory in self.keep.items()]
        lines += [f"order of {name}: {' '.join(ranks)}" for name, ranks in self.order.items()]
        lines += [f"{name} on {unit}" for name, unit in self.unit.items()]
        for einsum in self.cascade.einsums:
            found = list(self.nests(einsum, Inside()))
            units = " ".join(dict.fromkeys(nest.node.unit for nest in found))
            lines.append(f"{einsum.name}: {len(found)} loop nests on {units or 'no unit'}")
        return "\n".join(lines)

    @cached_property
    def why_not_exact(self) -> str:
        """Why the compiled model does not hold here; "" where it does."""
        for einsum in self.cascade.einsums:
            reason = simple(self.cascade, self.machine, einsum)
            if reason:
                return f"{einsum.name}: {reason}"
        return ""

    @cached_property
    def scale(self) -> Scales:
        """How counts become ticks, joules and limits on this machine."""
        return scales(self.machine)

    def fusions(self) -> Iterator[tuple[Einsum, ...]]:
        """Every group that the space allows."""
        einsums = self.cascade.einsums
        if self.groups:
            yield from (tuple(self.cascade.einsum(name) for name in group) for group in self.groups)
            return
        for first in range(len(einsums)):
            for count in range(1, min(self.most_fused, len(einsums) - first) + 1):
                group = einsums[first : first + count]
                if count == 1 or (_joined(group) and not self._rough(group)):
                    yield group

    def _rough(self, group: tuple[Einsum, ...]) -> bool:
        """Whether an Einsum reads at shifted or partial indices: it needs more than was just made."""
        return any(not plain(self.cascade, access) for e in group for access in (*e.reads, e.output))

    def insides(self, group: tuple[Einsum, ...]) -> Iterator[Inside]:
        """Shared loops (in every order) and the memory of fused tensors, for a group."""
        if len(group) == 1:
            yield Inside()
            return
        names = {einsum.name for einsum in group}
        made = [einsum for einsum in group if any(e in group for e in self.cascade.consumers(einsum.name))]
        fused = frozenset(einsum.name for einsum in made)
        leaving = frozenset(
            name for name in fused if any(e.name not in names for e in self.cascade.consumers(name))
        )
        reads = [operand.tensor for e in group for operand in operands(self.cascade, e)[:-1]]
        common = frozenset(name for name in reads if name not in fused and reads.count(name) > 1)
        ranks = [rank for rank in group[0].ranks if self._shareable(rank, group, made)]
        for count in range(len(ranks) + 1):
            for chosen in itertools.combinations(ranks, count):
                for shared in self._shared_orders(group, chosen):
                    for memory in self._common_memories(group):
                        yield Inside(
                            shared=shared, fused=fused, memory=memory, leaving=leaving, common=common
                        )

    def _shareable(self, rank: str, group: tuple[Einsum, ...], made: list[Einsum]) -> bool:
        if self.cascade.size(rank) == 1 or any(rank not in einsum.ranks for einsum in group):
            return False
        if any(rank in einsum.reduced for einsum in made):
            return False
        passes = dict(pass_of(self.cascade, rank))
        return len({passes[e.name] for e in group if passes.get(e.name) is not None}) <= 1

    def _shared_orders(self, group: tuple[Einsum, ...], ranks: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        """Orders of shared loops: ranks that move every tensor of the group stand outermost."""
        tensors = [operand for einsum in group for operand in operands(self.cascade, einsum)]
        every = [rank for rank in ranks if all(rank in operand.moved for operand in tensors)]
        for order in itertools.permutations([rank for rank in ranks if rank not in every]):
            yield (*every, *order)

    def _common_memories(self, group: tuple[Einsum, ...]) -> tuple[str, ...]:
        """On-chip memories on the way to every unit that any Einsum of the group may use."""
        chains = [
            levels(self.machine, self.machine.unit(node.unit).reads_from)
            for einsum in group
            for node in self.leaves(einsum)
        ]
        if not chains:
            return ()
        return tuple(name for name in chains[0] if all(name in other for other in chains))

    def leaves(self, einsum: Einsum) -> tuple[Compute, ...]:
        """Units and layouts of an Einsum."""
        found = leaves(self.cascade, self.machine, einsum)
        only = self.unit.get(einsum.name)
        return tuple(node for node in found if only is None or node.unit == only)

    def nests(self, einsum: Einsum, inside: Inside) -> Iterator[Nest]:
        """Loop nests of an Einsum in its surroundings."""
        for node in self.leaves(einsum):
            memories = levels(self.machine, self.machine.unit(node.unit).reads_from)
            given = self.order.get(einsum.name)
            blocks = (given,) if given else orders(self.cascade, einsum)
            for own in itertools.product(blocks, repeat=len(memories)):
                loops = tuple(itertools.chain(*own))
                nest = nest_of(self.cascade, self.machine, einsum, inside, node, loops, self.keep)
                if all(nest.choices):
                    yield nest

    def menus(self, nest: Nest, shared: Tiles = ()) -> list[Tiles]:
        """Tile sizes of each loop, ascending; `shared` gives those of the group's loops."""
        width = self.width
        own = [menu(self.cascade.size(rank), self.menu, width) for rank in nest.loops[len(shared) :]]
        return [*((size,) for size in shared), *own]

    def pruned(self, nest: Nest, shared: Tiles = ()) -> list[Tiles]:
        """`menus` without the sizes that another is never worse than; used where one loop walks a rank."""
        found = self.menus(nest, shared)
        unit = self.machine.unit(nest.node.unit)
        paced = unit.kind == "systolic" and nest.node.stationarity != "output-stationary"
        if paced or shared or self.keep or len(set(nest.loops)) < len(nest.loops):
            return found
        einsum = self.cascade.einsum(nest.einsum)
        dims = {ranks[0]: unit.dims[dim] for dim, ranks in nest.node.spatial.items() if len(ranks) == 1}
        joint = {rank for ranks in nest.node.spatial.values() if len(ranks) > 1 for rank in ranks}
        for at, rank in enumerate(nest.loops):
            if rank in joint:
                continue
            use = Use(
                size=self.cascade.size(rank), dim=dims.get(rank, 0),
                refetch=any(rank not in operand.moved for operand in operands(self.cascade, einsum)),
                gathers=rank in einsum.reduced and rank not in dims,
            )  # fmt: skip
            found[at] = undominated(found[at], use)
        return found

    @cached_property
    def width(self) -> int:
        """The narrowest dimension of the machine's units: where menus of steps begin."""
        return min(
            (size for unit in self.machine.units for d, size in unit.dims.items() if d != "cores"), default=16
        )

    def shared_tiles(self, inside: Inside) -> Iterator[Tiles]:
        """Tiles of a group's loops: each splits its rank."""
        menus = [menu(self.cascade.size(rank), self.menu, self.width)[:-1] for rank in inside.shared]
        yield from itertools.product(*menus)

    def tile_vectors(self, nest: Nest, shared: Tiles = ()) -> Iterator[Tiles]:
        """Every vector of tile sizes: a loop's tile is from its menu and below its parent's, or all of it."""
        menus = self.menus(nest, shared)

        def grow(chosen: Tiles) -> Iterator[Tiles]:
            at = len(chosen)
            if at == len(nest.loops):
                yield chosen
                return
            rank = nest.loops[at]
            above = [tile for tile, other in zip(chosen, nest.loops, strict=False) if other == rank]
            whole = above[-1] if above else self.cascade.size(rank)
            if at < len(shared):
                yield from grow((*chosen, shared[at]))
                return
            for size in (*(size for size in menus[at] if size < whole), whole):
                yield from grow((*chosen, size))

        yield from grow(())

    def _vectors(self, nest: Nest, shared: Tiles) -> int:
        """How many vectors of tile sizes there are: ranks are independent of each other."""
        menus = self.menus(nest, shared)
        total = 1
        for rank in dict.fromkeys(nest.loops):
            places = [at for at, other in enumerate(nest.loops) if other == rank]
            ways = {self.cascade.size(rank): 1}
            for at in places:
                nexts: dict[int, int] = {}
                for whole, number in ways.items():
                    sizes = (
                        (menus[at][0],) if at < len(shared) else (*(s for s in menus[at] if s < whole), whole)
                    )
                    for size in sizes:
                        nexts[size] = nexts.get(size, 0) + number
                ways = nexts
            total *= sum(ways.values())
        return total

    def largest_nest(self) -> int:
        """Vectors of tile sizes of the largest loop nest."""
        every = (nest for einsum in self.cascade.einsums for nest in self.nests(einsum, Inside()))
        return max((math.prod(map(len, self.pruned(nest))) for nest in every), default=0)

    def count(self) -> int:
        """How many points the space has (capacities and legality of partial sums not yet looked at)."""
        einsums = self.cascade.einsums
        index = {einsum.name: at for at, einsum in enumerate(einsums)}
        ways = [1] + [0] * len(einsums)
        for group in sorted(self.fusions(), key=lambda group: index[group[0].name]):
            first = index[group[0].name]
            ways[first + len(group)] += ways[first] * self._group_count(group)
        return ways[-1]

    def _group_count(self, group: tuple[Einsum, ...]) -> int:
        total = 0
        for inside in self.insides(group):
            every = [list(self.nests(einsum, inside)) for einsum in group]
            for shared in self.shared_tiles(inside):
                total += math.prod(
                    sum(self._vectors(nest, shared) * math.prod(map(len, nest.choices)) for nest in found)
                    for found in every
                )
        return total

    def nest_points(self, nest: Nest, shared: Tiles = ()) -> Iterator[NestPoint]:
        """Every point of one nest."""
        for tiles in self.tile_vectors(nest, shared):
            for chosen in itertools.product(*(range(len(choices)) for choices in nest.choices)):
                yield NestPoint(nest=nest, tiles=tiles, chosen=chosen)

    def group_points(self, group: tuple[Einsum, ...]) -> Iterator[GroupPoint]:
        """Every point of one group."""
        for inside in self.insides(group):
            for shared in self.shared_tiles(inside):
                every = [
                    [point for nest in self.nests(einsum, inside) for point in self.nest_points(nest, shared)]
                    for einsum in group
                ]
                for points in itertools.product(*every):
                    yield GroupPoint(inside=inside, nests=points)

    def points(self) -> Iterator[Point]:
        """Every point: for small spaces only."""
        groups = {tuple(e.name for e in group): list(self.group_points(group)) for group in self.fusions()}
        names = tuple(einsum.name for einsum in self.cascade.einsums)
        for parts in _cuts(names, frozenset(groups)):
            for chosen in itertools.product(*(groups[part] for part in parts)):
                yield Point(groups=chosen)

    def sample(self, rng: random.Random, tries: int = 200) -> Point | None:
        """A random point whose groups each fit their memories; None where `tries` found none."""
        fusions = {tuple(e.name for e in group): group for group in self.fusions()}
        names = tuple(einsum.name for einsum in self.cascade.einsums)
        for _ in range(tries):
            parts: list[tuple[str, ...]] = []
            at = 0
            while at < len(names):
                parts.append(rng.choice([part for part in fusions if part == names[at : at + len(part)]]))
                at += len(parts[-1])
            found = [self._sample_group(fusions[part], rng) for part in parts]
            groups = tuple(group for group in found if group is not None)
            if len(groups) == len(parts):
                return Point(groups=groups)
        return None

    def _sample_group(self, group: tuple[Einsum, ...], rng: random.Random) -> GroupPoint | None:
        inside = rng.choice(list(self.insides(group)))
        shared = tuple(
            rng.choice(menu(self.cascade.size(rank), self.menu, self.width)[:-1]) for rank in inside.shared
        )
        points = []
        for einsum in group:
            nest = rng.choice(list(self.nests(einsum, inside)))
            tiles: list[int] = []
            left = {rank: self.cascade.size(rank) for rank in nest.loops}
            for at, (rank, sizes) in enumerate(zip(nest.loops, self.menus(nest, shared), strict=True)):
                whole = left[rank]
                below = [size for size in sizes if size < whole]
                left[rank] = sizes[0] if at < len(shared) else rng.choice([*below, whole])
                tiles.append(left[rank])
            chosen = tuple(rng.randrange(len(choices)) for choices in nest.choices)
            points.append(NestPoint(nest=nest, tiles=tuple(tiles), chosen=chosen))
        made = GroupPoint(inside=inside, nests=tuple(points))
        return made if self.total(made)[1] else None

    def row(self, point: NestPoint) -> tuple[Floats, bool]:
        """One nest's ticks by engine, joules and bytes by memory (see `Scales`), and whether it is legal."""
        table = tables(self.cascade, self.machine, point.nest, self.scale)
        rows, legal = cost(table, np.array([point.tiles], np.int64).reshape(1, -1), np.array([point.chosen]))
        return rows[0], bool(legal[0])

    def total(self, group: GroupPoint) -> tuple[Floats, bool]:
        """A group's row, and whether its nests are legal and together fit every memory."""
        found = [self.row(point) for point in group.nests]
        total: Floats = np.sum([row for row, _ in found], axis=0)
        held = total[len(self.scale.engines) + 1 :]
        fits = all(legal for _, legal in found) and bool(np.all(held <= np.array(self.scale.capacity)))
        return total, fits


def _joined(group: tuple[Einsum, ...]) -> bool:
    """Whether each Einsum after the first shares a tensor with one before it: fusing strangers gains nothing
    that the groups' order does not.
    """
    seen = {group[0].name}
    for einsum in group[1:]:
        if not any(access.tensor in seen for access in einsum.reads):
            return False
        seen.add(einsum.name)
    return True


def _cuts(
    names: tuple[str, ...], groups: frozenset[tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Every way to cut `names` into allowed groups."""
    if not names:
        yield ()
        return
    for count in range(1, len(names) + 1):
        if names[:count] in groups:
            for rest in _cuts(names[count:], groups):
                yield (names[:count], *rest)
