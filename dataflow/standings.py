"""How many tiles there are of each kind that affine bounds make: of those that stand alike to them one is
looked at.

Where a loop's tile stands to a bound is one number (`Mask.standing`). Tiles of the same extents with the same
numbers lose the same points, with all that lies inside them: along a diagonal these are few, however many
tiles there are. States of the loops so far, outermost first, are rows of arrays. Each loop makes a row of
each of its iterations that bounds may cut, and one of those that they leave alike; those alike are merged.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from einsim.dataflow.mask import Mask
from einsim.dataflow.rows import Bools, Ints, number
from einsim.dataflow.sides import Sides, least, standing, trimmed, whole, wholes
from einsim.dataflow.tile_keys import Key, LoopPath
from einsim.workloads.points import MOST_STEPS

FEW: Final = 64
"""Iterations of all loops together up to which a path counts its positions one by one."""
MOST_ROWS: Final = 2**18
"""Rows that are made at once."""


def stands(path: LoopPath) -> bool:
    """Whether a path's positions can be counted so, and are enough to gain by it."""
    if path.cut is None or math.prod(path.loops[at].count for at in path.tied) <= FEW:
        return False
    tied = set(path.cut.places).union(*(mask.tied for mask in path.cut.masks))
    several = (set(loop.ranks) for loop in path.loops if len(loop.ranks) > 1)
    reach = (
        abs(constant) + sum(abs(value) * mask.sizes[rank] for rank, value in coefficients.items())
        for mask in path.cut.masks
        for coefficients, constant in mask.linear
    )
    lone = all(
        path.parents[at] >= 0 or all(loop.rank != other.rank for other in path.loops[:at])
        for at, loop in enumerate(path.loops)
    )
    return (
        lone
        and path.all
        and not any(mask.blocks or mask.within for mask in path.cut.masks)
        and not any(tied & ranks for ranks in several)
        and max(reach, default=0) < 2**40  # numbers of rows stay in 64 bits
    )


class _Stands(NamedTuple):
    """States of the loops so far [N, loops]: iterations, first points and extents of their tiles; how many
    positions each stands for [N]; whether a resumed loop is after its first iteration, and before its last.
    """

    position: Ints
    low: Ints
    extent: Ints
    times: Ints
    after: Ints
    before: Ints

    def chosen(self, which: Ints | slice) -> _Stands:
        """Some of the rows."""
        position, low, extent, times, after, before = (column[which] for column in self)
        return _Stands(position, low, extent, times, after, before)


