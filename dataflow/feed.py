"""What a unit reads in the steps of a tile: in each step, each different value that its lanes use, once.

A step is one fold of every dimension and one place of the ranks that are walked in time. Nothing stays in a
lane from step to step but the stationary operand, which passes once a fold. Where cores share a memory that
multicasts, they read together; else each core reads for itself. docs/mappings.md states the rules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from einsim.accel.machine import Unit
from einsim.dataflow.cores import copied, cores_ranks
from einsim.dataflow.mapping import Compute
from einsim.dataflow.mask import Box, Mask
from einsim.dataflow.passing import kind_of, passed
from einsim.workloads.cascade import Access, Einsum, Index

Ints = NDArray[np.int64]

MOST_VISITED = 2**15
"""Points of a tile that are visited one by one at most."""
DENSE = 64
"""Numbers up to so many times their count are told apart in a table, which is faster than sorting them."""
MOST_FOLDS = 4096
"""Folds of a tile in which what bounds leave is counted one by one."""


def stationary(node: Compute, einsum: Einsum) -> Access | None:
    """The operand that stays in the array: the one that moves with most of the ranks laid on it.

    Of several, weight-stationary takes the last one written, input-stationary the first. Output-stationary
    none, but where a reduced rank is laid on the array results can't stay there: then one that moves with all
    of them.
    """
    laid = {rank for dim, ranks in node.spatial.items() if dim != "cores" for rank in ranks}
    order = einsum.reads if node.stationarity == "input-stationary" else einsum.reads[::-1]
    if node.stationarity == "output-stationary":
        order = tuple(read for read in order if laid & set(einsum.reduced) and laid <= set(read.ranks))
    return max(order, key=lambda access: len(laid & set(access.ranks)), default=None)


class LaidTile:
    """A tile laid out on a unit: `tile` has the points of each rank, `work` those that sparsity leaves of
    them, `mask` the bounds that cut the tile, None where they leave it whole.
    """

    def __init__(
        self, unit: Unit, node: Compute, einsum: Einsum, tile: Box, work: Mapping[str, int], mask: Mask | None
    ) -> None:
        self.unit, self.node, self.einsum, self.tile, self.work, self.mask = (
            unit,
            node,
            einsum,
            tile,
            work,
            mask,
        )
        self.cores = unit.dims.get("cores", 1)
        self.shared_out = cores_ranks(node)
        self.dims = {dim: ranks for dim, ranks in node.spatial.items() if dim != "cores"}
        self.placed = {rank for ranks in self.dims.values() for rank in ranks}
        self.alone = tuple(rank for rank in self.shared_out if rank not in self.placed)
        self.in_time = tuple(rank for rank in einsum.ranks if rank not in {*self.placed, *self.shared_out})
        self.still = stationary(node, einsum)
        self._grid: dict[frozenset[str], tuple[dict[str, Ints], Ints, Ints]] = {}

    def points(self) -> int:
        """Points that are computed."""
        whole = math.prod(self.work[rank] for rank in self.einsum.ranks)
        if self.mask is None:
            return whole
        dense = math.prod(self.tile[rank][1] for rank in self.einsum.ranks)
        return -(-self.mask.points(self.tile, self.einsum.ranks) * whole // dense)

    def steps(self) -> int:
        """Steps of the core that has most; one in which no lane has a point takes none."""
        if (self.mask is not None or self._mixed) and self._few():
            at, core, step = self._visited(frozenset())
            steps = int(step.max(initial=-1)) + 1
            pairs = np.unique(core * steps + step)
            free = [rank for rank in self.in_time if rank not in at]
            return (int(np.bincount(pairs // steps).max()) if steps else 0) * self._times(free)
        folds = math.prod(self.folds(dim) for dim in self.dims if not self._cut_by_folds({*self.dims[dim]}))
        free = [rank for rank in self.in_time if not self._cut_by_folds({rank})]
        return (
            folds
            * self._shares()
            * self._times(free)
            * self._left([r for r in self.in_time if r not in free])
        )

    def _cut_by_folds(self, ranks: set[str]) -> bool:
        """Whether the mask is counted fold by fold in these ranks."""
        return self.mask is not None and self._by_folds and bool(ranks & self.mask.tied)

    @cached_property
    def _by_folds(self) -> bool:
        """Whether each tied rank lies alone along a dimension or is walked in time, in few enough folds.
        Where it does not, and there are too many points to visit, steps are those of the whole box.
        """
        if self.mask is None or self.mask.tied & set(self.shared_out):
            return False
        tied = [dim for dim, ranks in self.dims.items() if self.mask.tied & set(ranks)]
        return (
            all(len(self.dims[dim]) == 1 for dim in tied) and math.prod(map(self.folds, tied)) <= MOST_FOLDS
        )

    def _left(self, ranks: list[str]) -> int:
        """Points over some tied ranks, summed over the folds of the tied ranks along dimensions."""
        if self.mask is None or not self._by_folds:
            return 1
        return sum(times * self.mask.points(left, ranks) for times, left in self._cut_folds)

    @cached_property
    def _cut_folds(self) -> list[tuple[int, dict[str, tuple[int, int]]]]:
        """What bounds leave of the folds of the tied ranks, those that lose nothing as one that stands for
        all of them.
        """
        boxes: list[tuple[int, dict[str, tuple[int, int]]]] = [(1, dict(self.tile))]
        if self.mask is None:
            return boxes
        for dim, ranks in self.dims.items():
            if self.mask.tied & set(ranks):
                boxes = [
                    (times * alike, {**box, ranks[0]: cut})
                    for times, box in boxes
                    for alike, cut in self._cuts(ranks[0], self.unit.dims[dim], box)
                ]
        return [(times, left) for times, box in boxes if (left := self.mask.trim(box)) is not None]

    def _cuts(self, rank: str, lanes: int, box: Box) -> list[tuple[int, tuple[int, int]]]:
        """Folds of a rank along a dimension, with how many are alike."""
        low, extent = box[rank]
        folds = -(-extent // lanes)
        alone = {folds - 1} if extent % lanes else set[int]()
        if self.mask is not None:
            for first, stop in self.mask.uneven((rank,), lanes, (low, extent), box):
                alone.update(range(max(0, first), min(stop, folds)))
        found = [(1, (low + at * lanes, min(lanes, extent - at * lanes))) for at in sorted(alone)]
        whole = next((at for at in range(folds) if at not in alone), None)
        return found if whole is None else [*found, (folds - len(alone), (low + whole * lanes, lanes))]

    def _few(self) -> bool:
        """Whether the points that bounds tie, and what lies along the unit with them, can be visited."""
        return math.prod(self.tile[rank][1] for rank in self._grid_ranks(frozenset())) <= MOST_VISITED

    def _grid_ranks(self, more: frozenset[str]) -> list[str]:
        tied = self.mask.tied if self.mask is not None else frozenset()
        chosen = {*self.placed, *self.shared_out, *tied, *more}
        return [rank for rank in self.einsum.ranks if rank in chosen]

    def folds(self, dim: str) -> int:
        """Folds of the tile over one dimension, on the core that has most of it."""
        return -(-self.lanes(dim) // self.unit.dims[dim])

    def lanes(self, dim: str) -> int:
        """Points along one dimension, on the core that has most of them."""
        ranks = self.dims.get(dim, ())
        rest = [rank for rank in ranks if rank not in self.shared_out]
        return self._times(rest) * self._on_a_core(tuple(rank for rank in self.shared_out if rank in ranks))

    def _on_a_core(self, ranks: tuple[str, ...]) -> int:
        """Places of some of the ranks that go round the cores, on the core that has most of them."""
        if not ranks:
            return 1
        extents = tuple(self.work[rank] for rank in self.shared_out)
        return _round_the_cores(extents, tuple(rank in ranks for rank in self.shared_out), self.cores)

    def _shares(self) -> int:
        """Places of the cores' own ranks that one core takes in time."""
        return self._on_a_core(self.alone)

    @property
    def _mixed(self) -> bool:
        """Whether the ranks that go round the cores lie along dimensions in part, or along several."""
        return sum(bool(set(ranks) & set(self.shared_out)) for ranks in (*self.dims.values(), self.alone)) > 1

    def _times(self, ranks: tuple[str, ...] | list[str]) -> int:
        return math.prod(self.work[rank] for rank in ranks)

    def read(self, accesses: tuple[Access, ...], whole: frozenset[str], *, apart: bool) -> int:
        """Elements of one tensor that all its accesses read. `whole` are ranks along which the operand, or
        another one that the unit skips by, is sparse: what moves with them passes whole. `apart`: each core
        by itself.
        """
        mixed = frozenset(
            rank for rank in self.in_time if len({_terms(access, rank) for access in accesses}) > 1
        )
        plain = (
            len(accesses) == 1 and self._separable(accesses[0]) and not (apart and self._split(accesses[0]))
        )
        few = math.prod(self.tile[rank][1] for rank in self._grid_ranks(mixed)) <= MOST_VISITED
        if few and not (plain and self.mask is None and not self._mixed):
            return self._read_visited(accesses, mixed, apart=apart)
        return sum(self._read_one(one, whole & set(one.ranks), apart=apart) for one in accesses)

    def _read_visited(self, accesses: tuple[Access, ...], mixed: frozenset[str], *, apart: bool) -> int:
        at, core, step = self._visited(mixed)
        free = [rank for rank in self.in_time if rank not in at]
        if self.still in accesses:
            free = [rank for rank in free if rank in accesses[0].ranks]
        found = []
        for access in accesses:
            columns = [core if apart else np.zeros_like(core), self._pass(access, at, step)]
            for index in access.indices:
                terms = (term.coefficient * at[term.rank] for term in index.terms if term.rank in at)
                columns.append(sum(terms, np.zeros_like(core)) + index.offset)
            found.append(np.stack(columns))
        return _different(np.concatenate(found, axis=1)) * self._times(free)

    def _pass(self, access: Access, at: Mapping[str, Ints], step: Ints) -> Ints:
        """The step in which a visited point's operand passes: of the stationary one, its fold."""
        if access != self.still:
            return step
        columns = [at[rank] for rank in self.in_time if rank in at and rank in access.ranks]
        return _number(np.stack([self._fold, *columns]))

    def _read_one(self, access: Access, whole: frozenset[str] | set[str], *, apart: bool) -> int:
        mine, still = set(access.ranks), access == self.still
        total, left = 1, set[str]()
        for rank in self.in_time:
            if rank not in mine and still:
                continue
            if self._cut_by_folds({rank}):
                left.add(rank)
            else:
                total *= self.tile[rank][1] if rank in whole else self.work[rank]
        for dim, ranks in self.dims.items():
            if self._cut_by_folds({*ranks}):
                left |= mine & set(ranks)
            else:
                total *= self._passed(ranks, self.unit.dims[dim], mine, whole, apart=apart)
        total *= self._left([rank for rank in self.einsum.ranks if rank in left])
        if still and self.alone:
            own = math.prod(
                self.tile[rank][1] if rank in whole else self.work[rank]
                for rank in self.alone
                if rank in mine
            )
            return int(total * own * (copied(self.unit, self.node, mine, self.work) if apart else 1))
        lanes = 1 if apart else self.cores  # places of the cores' own ranks, so many at a time
        return total * self._passed(self.alone, lanes, mine, whole, apart=apart)

    def _passed(
        self, ranks: tuple[str, ...], lanes: int, mine: set[str], whole: frozenset[str] | set[str], *,
        apart: bool,
    ) -> int:  # fmt: skip
        """Values of an operand along one dimension, over its folds; what passes whole stands where its rank
        begins.
        """
        times = math.prod(self.tile[rank][1] for rank in ranks if rank in whole)
        core = next((at for at, r in enumerate(ranks) if r in self.shared_out and r in self.placed), -1)
        found = passed(
            np.array([self.work[rank] for rank in ranks], np.float64),
            np.array([kind_of(rank, mine, whole) for rank in ranks], np.int64),
            len(ranks), float(lanes), core, float(self.cores), apart,
        )  # fmt: skip
        return times * int(found)

    def _split(self, access: Access) -> bool:
        """Whether cores that read for themselves share out several ranks of which the access lacks some."""
        return len(self.shared_out) > 1 and bool(set(self.shared_out) - set(access.ranks))

    def _separable(self, access: Access) -> bool:
        """Whether lanes that differ in a rank of the access use different values of it."""
        spatial = self.placed | set(self.shared_out)
        return all(
            len(spatial & set(index.ranks)) < 2 or _nested(index, self.tile) for index in access.indices
        )

    def _visited(self, more: frozenset[str]) -> tuple[dict[str, Ints], Ints, Ints]:
        """Values of the ranks that lie along the unit or are tied by bounds, core and step of every point
        that is left, visited one by one.
        """
        if more in self._grid:
            return self._grid[more]
        ranks = self._grid_ranks(more)
        sides = [self.tile[rank] for rank in ranks]
        grid = np.meshgrid(*(np.arange(low, low + extent) for low, extent in sides), indexing="ij")
        at = {rank: values.reshape(-1) for rank, values in zip(ranks, grid, strict=True)}
        if self.mask is not None:
            kept = self.mask.keeps(at, next(iter(at.values())).shape)
            at = {rank: values[kept] for rank, values in at.items()}
        count = len(next(iter(at.values()))) if at else 1
        core = self._flat(self.shared_out, at, count, absolute=True) % self.cores
        columns = []
        for dim, dim_ranks in self.dims.items():
            columns.append(self._own(dim_ranks, at, core, count) // self.unit.dims[dim])
        columns = columns or [np.zeros(count, dtype=np.int64)]
        self._fold = _number(np.stack(columns))
        columns.append(self._own(self.alone, at, core, count))
        columns += [at[rank] for rank in self.in_time if rank in at]
        step = _number(np.stack(columns))
        self._grid[more] = (at, core, step)
        return at, core, step

    def _flat(
        self, ranks: tuple[str, ...], at: Mapping[str, Ints], count: int, *, absolute: bool = False
    ) -> Ints:
        """Places of several ranks as one number, the first from 0 if `absolute`, all others from the tile's
        first.
        """
        found = np.zeros(count, dtype=np.int64)
        for number, rank in enumerate(ranks):
            low, extent = self.tile[rank]
            found = found * extent + at[rank] - (0 if absolute and not number else low)
        return found

    def _own(self, ranks: tuple[str, ...], at: Mapping[str, Ints], core: Ints, count: int) -> Ints:
        """Places along some ranks; of those that go round the cores, among its core's own."""
        if not set(self.shared_out) & set(ranks):
            return self._flat(ranks, at, count)
        if ranks == self.shared_out:
            return self._flat(ranks, at, count) // self.cores
        every = np.meshgrid(
            *(np.arange(self.tile[r][0], sum(self.tile[r])) for r in self._around(ranks)), indexing="ij"
        )
        box = {rank: values.reshape(-1) for rank, values in zip(self._around(ranks), every, strict=True)}
        size = len(next(iter(box.values())))
        home = self._flat(self.shared_out, box, size, absolute=True) % self.cores
        mine, theirs = self._flat(ranks, at, count), self._flat(ranks, box, size)
        found = np.zeros(count, dtype=np.int64)
        for number in np.unique(core):
            found[core == number] = np.searchsorted(np.unique(theirs[home == number]), mine[core == number])
        return found

    def _around(self, ranks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*ranks, *self.shared_out)))


