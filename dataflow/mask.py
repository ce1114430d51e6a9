"""What bounds leave of a tile: the box around its points, whether they are all there, and how many there are.

A `Mask` holds the bounds that act on one Einsum. A rank of a bound that the Einsum does not iterate takes its
most permissive value, as in `einsim.workloads.bound`. Boxes give each rank its first point and its number of
points; a rank that a box leaves out is whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from einsim.dataflow.rows import Bools
from einsim.specs.remembered import Remembered
from einsim.workloads.cascade import Bound, Cascade, Index, SameBlock
from einsim.workloads.points import Linear, acts, block_starts, count_kept, difference, relaxed

Interval = tuple[int, int]
"""First point and number of points."""
Box = Mapping[str, Interval]
Ends = NDArray[np.int64] | np.int64
Runs = tuple[NDArray[np.int64], NDArray[np.int64]]


@lru_cache(maxsize=1024)
def mask_of(cascade: Cascade, ranks: tuple[str, ...]) -> Mask:
    """The mask of an Einsum that iterates `ranks`."""
    return Mask(cascade, ranks)


class Mask:
    """The bounds of a cascade that act on what iterates `ranks`, and more; falsy where there are none. Points
    are kept for some place of the ranks `within`, of which `within` has the sizes.
    """

    def __init__(
        self, cascade: Cascade, ranks: Iterable[str], more: Iterable[Linear] = (),
        blocks: Iterable[SameBlock] = (), within: Mapping[str, int] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        mine, self.within = {*ranks, *within}, within
        self.sizes = {rank.name: rank.size for rank in cascade.ranks} | {**within}
        whole = {rank: (0, size) for rank, size in self.sizes.items()}
        acting = [bound for bound in cascade.bounds if acts(bound, mine)]
        own = (difference(bound.right, bound.left) for bound in acting if isinstance(bound, Bound))
        self.linear = (*(relaxed(each, mine, whole) for each in own), *more)
        self.blocks = (*(bound for bound in acting if isinstance(bound, SameBlock)), *blocks)
        sides = [side.ranks for bound in self.blocks for side in (bound.left, bound.right)]
        named = {rank for coefficients, _ in self.linear for rank in coefficients}
        self.tied = frozenset(named | {rank for side in sides for rank in side if rank in mine})
        self.bounds = (tuple((*sorted(c.items()), k) for c, k in self.linear), self.blocks)
        self._counted = Remembered[int](100_000)

    def __bool__(self) -> bool:
        return bool(self.linear or self.blocks)

    def whole(self, box: Box) -> bool:
        """Whether every point of the box is kept. False may still mean that all are, where blocks meet."""
        return all(self._least(linear, box) >= 0 for linear in self.linear) and all(
            self._one_block(bound, box) for bound in self.blocks
        )

    def trim(self, box: Box) -> dict[str, Interval] | None:
        """The box around the points that each bound leaves in turn; None where a bound leaves none."""
        ends = {}
        for rank in self.tied:
            start, extent = box.get(rank, (0, self.sizes[rank]))
            ends[rank] = (start, start + extent - 1)
        while True:
            before = dict(ends)
            for linear in self._constraints(ends):
                if not _narrow(linear, ends):
                    return None
            if ends == before:
                for rank in self.within:
                    ends.pop(rank, None)
                return {**box, **{rank: (low, high - low + 1) for rank, (low, high) in ends.items()}}

    def lacking(self, several: Iterable[Linear], box: Box) -> tuple[Linear, ...]:
        """Those of several constraints that some point of a box does not keep."""
        return tuple(one for one in several if self._least(one, box) < 0)

    def standing(self, box: Box) -> tuple[int, ...]:
        """Where a box stands to the bounds that cut it: boxes of the same extents that stand alike lose the
        same points. Empty where nothing is cut.
        """
        if self.whole(box):
            return ()
        found = []
        for coefficients, constant in self.linear:
            if self._least((coefficients, constant), box) >= 0:
                found += [1, 0]
                continue
            at = constant + sum(value * box.get(rank, (0, 0))[0] for rank, value in coefficients.items())
            found += [0, at]
        for bound in self.blocks:
            reach = [self._reach(side, box) for side in (bound.left, bound.right)]
            low, high = min(low for low, _ in reach), max(high for _, high in reach)
            starts = [start - low for start in block_starts(bound.lengths, high + 1) if low < start <= high]
            found += [len(starts), *starts, reach[0][0] - reach[1][0] if starts else 0]
        return tuple(found)

    def points(self, box: Box, ranks: Iterable[str]) -> int:
        """Points over `ranks` that are kept for some value of the other ranks in the box."""
        sides = {rank: box.get(rank, (0, self.sizes[rank]))[1] for rank in ranks}
        if self.whole(box):
            return math.prod(sides.values())
        tied = [rank for rank in sides if rank in self.tied]
        found = self._counted.get(self._alike(box, tied), lambda: self._left(box, tied))
        return found * math.prod(many for rank, many in sides.items() if rank not in self.tied)

    def holes(self, box: Box, ranks: Iterable[str]) -> bool:
        """Whether some place of `ranks` in a box is kept for no value of the others."""
        every = {rank: box.get(rank, (0, self.sizes[rank])) for rank in ranks}
        return self.points(box, every) < math.prod(extent for _, extent in every.values())

    def keeps(self, at: Mapping[str, NDArray[np.int64]], shape: tuple[int, ...]) -> Bools:
        """Which points of a grid are kept: `at` has the values of the tied ranks, to be broadcast."""
        if self.within and not self.within.keys() & at.keys():
            inner = np.meshgrid(*map(np.arange, self.within.values()), indexing="ij", sparse=True)
            outer = {rank: on.reshape(*on.shape, *(1 for _ in self.within)) for rank, on in at.items()}
            every = {**outer, **dict(zip(self.within, inner, strict=True))}
            kept = self.keeps(every, (*shape, *self.within.values()))
            return np.asarray(kept.any(axis=tuple(range(len(shape), kept.ndim))))
        kept = np.ones(shape, dtype=bool)
        for coefficients, constant in self.linear:
            kept &= sum((value * at[rank] for rank, value in coefficients.items()), np.int64(constant)) >= 0
        for bound in self.blocks:
            (low, high), (other_low, other_high) = (
                self._ends(side, at) for side in (bound.left, bound.right)
            )
            begin, end = _blocks_around(bound, other_low, other_high)
            kept &= (high >= begin) & (low < end)
        return kept

    def in_runs(self, rank: str) -> bool:
        """Whether what is kept along a rank has no gaps, wherever the other ranks stand."""
        return not any({rank} & set(bound.left.ranks) & set(bound.right.ranks) for bound in self.blocks)

    def runs(self, rank: str, own: Interval, at: Mapping[str, NDArray[np.int64]]) -> Runs:
        """The first and the last point along a rank `in_runs` that are kept at each place of the other tied
        ranks; the last before the first where none is.
        """
        count = len(next(iter(at.values()), np.zeros(1)))
        low, high = np.full(count, own[0]), np.full(count, own[0] + own[1] - 1)
        for coefficients, constant in self.linear:
            rest = sum((v * at[r] for r, v in coefficients.items() if r != rank), np.int64(constant))
            _cut(coefficients.get(rank, 0), rest, low, high)
        for bound in self.blocks:
            side, other = (bound.left, bound.right)[:: -1 if rank in bound.right.ranks else 1]
            begin, end = _blocks_around(bound, *self._ends(other, at))
            slope = sum(term.coefficient for term in side.terms if term.rank == rank)
            first, last = self._ends(side, {**at, rank: np.int64(0)})
            _cut(slope, last - begin, low, high)
            _cut(-slope, end - 1 - first, low, high)
        return low, high

    def _ends(self, side: Index, at: Mapping[str, Ends]) -> tuple[Ends, Ends]:
        """The least and the most that a side of a bound is, where ranks that `at` lacks take any place."""
        low: Ends = np.int64(side.offset)
        high: Ends = np.int64(side.offset)
        for term in side.terms:
            reach = term.coefficient * (self.sizes[term.rank] - 1)
            here = term.coefficient * at[term.rank] if term.rank in at else None
            low = low + (min(0, reach) if here is None else here)
            high = high + (max(0, reach) if here is None else here)
        return low, high

    def uneven(self, loop_ranks: Iterable[str], tile: int, own: Interval, box: Box) -> list[Interval]:
        """Iterations of a loop, as first and one past last, in which a bound may cut something.

        `own` is the loop's range; `box` has the ranks outside it, whatever lies inside is whole.
        """
        found: list[Interval] = []
        trips = -(-own[1] // tile)
        for rank in loop_ranks:
            if rank not in self.tied:
                continue
            for linear in self.linear:
                found += self._uneven(linear, rank, tile, own, box, trips)
            for bound in self.blocks:
                for side, other in ((bound.left, bound.right), (bound.right, bound.left)):
                    if rank not in side.ranks:
                        continue
                    low, high = self._reach(other, box)
                    begin, end = _block(bound, low, high)
                    if high >= end or rank in other.ranks:
                        return [(0, trips)]
                    for linear in _between(side, begin, end):
                        found += self._uneven(linear, rank, tile, own, box, trips)
        return found

    def _uneven(
        self, linear: Linear, rank: str, tile: int, own: Interval, box: Box, trips: int
    ) -> list[Interval]:
        coefficients, constant = linear
        slope = coefficients.get(rank, 0)
        if not slope:
            return []
        others = {name: value for name, value in coefficients.items() if name != rank}
        rest = self._least((others, constant), box)
        start = own[0]
        if slope > 0:  # kept from `need` on
            need = -(rest // slope)
            stop = min(trips, max(0, -(-(need - start) // tile)))
            return [(0, stop)] if stop else []
        last = rest // -slope  # kept up to here
        first = max(0, (last + 1 - start) // tile)
        return [(first, trips)] if first < trips and last < start + own[1] - 1 else []

    def _alike(self, box: Box, tied: list[str]) -> tuple[object, ...]:
        """What boxes that have as many points over some ranks share."""
        extents = (box.get(rank, (0, self.sizes[rank]))[1] for rank in sorted(self.tied))
        return (tuple(tied), *extents, *self.standing(box))

    def _left(self, box: Box, tied: list[str]) -> int:
        """Points over some ranks in the box around what is left of a box: along a bound those are alike."""
        left = self.trim(box) if not self.within else box
        if left is None:
            return 0
        left = {rank: left.get(rank, (0, self.sizes[rank])) for rank in {*left, *self.tied}}
        return self._counted.get(self._alike(left, tied), lambda: self._count(left, tied))

    def _count(self, box: Box, tied: list[str]) -> int:
        ranges = self._ranges(box)
        return count_kept({rank: ranges[rank] for rank in tied}, self.linear, self.blocks, ranges)

    def _ranges(self, box: Box) -> dict[str, tuple[int, int]]:
        """Half-open ranges of all ranks."""
        whole = {rank: (0, size) for rank, size in self.sizes.items()}
        return whole | {rank: (low, low + extent) for rank, (low, extent) in box.items()}

    def _least(self, linear: Linear, box: Box) -> int:
        coefficients, constant = linear
        for rank, value in coefficients.items():
            low, extent = box.get(rank, (0, self.sizes[rank]))
            constant += min(value * low, value * (low + extent - 1))
        return constant

    def _one_block(self, bound: SameBlock, box: Box) -> bool:
        low, high = self._reach(bound.left, box)
        other_low, other_high = self._reach(bound.right, box)
        return max(high, other_high) < _block(bound, min(low, other_low), max(high, other_high))[1]

    def _constraints(self, ends: Mapping[str, tuple[int, int]]) -> list[Linear]:
        """All bounds as constraints; those of blocks hold between the first and the last that both sides
        meet.
        """
        box = {rank: (low, high - low + 1) for rank, (low, high) in ends.items()}
        found = list(self.linear)
        for bound in self.blocks:
            reach = [self._reach(side, box) for side in (bound.left, bound.right)]
            first, last = max(low for low, _ in reach), min(high for _, high in reach)
            begin, end = _block(bound, min(first, last), first)[0], _block(bound, last, first)[1]
            if first >= end:  # the sides lie in different blocks
                return [({}, -1)]
            for side in (bound.left, bound.right):
                limits = _between(side, begin, end)
                found += [relaxed(each, self.tied, self._ranges(box)) for each in limits]
        return found

    def _reach(self, index: Index, box: Box) -> tuple[int, int]:
        low = high = index.offset
        for term in index.terms:
            start, extent = box.get(term.rank, (0, self.sizes[term.rank]))
            ends = (term.coefficient * start, term.coefficient * (start + extent - 1))
            low, high = low + min(ends), high + max(ends)
        return low, high


def _block(bound: SameBlock, low: int, high: int) -> tuple[int, int]:
    """Start of the block that `low` lies in, and end of that block."""
    starts = [-(2**60), *block_starts(bound.lengths, max(low, high) + 1)]
    at = max(number for number, start in enumerate(starts) if start <= low)
    return starts[at], starts[at + 1]


def _blocks_around(bound: SameBlock, low: Ends, high: Ends) -> tuple[Ends, Ends]:
    """Start of the block that `low` lies in, and end of the one that `high` does."""
    starts = np.array([-(2**60), *block_starts(bound.lengths, int(np.max(high)) + 1)])
    return (
        starts[np.searchsorted(starts, low, side="right") - 1],
        starts[np.searchsorted(starts, high, side="right")],
    )


def _cut(slope: int, rest: Ends, low: NDArray[np.int64], high: NDArray[np.int64]) -> None:
    """Cut runs from `low` to `high` to where `slope` times the point and `rest` is not below 0."""
    if slope > 0:
        np.maximum(low, -(rest // slope), out=low)
    elif slope < 0:
        np.minimum(high, rest // -slope, out=high)
    else:
        np.minimum(high, np.where(rest < 0, low - 1, high), out=high)


def _between(side: Index, begin: int, end: int) -> list[Linear]:
    """`begin <= side < end` as two constraints."""
    up, least = difference(side, Index(()))
    return [(up, least - begin), ({rank: -value for rank, value in up.items()}, end - 1 - least)]


def _narrow(linear: Linear, ends: dict[str, tuple[int, int]]) -> bool:
    """Cut the ends of every rank to what the constraint allows; False when nothing is left."""
    coefficients, constant = linear
    most = constant + sum(max(v * ends[r][0], v * ends[r][1]) for r, v in coefficients.items())
    if most < 0:
        return False
    for rank, value in coefficients.items():
        low, high = ends[rank]
        rest = most - max(value * low, value * high)
        if value > 0:
            low = max(low, -(rest // value))
        elif value < 0:
            high = min(high, rest // -value)
        if low > high:
            return False
        ends[rank] = (low, high)
    return True
