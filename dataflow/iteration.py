"""Walking the loops on an operation's path: trip ranges, tile extents, and how often each extent occurs."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from einsim.dataflow.cut import Cut
from einsim.dataflow.mask import Box, Interval
from einsim.dataflow.program import Op, ProgramLoop
from einsim.dataflow.standings import Standings, stands
from einsim.dataflow.tile_keys import TileKeys
from einsim.specs.remembered import Remembered

_TOTALS: Final = Remembered[int](20_000)
"""Numbers of positions: mappings that differ elsewhere have paths alike, dear to count under bounds."""


class Path:
    """The loops of one operation, outermost first, with the iterations it skips.

    Positions are lists of iteration numbers, one for each loop. A loop that bounds cut (causal, window) runs
    over a range that depends on the loops outside it; a loop pinned by `when` has one iteration, which stands
    for all of them. `resumed` are the ids of loops in whose later iterations the operation goes on with
    partial results; where these are `wide`, it matters also whether it leaves some. `cut` says what bounds
    leave of its tiles; None: all of them. `last` keeps only so many of a loop's iterations, by its id: the
    last ones.
    """

    def __init__(
        self, loops: tuple[ProgramLoop, ...], when: Mapping[int, str], sizes: Mapping[str, int],
        key_ranks: tuple[str, ...] = (), resumed: tuple[int, ...] = (), cut: Cut | None = None,
        last: Mapping[int, int] = MappingProxyType({}), *, wide: bool = False,
    ) -> None:  # fmt: skip
        self.loops = loops
        self.sizes = sizes
        self.key_ranks = key_ranks
        self.cut = cut
        self.pins = tuple(when.get(loop.id, "") for loop in loops)
        slots = {loop.id: at for at, loop in enumerate(loops)}
        self.parents = tuple(
            -1 if loop.parent is None or loop.parent not in slots else slots[loop.parent] for loop in loops
        )
        self.slots = slots
        self.innermost = {loop.rank: at for at, loop in enumerate(loops) if not self.pins[at]}
        self.depth = len(loops)
        self.all = not last
        self._most = [last.get(loop.id, loop.count) for loop in loops]
        self._whole = tuple(
            (max(0, loop.count - n), loop.count) for loop, n in zip(loops, self._most, strict=True)
        )
        self.resumed = tuple(at for at, loop in enumerate(loops) if loop.id in resumed)
        self.sums = (1 + wide) if self.resumed else 0
        even = cut is None and not last and all(loop.extent % loop.tile == 0 for loop in loops)
        self.regular = even and not self.resumed
        self.bounded = not even
        self.points: Box = {rank: (0, 1) for loop in loops if len(loop.ranks) > 1 for rank in loop.ranks}
        self._spans: dict[tuple[int, ...], tuple[int, int]] = {}
        self.tiles: dict[tuple[int, ...], Box] = {}  # one for each key that was met, where there is a cut
        tied = frozenset[str]() if cut is None else frozenset(r for mask in cut.masks for r in mask.tied)
        self.tied = tuple(
            at
            for at, loop in enumerate(loops)
            if cut and not self.pins[at] and (tied | set(cut.places)) & set(loop.ranks)
        )
        self.couples = tuple(self._coupled(at) for at in range(self.depth))
        keyed = {at for at, loop in enumerate(loops) if set(loop.ranks) & set(key_ranks)}
        keyed |= {*self.tied, *self.resumed}
        self.keyed = tuple(sorted(keyed.union(*(self.couples[at] for at in keyed))))
        self._keys = TileKeys(self)

    def _coupled(self, at: int) -> tuple[int, ...]:
        """Slots of the outer loops that decide the trip range of the loop at `at`."""
        chosen = set()
        parent = self.parents[at]
        if parent >= 0:
            chosen.add(parent)
        if at in self.tied:
            chosen.update(slot for slot in self.tied if slot < at)
        pending = list(chosen)
        while pending:
            slot = self.parents[pending.pop()]
            if slot >= 0 and slot not in chosen:
                chosen.add(slot)
                pending.append(slot)
        return tuple(sorted(chosen))

    def interval(self, position: list[int] | tuple[int, ...], at: int) -> Interval:
        """First point and number of points of the tile that the loop at slot `at` stands on."""
        loop = self.loops[at]
        parent = self.parents[at]
        start, extent = self.interval(position, parent) if parent >= 0 else (0, loop.extent)
        offset = position[at] * loop.tile
        return start + offset, min(loop.tile, extent - offset)

    def box(self, position: list[int] | tuple[int, ...], stop: int | None = None) -> dict[str, Interval]:
        """Intervals of the ranks of the loops outside slot `stop`; a pinned loop stands for all of its
        range.
        """
        found = dict(self.points)
        for at in range(self.depth if stop is None else stop):
            if len(self.loops[at].ranks) == 1 and not self.pins[at]:
                found[self.loops[at].rank] = self.interval(position, at)
        return found

    def span(self, position: list[int] | tuple[int, ...], at: int) -> tuple[int, int]:
        """First and one-past-last iteration of the loop at slot `at`, given the loops outside it."""
        if not self.bounded:
            return self._whole[at]
        coupled = self.couples[at]
        if not coupled and at not in self.tied:
            return self._whole[at]
        key = (at, *(position[slot] for slot in coupled))
        found = self._spans.get(key)
        if found is None:
            first, stop = self._make_span(position, at)
            found = self._spans[key] = (max(first, stop - self._most[at]), stop)
        return found

    def range(self, position: list[int] | tuple[int, ...], at: int) -> Interval:
        """First point and number of points that the loop at slot `at` walks."""
        parent = self.parents[at]
        return self.interval(position, parent) if parent >= 0 else (0, self.loops[at].extent)

    def _make_span(self, position: list[int] | tuple[int, ...], at: int) -> tuple[int, int]:
        """Tiles in which a mask leaves something, as far as the loops outside tell."""
        loop = self.loops[at]
        start, extent = self.range(position, at)
        if self.cut is None or at not in self.tied:
            return 0, -(-extent // loop.tile)
        box = self.cut.trim({**self.box(position, at), loop.rank: (start, extent)})
        if box is None:
            return 0, 0
        low, left = box.get(loop.rank, (start, extent))
        return (low - start) // loop.tile, (low + left - 1 - start) // loop.tile + 1

    def alike(self, position: list[int] | tuple[int, ...], at: int) -> list[tuple[int, int]]:
        """Ranges of iterations of the loop at slot `at` whose tiles bounds cut alike, with all inside."""
        first, stop = self.span(position, at)
        if self.cut is None or at not in self.tied:
            return [(first, stop)] if first < stop else []
        loop = self.loops[at]
        found, at_index = [], first
        for low, high in self._uneven(self.cut, position, at):
            if high > at_index and low < high:
                found += [(at_index, low)] if low > at_index else []
                found += loop.each(max(low, at_index), high)
                at_index = high
        return found + ([(at_index, stop)] if at_index < stop else [])

    def _uneven(self, cut: Cut, position: list[int] | tuple[int, ...], at: int) -> list[tuple[int, int]]:
        """Ranges of iterations of the loop at slot `at` that bounds cut each otherwise, in order."""
        (first, stop), loop = self.span(position, at), self.loops[at]
        if set(loop.ranks) & set(cut.places):
            return [(first, stop)]
        outside, own = self.box(position, at), self.range(position, at)
        boxes = [outside]
        rest = {rank: at for rank, at in outside.items() if rank not in cut.reduced}
        for rank in {*outside}.intersection(cut.reduced):
            low, end = outside[rank][0], sum(outside[rank])
            boxes.append({**rest, rank: (0, end)})  # what has been begun depends on all tiles up to this one
            if self.sums == 2:  # and what is finished on all from this one on
                boxes.append({**rest, rank: (low, self.sizes[rank] - low)})
        uneven = [
            (max(first, low), min(stop, high))
            for mask in cut.masks
            for box in boxes
            for low, high in (mask.uneven(loop.ranks, loop.tile, own, box) if mask else ())
        ]
        return sorted(uneven)

    def stretch(self, position: list[int], at: int) -> tuple[int, int]:
        """The iterations around the present one of slot `at` that bounds cut alike."""
        begin, stop = self.span(position, at)
        if self.cut is None or at not in self.tied:
            return begin, stop
        index = position[at]
        for low, high in self._uneven(self.cut, position, at):
            if low <= index < high:
                return index, index + 1
            if high <= index:
                begin = max(begin, high)
            else:
                stop = min(stop, low)
        return begin, stop

    def first(self) -> list[int] | None:
        """The first position, or None when no iteration runs."""
        position = [0] * self.depth
        return position if self._enter(position, 0) else None

    def _enter(self, position: list[int], at: int) -> bool:
        """Set slots from `at` inward to their first iteration; False when some range is empty for good."""
        while at < self.depth:
            first, stop = self.span(position, at)
            if first >= stop:
                return self._step(position, at - 1)
            position[at] = stop - 1 if self.pins[at] == "last" else first
            at += 1
        return True

    def advance(self, position: list[int]) -> bool:
        """Move to the next position in place; False after the last one."""
        return self._step(position, self.depth - 1)

    def _step(self, position: list[int], at: int) -> bool:
        while at >= 0:
            if not self.pins[at] and position[at] + 1 < self.span(position, at)[1]:
                position[at] += 1
                return self._enter(position, at + 1)
            at -= 1
        return False

    def before(self, position: list[int], at: int, steps: int, borrow: bool) -> bool:
        """Take `steps` iterations off slot `at` in place; False when that underflows."""
        for _ in range(steps):
            slot = at
            while slot >= 0 and position[slot] - 1 < self.span(position, slot)[0]:
                if not borrow:
                    return False
                slot -= 1
            if slot < 0:
                return False
            position[slot] -= 1
            for inner in range(slot + 1, at + 1):
                position[inner] = self.span(position, inner)[1] - 1
        return True

    def floor(self, position: list[int]) -> list[int] | None:
        """The last position at or before this one, which may not exist, or that begins as this one, where it
        has outer loops only; None where all are after it.
        """
        found: list[int] = []
        for at, index in enumerate(position):
            first, stop = self.span(found, at)
            if first < stop and first <= index < stop:
                found.append(index)
                continue
            if index >= stop > first:
                found.append(stop - 1)
            elif at == 0 or not self._back(found):
                return None
            break
        return self._last(found)

    def _back(self, position: list[int]) -> bool:
        """Move a partial position one iteration back, dropping slots at their first; False at the start."""
        while position:
            at = len(position) - 1
            if not self.pins[at] and position[at] > self.span(position, at)[0]:
                position[at] -= 1
                return True
            position.pop()
        return False

    def _last(self, position: list[int]) -> list[int] | None:
        """Complete a partial position by the last iterations inside it, going back where there are none."""
        while len(position) < self.depth:
            at = len(position)
            first, stop = self.span(position, at)
            if first < stop:
                position.append(first if self.pins[at] == "first" else stop - 1)
            elif not self._back(position):
                return None
        return position

    def key(self, position: list[int] | tuple[int, ...]) -> tuple[int, ...]:
        """What decides an instance's cost: see `TileKeys.of`."""
        return self._keys.of(position)

    def instances(self) -> dict[tuple[int, ...], int]:
        """How often each key occurs over all positions."""
        return Standings(self).counts() if stands(self) else self._count([], 0)

    def _count(self, position: list[int], at: int) -> dict[tuple[int, ...], int]:
        if at == self.depth:
            return {self.key(position): 1}
        total: dict[tuple[int, ...], int] = {}
        for index, times in self._distinct(position, at):
            position.append(index)
            for key, count in self._count(position, at + 1).items():
                total[key] = total.get(key, 0) + times * count
            position.pop()
        return total

    def _distinct(self, position: list[int], at: int) -> Iterator[tuple[int, int]]:
        """Iterations of slot `at` that differ in what follows, each with how many are alike."""
        first, stop = self.span(position, at)
        if first >= stop:
            return
        if self.pins[at]:
            yield (stop - 1 if self.pins[at] == "last" else first), 1
            return
        full = self.interval([*position, stop - 1], at)[1] == self.loops[at].tile
        for low, high in self.alike(position, at):
            begin, end = low, high
            if at in self.resumed and (self.cut is not None or begin == first) and end - begin > 1:
                yield begin, 1
                begin += 1
            last = self.sums == 2 and at in self.resumed and (self.cut is not None or end == stop)
            if (last or (end == stop and not full)) and end - begin > 1:
                yield begin, end - begin - 1
                yield end - 1, 1
            else:
                yield begin, end - begin

    def total(self) -> int:
        """Number of positions."""
        if self.cut is None:
            return self._positions([], 0)
        bound = {*self.keyed}.union(*self.couples)
        free = [at for at in range(self.depth) if not (at in bound or self.couples[at] or self.pins[at])]
        times = math.prod(self._whole[at][1] - self._whole[at][0] for at in free)
        key = self._content(self.cut, [at for at in range(self.depth) if at not in free])
        return times * _TOTALS.get(key, lambda: self._every() // times)

    def _every(self) -> int:
        return Standings(self).total() if stands(self) else self._positions([], 0)

    def _content(self, cut: Cut, slots: list[int]) -> Hashable:
        """What decides on the number of positions of some of the loops."""
        place = {at: number for number, at in enumerate(slots)}
        loops = [
            (loop.ranks, loop.tile, loop.extent, place.get(self.parents[at], -1), self.pins[at],
             self._most[at]) for at in slots for loop in [self.loops[at]]
        ]  # fmt: skip
        return (*loops, *cut.masks, *cut.places, *self.sizes.items())

    def _positions(self, position: list[int], at: int) -> int:
        """Number of positions that begin so."""
        if at == self.depth:
            return 1
        first, stop = self.span(position, at)
        alike = not any(at in self.couples[later] for later in range(at + 1, self.depth))
        if alike or self.pins[at] or first >= stop:
            one = stop - 1 if self.pins[at] == "last" else first
            times = 1 if self.pins[at] else stop - first
            return times and times * self._positions([*position, one], at + 1)
        found = self._distinct(position, at)
        return sum(times * self._positions([*position, one], at + 1) for one, times in found)


def path_of(
    op: Op, loops: tuple[ProgramLoop, ...], sizes: Mapping[str, int],
    last: Mapping[int, int] = MappingProxyType({}),
) -> Path:  # fmt: skip
    """The path of an operation of a program."""
    own = tuple(loops[loop] for loop in op.path)
    return Path(own, op.when, sizes, op.key_ranks, op.resumed, op.cut, last, wide=op.wide)