def _key(columns: Ints) -> tuple[Ints, int]:
    """One number for each column of an array, the same for the same numbers, and what all are below."""
    key: Ints = np.zeros(columns.shape[1], dtype=np.int64)
    below = 1
    for row in columns:
        low = int(row.min(initial=0))
        size = int(row.max(initial=0)) - low + 1
        if below * size > DENSE * len(key):
            key, below = _closed(key, below)
        key, below = key * size + (row - low), below * size
    return key, below


def _closed(key: Ints, below: int) -> tuple[Ints, int]:
    """The numbers' places among the different ones, and how many those are."""
    if below <= DENSE * len(key):
        there = np.bincount(key) > 0
        return (np.cumsum(there) - 1)[key], int(np.count_nonzero(there))
    different, places = np.unique(key, return_inverse=True)
    return places.reshape(-1), len(different)


def _different(columns: Ints) -> int:
    return _closed(*_key(columns))[1]


def _number(columns: Ints) -> Ints:
    """The columns' places among the different ones."""
    return _closed(*_key(columns))[0]


def _terms(access: Access, rank: str) -> tuple[int, ...]:
    """Coefficients of a rank in each index."""
    return tuple(sum(t.coefficient for t in index.terms if t.rank == rank) for index in access.indices)


def _nested(index: Index, tile: Box) -> bool:
    """Whether different points of the index's ranks have different values."""
    reach = 0
    for term in sorted(index.terms, key=lambda term: abs(term.coefficient)):
        extent = tile[term.rank][1] if term.rank in tile else 1
        if extent > 1 and abs(term.coefficient) <= reach:
            return False
        reach += abs(term.coefficient) * (extent - 1)
    return True


@lru_cache(maxsize=4096)
def _round_the_cores(extents: tuple[int, ...], chosen: tuple[bool, ...], cores: int) -> int:
    """Different places of the chosen ranks that one core has at most, where all places go round the cores."""
    if all(chosen):
        return -(-math.prod(extents) // cores)
    if chosen[-1] and chosen.count(True) == 1 and extents[-1] % cores == 0:
        return extents[-1] // cores
    if math.prod(extents) > 2**22:  # every place, which is never too few
        return math.prod(n for n, one in zip(extents, chosen, strict=True) if one)
    at = np.indices(extents).reshape(len(extents), -1)
    core = np.arange(at.shape[1]) % cores
    mine = np.ravel_multi_index(
        tuple(at[list(chosen)]), tuple(n for n, one in zip(extents, chosen, strict=True) if one)
    )
    pairs = np.unique(core * (mine.max() + 1) + mine)
    return int(np.bincount(pairs // (mine.max() + 1)).max())