class Standings:
    """The positions of a path by what decides about them."""

    def __init__(self, path: LoopPath) -> None:
        assert path.cut is not None
        self.path, self.cut = path, path.cut
        self.masks = [mask for mask in path.cut.masks if mask]
        self.absolute = bool(path.cut.reduced)  # what else adds to the same results stands elsewhere

    def counts(self) -> dict[Key, int]:
        """How often each key occurs, in the order in which they occur first."""
        found: dict[Key, int] = {}
        for rows in self._walked(self._start(), 0):
            for key, times in zip(self._keys(rows), rows.times.tolist(), strict=True):
                found[key] = found.get(key, 0) + times
        return found

    def _keys(self, rows: _Stands) -> Iterator[Key]:
        """The keys of some positions, as `Path.key` has them, and the tiles that they are of."""
        path, cut, count = self.path, self.cut, len(rows.times)
        inner = [sorted(mask.tied.difference(cut.ranks)) for mask in cut.masks]
        if self.absolute or (any(inner) and not cut.uncut):  # which looks for holes in each
            yield from map(path.key, rows.position.tolist())
            return
        box = self._box(rows, path.depth)
        left = self._left(box, count)
        there = next(iter(left.values()))[1] >= 0
        left |= {rank: box.get(rank, whole(path.sizes[rank])) for rank in cut.uncut if rank in left}
        left = {rank: (np.broadcast_to(low, count), np.broadcast_to(high, count))
                for rank, (low, high) in left.items()}  # fmt: skip
        sizes = [left.get(rank, whole(path.sizes[rank])) for rank in path.key_ranks]
        every = [np.where(there, high - low + 1, 0) for low, high in sizes]
        every += [rows.after, rows.before][: path.sums]
        begins = [left[rank][0] if rank in left else np.zeros_like(rows.after) for rank in cut.places]
        places = [low % of if of else low for low, of in zip(begins, cut.places.values(), strict=True)]
        stand = []
        for mask, more in zip(cut.masks, inner, strict=True):
            columns = standing(mask, left, count)
            cutting = ~np.all(columns[::2], axis=0) if columns else np.zeros(count, dtype=bool)
            columns += [side[1] - side[0] + 1 for side in (left[rank] for rank in more)]
            stand.append((cutting.tolist(), np.stack([*columns, rows.after]).T[:, : len(columns)].tolist()))
        sides = ((low.tolist(), (high - low + 1).tolist()) for low, high in left.values())
        boxes = zip(*(zip(*side, strict=True) for side in sides), strict=True)
        starts = np.stack([*every, rows.after]).T[:, : len(every)].tolist()
        lows = np.stack([*places, rows.after]).T[:, : len(places)].tolist()
        for at, (some, tile) in enumerate(zip(there.tolist(), boxes, strict=True)):
            key = tuple(starts[at])
            if some:
                key += tuple(lows[at])
                if any(cutting[at] for cutting, _ in stand):
                    cuts = ((len(one[at]), *one[at]) if cutting[at] else (0,) for cutting, one in stand)
                    key += tuple(itertools.chain(*cuts))
                path.tiles.setdefault(key, dict(zip(left, tile, strict=True)))
            yield key

    def total(self) -> int:
        """Number of positions."""
        return sum(int(times) for rows in self._walked(self._start(), 0) for times in rows.times.tolist())

    def _start(self) -> _Stands:
        depth, every = self.path.depth, math.prod(loop.count for loop in self.path.loops)
        none, no = np.zeros((1, depth), dtype=np.int64), np.zeros(1, dtype=np.int64)
        times = np.ones(1, dtype=np.int64 if every < 2**62 else object)
        return _Stands(none, none, none, times, no, no)

    def _walked(self, rows: _Stands, at: int) -> Iterator[_Stands]:
        """The rows of all loops that begin with those of the first `at`."""
        if not len(rows.times):
            return
        if at == self.path.depth:
            yield self._merged(rows, self._standing(rows, at))
            return
        first, stop, low, high = self._ranges(rows, at)
        made = stop - first if at in self.path.tied else np.full(len(first), 4)
        some, ends = np.cumsum(np.maximum(0, made)), 0
        while ends < len(first):
            begin = ends
            limit = (int(some[begin - 1]) if begin else 0) + MOST_ROWS
            ends = max(begin + 1, int(np.searchsorted(some, limit)))
            part = slice(begin, ends)
            below = self._below(rows.chosen(part), at, first[part], stop[part], low[part], high[part])
            if at in self.path.tied and at + 1 < self.path.depth:
                below = self._merged(below, self._standing(below, at + 1))
            yield from self._walked(below, at + 1)

    def _ranges(self, rows: _Stands, at: int) -> tuple[Ints, Ints, Ints, Ints]:
        """Where the iterations of the loop at a slot begin and end, and where its points do."""
        loop, count = self.path.loops[at], len(rows.times)
        start, end = self._range(rows, at)
        if at not in self.path.tied:
            return np.zeros(count, dtype=np.int64), -(-(end - start) // loop.tile), start, end
        box = {**self._box(rows, at), loop.rank: (start, end - 1)}
        first, last = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
        for mask in self.cut.masks:
            there, sides = trimmed(mask, box, count)
            own = sides.get(loop.rank, (start, end - 1))
            first = np.where(there, np.minimum(first, own[0]), first)
            last = np.where(there, np.maximum(last, own[1]), last)
        none = first > last
        first, last = np.where(none, start, first), np.where(none, start - 1, last)
        return (first - start) // loop.tile, (last - start) // loop.tile + 1, start, end

    def _range(self, rows: _Stands, at: int) -> tuple[Ints, Ints]:
        """First and one-past-last point that the loop at a slot walks."""
        parent, count = self.path.parents[at], len(rows.times)
        if parent < 0:
            return np.zeros(count, dtype=np.int64), np.full(count, self.path.loops[at].extent)
        return rows.low[:, parent], rows.low[:, parent] + rows.extent[:, parent]

    def _box(self, rows: _Stands, stop: int) -> Sides:
        """What the loops outside a slot leave of their ranks, as `Path.box` has it."""
        point = np.zeros(len(rows.times), dtype=np.int64)
        return dict.fromkeys(self.path.points, (point, point)) | {
            self.path.loops[at].rank: (rows.low[:, at], rows.low[:, at] + rows.extent[:, at] - 1)
            for at in range(stop)
            if len(self.path.loops[at].ranks) == 1 and not self.path.pins[at]
        }

    def _below(self, rows: _Stands, at: int, first: Ints, stop: Ints, start: Ints, end: Ints) -> _Stands:
        """A row for each iteration of a loop that differs in what follows, in order."""
        path, loop = self.path, self.path.loops[at]
        if path.pins[at]:
            there = np.flatnonzero(first < stop)
            index = (stop - 1 if path.pins[at] == "last" else first)[there]
            return self._set(rows.chosen(there), at, index, rows.times[there], first, stop, start, end, there)
        left, right = self._uncut(rows, at, first, stop, start, end) if at in path.tied else (first, stop)
        resumed, many = at in path.resumed, right - left
        head = many > 1 if resumed else np.zeros(len(many), dtype=bool)
        partial = (right == stop) & ((end - start) % loop.tile > 0) & (stop == -(-(end - start) // loop.tile))
        tail = (partial | (resumed and path.sums == 2)) & (many - head > 1)
        middle = many > 0
        each = (left - first) + head + middle + tail + (stop - right)
        of = np.repeat(np.arange(len(each)), each)
        turn = np.arange(len(of)) - np.repeat(np.cumsum(each) - each, each)
        first_, left_, right_ = first[of], left[of], right[of]
        head_, middle_, tail_ = (one[of].astype(np.int64) for one in (head, middle, tail))
        behind = turn - (left_ - first_)  # the first one that is not cut
        index, times = first_ + turn, np.ones(len(of), dtype=np.int64)
        alike = (behind == head_) & (middle_ > 0)
        index = np.where(alike, left_ + head_, index)
        times = np.where(alike, right_ - left_ - head_ - tail_, times)
        index = np.where((behind == head_ + 1) & (tail_ > 0), right_ - 1, index)
        index = np.where(behind >= head_ + middle_ + tail_, right_ + behind - head_ - middle_ - tail_, index)
        every = rows.times[of] * times
        return self._set(rows.chosen(of), at, index, every, first, stop, start, end, of)

    def _set(
        self, rows: _Stands, at: int, index: Ints, times: Ints, first: Ints, stop: Ints, start: Ints,
        end: Ints, of: Ints,
    ) -> _Stands:  # fmt: skip
        """Rows with the loop at a slot on an iteration; `of` are the rows that they are of."""
        loop, resumed = self.path.loops[at], at in self.path.resumed
        position, low, extent = (column.copy() for column in rows[:3])
        position[:, at] = index
        low[:, at] = start[of] + index * loop.tile
        extent[:, at] = np.minimum(loop.tile, end[of] - low[:, at])
        after = rows.after | (index > first[of]) if resumed else rows.after
        before = rows.before | (index < stop[of] - 1) if resumed else rows.before
        return _Stands(position, low, extent, times, after, before)

    def _uncut(
        self, rows: _Stands, at: int, first: Ints, stop: Ints, start: Ints, end: Ints
    ) -> tuple[Ints, Ints]:
        """First and one-past-last iteration of those that bounds cut alike, as `Path.alike` has it."""
        loop = self.path.loops[at]
        if loop.rank in self.cut.places:
            left = right = stop
        else:
            left, right = first, stop
            outside, trips = self._box(rows, at), -(-(end - start) // loop.tile)
            for box in self._around(outside):
                for mask in self.masks:
                    for coefficients, constant in mask.linear:
                        slope = coefficients.get(loop.rank, 0)
                        others = {rank: value for rank, value in coefficients.items() if rank != loop.rank}
                        rest = least((others, constant), box, mask.sizes)
                        if slope > 0:
                            need = -(rest // slope)
                            left = np.maximum(left, np.minimum(trips, -(-(need - start) // loop.tile)))
                        elif slope < 0:
                            last = rest // -slope
                            cut = np.maximum(0, (last + 1 - start) // loop.tile)
                            right = np.where(last < end - 1, np.minimum(right, cut), right)
            left, right = np.minimum(left, stop), np.maximum(right, first)
            left, right = np.where(left >= right, stop, left), np.where(left >= right, stop, right)
        for cut in (left - first, stop - right):
            loop.each(0, int(cut.max(initial=0)))
        return left, right

    def _around(self, outside: Sides) -> list[Sides]:
        """The boxes to which an iteration may stand otherwise, as in `Path.alike`."""
        boxes, reduced = [outside], self.cut.reduced
        rest = {rank: side for rank, side in outside.items() if rank not in reduced}
        for rank in {*outside}.intersection(reduced):
            low, high = outside[rank]
            boxes.append({**rest, rank: (np.zeros_like(high), high)})
            if self.path.sums == 2:
                boxes.append({**rest, rank: (low, np.full_like(low, self.path.sizes[rank] - 1))})
        return boxes

    def _merged(self, rows: _Stands, columns: list[Ints]) -> _Stands:
        """One of the rows that are alike in some columns, the first, for all of them."""
        if not columns or not len(rows.times):
            return rows
        kind = number(np.stack(columns), len(rows.times))
        firsts, kind = np.unique(kind, return_index=True, return_inverse=True)[1:]
        order = np.argsort(kind, kind="stable")
        starts = np.searchsorted(kind[order], np.arange(len(firsts)))
        times = np.add.reduceat(rows.times[order], starts)
        kept = np.argsort(firsts)
        return rows.chosen(firsts[kept])._replace(times=times[kept])

    def _standing(self, rows: _Stands, stop: int) -> list[Ints]:
        """What decides about all inside the loops outside a slot."""
        columns = [rows.after, rows.before]
        box, last = self._box(rows, stop), {loop.rank: at for at, loop in enumerate(self.path.loops[:stop])}
        for rank, at in last.items():
            columns.append(rows.extent[:, at])
            columns.append(rows.low[:, at] - (box[rank][0] if rank in box else 0))
            columns += [box[rank][1] - box[rank][0]] if rank in box else []
        for rank, of in self.cut.places.items():
            columns += [box[rank][0] % of if of else box[rank][0]] if rank in box else []
        if self.absolute and stop < self.path.depth:
            return [*columns, *(low for low, _ in box.values())]
        columns += [one for mask in self.masks for one in standing(mask, box, len(rows.times))]
        if self.absolute and (self.cut.skips or not _by_ones(self.cut.masks[0])):
            return [*columns, *(low for low, _ in box.values())]
        return [*columns, *(self._beside(rows, box) if self.absolute else ())]

    def _beside(self, rows: _Stands, box: Sides) -> list[Ints]:
        """Where what other tiles add to the same results stands to a tile, as in `Path.key`."""
        mask, count, columns = self.cut.masks[0], len(rows.times), list[Ints]()
        left = self._left(box, count)
        own = {rank: left[rank] for rank in self.cut.results if rank in left}
        mine = {**wholes(mask), **box, **own}
        for after in (False, True)[: self.path.sums]:
            for at in self.path.resumed:
                loop, outer = self.path.loops[at], self._box(rows, at)
                start, end = self._range(rows, at)
                low, high = rows.low[:, at], rows.low[:, at] + rows.extent[:, at]
                side = (high, end - 1) if after else (start, low - 1)
                outer |= {loop.rank: side} if len(loop.ranks) == 1 else {}
                columns += self._other(outer | own, mine, side[0] <= side[1], count)
        return columns

    def _other(self, box: Sides, mine: Sides, there: Bools, count: int) -> list[Ints]:
        """Where what is left of another box stands to a tile; where both are large also which way what they
        share is counted.
        """
        mask = self.cut.masks[0]
        some, left = trimmed(mask, box, count)
        alive = there & some
        columns = [there, alive]
        for rank, (low, high) in left.items():
            columns += [np.where(alive, low - mine[rank][0], 0), np.where(alive, high - low, 0)]
        columns += [np.where(alive, column, 0) for column in standing(mask, left, count)]
        every = {rank: {**wholes(mask), **box}[rank] for rank in mask.tied}
        sizes = [
            np.prod(np.broadcast_arrays(*(high - low + 1.0 for low, high in one.values())), axis=0)
            for one in ({rank: mine[rank] for rank in mask.tied}, every)
        ]
        large = there & (np.maximum(sizes[0], sizes[1]) > MOST_STEPS)
        other = [(low != mine[rank][0]) | (high != mine[rank][1]) for rank, (low, high) in every.items()]
        holds = [(low <= mine[rank][0]) & (high >= mine[rank][1]) for rank, (low, high) in every.items()]
        columns += [large, large & np.all(np.broadcast_arrays(*holds, large)[:-1], axis=0)]
        columns += [large * np.sum(np.broadcast_arrays(*other, large)[:-1], axis=0)]
        return [np.broadcast_to(column, count).astype(np.int64) for column in columns]

    def _left(self, box: Sides, count: int) -> Sides:
        """The box around what any of the masks leaves, as `Cut.trim` has it."""
        most, found = np.iinfo(np.int64).max, dict[str, tuple[Ints, Ints]]()
        ranks = {*box}.union(*(mask.tied for mask in self.masks))
        for rank in ranks:
            found[rank] = np.full(count, most), np.full(count, -1)
        for mask in self.cut.masks:
            there, sides = trimmed(mask, box, count)
            for rank in ranks:
                low, high = sides.get(rank, box.get(rank, whole(mask.sizes[rank])))
                lows, highs = found[rank]
                found[rank] = (
                    np.where(there, np.minimum(lows, low), lows),
                    np.where(there, np.maximum(highs, high), highs),
                )
        none = found[next(iter(ranks))][1] < 0
        return {
            rank: (np.where(none, 0, low), np.where(none, -1, high)) for rank, (low, high) in found.items()
        }


def _by_ones(mask: Mask) -> bool:
    """Whether all bounds add and take away ranks as they are, so that all counts are exact."""
    return all(abs(value) == 1 for coefficients, _ in mask.linear for value in coefficients.values())
