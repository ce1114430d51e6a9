"""Tile sizes of a nest's loops: the menus, what can be left out of them, and every vector of them."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import msgspec
import numpy as np

from einsim.accel.machine import Machine
from einsim.dataflow.cores import cores_ranks, read_apart
from einsim.dataflow.leaf import leave_each_step, load_steps
from einsim.dataflow.mapper.nest import Nest, name_of, operands, shifts
from einsim.dataflow.mapper.point import NestPoint
from einsim.dataflow.mapper.tiles import Menu, RankUse, menu, menu_from, narrowest, undominated
from einsim.dataflow.mapping import Compute
from einsim.dataflow.mask import mask_of
from einsim.dataflow.templates.sizes import group_along
from einsim.specs.arrays import Bools, Ints
from einsim.workloads.cascade import Cascade, Einsum

TileVector = tuple[int, ...]


class TileSpace(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The tile sizes of a map space: its menu, whether a tensor is kept whole, Einsums of a given order."""

    cascade: Cascade
    machine: Machine
    menu: Menu
    keeps: bool = False
    ordered: frozenset[str] = frozenset()

    @cached_property
    def width(self) -> int:
        """Where menus of steps begin."""
        return narrowest(self.machine)

    @cached_property
    def cores(self) -> int:
        """Cores of the machine's matrix units."""
        return max((unit.dims.get("cores", 1) for unit in self.machine.matrix_units), default=1)

    def splits(self, rank: str) -> TileVector:
        """The sizes that split a rank, ascending."""
        return menu(self.cascade.size(rank), self.menu, self.width, self.cores, self.group(rank))[:-1]

    def group(self, rank: str) -> int:
        """Points of a rank that tiles take together."""
        if rank not in self._groups:
            self._groups[rank] = group_along(self.cascade, self.machine, rank)
        return self._groups[rank]

    @cached_property
    def _groups(self) -> dict[str, int]:
        return {}

    @cached_property
    def loops(self) -> dict[tuple[object, ...], Loops]:
        """What `loops_of` has found, by leaf and loops."""
        return {}


class Loops(NamedTuple):
    """A nest's loops without the shared tiles: the least tile and the menu of each, its rank's size, and the
    last of the group's loops that walks the same rank (-1: none).
    """

    least: TileVector
    sizes_of: tuple[TileVector, ...]
    whole: Ints
    source: Ints

    def allow(self, shared: Ints) -> Bools:
        """Which of the shared tiles [n, loops] occupy what lies alone along cores or a dimension."""
        allowed: Bools = np.all(shared >= np.array(self.least[: shared.shape[1]], np.int64), axis=1)
        return allowed

    def menus(self, shared: TileVector) -> list[TileVector]:
        """Tile sizes of each loop, ascending; some menu is empty where the shared tiles aren't allowed."""
        given = [(tile,) if tile >= least else () for tile, least in zip(shared, self.least, strict=False)]
        return [*given, *self.sizes_of[len(shared) :]]

    def roots(self, shared: Ints) -> Ints:
        """The tiles where no loop of the nest's own is split, for each of the shared tiles [n, loops]."""
        found = np.repeat(self.whole[None], len(shared), axis=0)
        below = self.source >= 0
        found[:, below] = shared[:, self.source[below]]
        return found


def loops_of(space: TileSpace, nest: Nest) -> Loops:
    """The loops of a nest. A tile of a rank that lies alone along the cores or a dimension occupies all of
    it, where the rank has as many points.
    """
    key = (name_of(nest.node), nest.loops, nest.shared)
    if key not in space.loops:
        space.loops[key] = _loops_of(space, nest)
    return space.loops[key]


def _loops_of(space: TileSpace, nest: Nest) -> Loops:
    sizes = [space.cascade.size(rank) for rank in nest.loops]
    filled = {rank: _least(space, nest, rank) for rank in {*nest.loops}}
    least = tuple(min(size, filled[rank]) for size, rank in zip(sizes, nest.loops, strict=True))
    last = {rank: at for at, rank in enumerate(nest.loops[: nest.shared])}
    return Loops(
        least=least,
        sizes_of=tuple(
            menu_from(low, size, space.menu, space.width, space.cores, space.group(rank))
            for low, size, rank in zip(least, sizes, nest.loops, strict=True)
        ),
        whole=np.array(sizes, np.int64),
        source=np.array([last.get(rank, -1) for rank in nest.loops], np.int64),
    )


def menus(space: TileSpace, nest: Nest, shared: TileVector = ()) -> list[TileVector]:
    """Tile sizes of each loop, ascending; `shared` gives those of the group's loops."""
    return loops_of(space, nest).menus(shared)


def _least(space: TileSpace, nest: Nest, rank: str) -> int:
    """Points of a rank that occupy the cores and the dimension along which it lies alone."""
    dims = space.machine.unit(nest.node.unit).dims
    return math.prod(dims[dim] for dim, ranks in nest.node.spatial.items() if ranks == (rank,))


def pruned(space: TileSpace, nest: Nest, shared: TileVector = ()) -> list[TileVector]:
    """`menus` without the sizes that another is never worse than; used where one loop walks a rank."""
    found = menus(space, nest, shared)
    unit = space.machine.unit(nest.node.unit)
    paced = load_steps(unit, nest.node) or unit.convention
    if paced or shared or space.keeps or len(set(nest.loops)) < len(nest.loops):
        return found
    einsum = space.cascade.einsum(nest.einsum)
    if _uneven(space, einsum, nest.node):
        return found
    dims = {ranks[0]: unit.dims[dim] for dim, ranks in nest.node.spatial.items() if len(ranks) == 1}
    joint = {rank for ranks in nest.node.spatial.values() if len(ranks) > 1 for rank in ranks}
    pairs = [pair for read in einsum.reads for pair in (shifts(space.cascade, read) or {}).items()]
    added = {rank for near, (far, _) in pairs for rank in (near, far)}  # tiles of these share elements
    for at, rank in enumerate(nest.loops):
        if rank in joint | mask_of(space.cascade, einsum.ranks).tied | added:
            continue
        use = RankUse(
            size=space.cascade.size(rank), dim=dims.get(rank, 0),
            refetch=any(rank not in operand.moved for operand in operands(space.cascade, einsum)),
            gathers=rank in einsum.reduced and rank not in dims,
        )  # fmt: skip
        found[at] = undominated(found[at], use)
    return found


def _uneven(space: TileSpace, einsum: Einsum, node: Compute) -> bool:
    """Whether a tile size acts through more than `einsim.dataflow.mapper.tiles` knows: bytes or accesses
    rounded tile by tile, points left out, operands that several cores read, partial sums of a fold.
    """
    tensors = [space.cascade.tensor(name) for name in (einsum.name, *(a.tensor for a in einsum.reads))]
    bits = math.lcm(*(8 * memory.access_bytes for memory in space.machine.memories))
    rounded = any(tensor.bits % bits or tensor.sparsity.patterns for tensor in tensors)
    apart = any(read_apart(space.machine, memory.name) for memory in space.machine.memories)
    along = {rank for ranks in node.spatial.values() for rank in ranks}
    stays = leave_each_step(node) or bool(along & set(einsum.reduced))
    return rounded or stays or (apart and bool(cores_ranks(node)))


def twins(space: TileSpace, nest: Nest) -> list[int]:
    """For each loop: -1, or the first loop of those up to this one that, all whole, make this nest a copy
    of another. Two runs of ranks that move the same tensors, side by side in a block, are two orders;
    where neither is split they are one mapping, and only the order in which the Einsum names them counts.
    """
    einsum = space.cascade.einsum(nest.einsum)
    found = [-1] * len(nest.loops)
    if nest.einsum in space.ordered:
        return found
    every = operands(space.cascade, einsum)
    kinds = {rank: tuple(rank in operand.moved for operand in every) for rank in einsum.ranks}
    place = {kind: at for at, kind in reversed(list(enumerate(kinds.values())))}
    block = len(set(nest.loops[nest.shared :]))
    for begin in range(nest.shared, len(nest.loops), max(1, block)):
        runs = [
            [at for at, _ in run]
            for _, run in itertools.groupby(
                enumerate(nest.loops[begin : begin + block], begin), key=lambda item: kinds[item[1]]
            )
        ]
        for before, run in itertools.pairwise(runs):
            one, two = kinds[nest.loops[before[0]]], kinds[nest.loops[run[0]]]
            if not all(one) and place[one] > place[two]:
                found[run[-1]] = before[0]
    return found


def tile_vectors(space: TileSpace, nest: Nest, shared: TileVector = ()) -> Iterator[TileVector]:
    """Every vector of tile sizes: a loop's tile is from its menu and below its parent's, or all of it."""
    sizes_of = menus(space, nest, shared)
    if not all(sizes_of):
        return

    def grow(chosen: TileVector) -> Iterator[TileVector]:
        at = len(chosen)
        if at == len(nest.loops):
            yield chosen
            return
        rank = nest.loops[at]
        above = [tile for tile, other in zip(chosen, nest.loops, strict=False) if other == rank]
        whole = above[-1] if above else space.cascade.size(rank)
        if at < len(shared):
            yield from grow((*chosen, shared[at]))
            return
        for size in (*(size for size in sizes_of[at] if size < whole), whole):
            yield from grow((*chosen, size))

    yield from grow(())


def count_vectors(space: TileSpace, nest: Nest, shared: TileVector) -> int:
    """How many vectors of tile sizes there are: ranks are independent of each other."""
    sizes_of = menus(space, nest, shared)
    if not all(sizes_of):
        return 0
    total = 1
    for rank in dict.fromkeys(nest.loops):
        places = [at for at, other in enumerate(nest.loops) if other == rank]
        ways = {space.cascade.size(rank): 1}
        for at in places:
            nexts: dict[int, int] = {}
            for whole, number in ways.items():
                sizes = (
                    (sizes_of[at][0],)
                    if at < len(shared)
                    else (*(s for s in sizes_of[at] if s < whole), whole)
                )
                for size in sizes:
                    nexts[size] = nexts.get(size, 0) + number
            ways = nexts
        total *= sum(ways.values())
    return total


def nest_points(space: TileSpace, nest: Nest, shared: TileVector = ()) -> Iterator[NestPoint]:
    """Every point of one nest."""
    for tiles in tile_vectors(space, nest, shared):
        for chosen in itertools.product(*(range(len(choices)) for choices in nest.choices)):
            yield NestPoint(nest=nest, tiles=tiles, chosen=chosen)


def sample_nest(space: TileSpace, nest: Nest, shared: TileVector, rng: random.Random) -> NestPoint:
    """A random point of one nest, none of whose menus is empty."""
    tiles: list[int] = []
    left = {rank: space.cascade.size(rank) for rank in nest.loops}
    for at, (rank, sizes) in enumerate(zip(nest.loops, menus(space, nest, shared), strict=True)):
        whole = left[rank]
        below = [size for size in sizes if size < whole]
        left[rank] = sizes[0] if at < len(shared) else rng.choice([*below, whole])
        tiles.append(left[rank])
    chosen = tuple(rng.randrange(len(choices)) for choices in nest.choices)
    return NestPoint(nest=nest, tiles=tuple(tiles), chosen=chosen)
