"""Walking the loops on an operation's path: trip ranges, tile extents, and how often each extent occurs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from einsim.dataflow.program import Op, ProgramLoop
from einsim.workloads.cascade import Bound, Index, SameBlock
from einsim.workloads.points import block_starts, difference

Interval = tuple[int, int]  # first point and number of points


class Path:
    """The loops of one operation, outermost first, with the iterations it skips.

    Positions are lists of iteration numbers, one for each loop. A loop inside bounds (causal, window) runs
    over a range that depends on the loops outside it; a loop pinned by `when` has one iteration. `resumed`
    are the ids of loops in whose later iterations the operation goes on with partial results.
    """

    def __init__(
        self,
        loops: tuple[ProgramLoop, ...],
        when: Mapping[int, str],
        sizes: Mapping[str, int],
        key_ranks: tuple[str, ...] = (),
        resumed: tuple[int, ...] = (),
    ) -> None:
        self.loops = loops
        self.sizes = sizes
        self.key_ranks = key_ranks
        self.pins = tuple(when.get(loop.id, "") for loop in loops)
        slots = {loop.id: at for at, loop in enumerate(loops)}
        self.parents = tuple(
            -1 if loop.parent is None or loop.parent not in slots else slots[loop.parent] for loop in loops
        )
        self.slots = slots
        self.innermost = {loop.rank: at for at, loop in enumerate(loops)}
        self.depth = len(loops)
        self._whole = tuple((0, loop.count) for loop in loops)
        self.resumed = tuple(at for at, loop in enumerate(loops) if loop.id in resumed)
        even = all(not loop.bounds and loop.extent % loop.tile == 0 for loop in loops)
        self.regular = even and not self.resumed
        self.bounded = not even
        self._spans: dict[tuple[int, ...], tuple[int, int]] = {}
        self._couples = tuple(self._coupled(at) for at in range(self.depth))

    def _coupled(self, at: int) -> tuple[int, ...]:
        """Slots of the outer loops that decide the trip range of the loop at `at`."""
        chosen = set()
        parent = self.parents[at]
        if parent >= 0:
            chosen.add(parent)
        ranks = {
            term.rank for bound in self.loops[at].bounds for term in (*bound.left.terms, *bound.right.terms)
        }
        chosen.update(slot for slot in range(at) if self.loops[slot].rank in ranks)
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

    def span(self, position: list[int] | tuple[int, ...], at: int) -> tuple[int, int]:
        """First and one-past-last iteration of the loop at slot `at`, given the loops outside it."""
        if not self.bounded:
            return self._whole[at]
        loop = self.loops[at]
        coupled = self._couples[at]
        if not coupled and not loop.bounds:
            return 0, loop.count
        key = (at, *(position[slot] for slot in coupled))
        found = self._spans.get(key)
        if found is None:
            found = self._spans[key] = self._make_span(position, at)
        return found

    def _make_span(self, position: list[int] | tuple[int, ...], at: int) -> tuple[int, int]:
        loop = self.loops[at]
        parent = self.parents[at]
        start, extent = self.interval(position, parent) if parent >= 0 else (0, loop.extent)
        first, stop = 0, -(-extent // loop.tile)
        if not loop.bounds:
            return first, stop
        known: dict[str, Interval] = {}
        for slot in range(at):
            known[self.loops[slot].rank] = self.interval(position, slot)
        for bound in loop.bounds:
            first, stop = _cut(bound, loop, (start, extent), known, self.sizes, first, stop)
        return first, max(first, stop)

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
        """The last position at or before this one, which may not exist; None where all are after it."""
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
            return self._last(found)
        return found

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
        """Tile extents of `key_ranks` at a position; then, where loops are `resumed`, 1 after the first
        iteration of any of them and 0 in it.
        """
        extents = tuple(
            self.interval(position, self.innermost[rank])[1] if rank in self.innermost else self.sizes[rank]
            for rank in self.key_ranks
        )
        if not self.resumed:
            return extents
        return (*extents, int(any(position[at] > self.span(position, at)[0] for at in self.resumed)))

    def instances(self) -> dict[tuple[int, ...], int]:
        """How often each key occurs over all positions."""
        return self._count([], 0)

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
        if any(
            at in self._couples[inner] and self.loops[inner].bounds for inner in range(at + 1, self.depth)
        ):
            yield from ((index, 1) for index in range(first, stop))
            return
        if at in self.resumed and stop - first > 1:
            yield first, 1
            first += 1
        full = self.interval([*position, stop - 1], at)[1] == self.loops[at].tile
        whole = stop - first if full else stop - first - 1
        if whole:
            yield first, whole
        if not full:
            yield stop - 1, 1

    def total(self) -> int:
        """Number of positions."""
        return sum(self.instances().values())


def path_of(op: Op, loops: tuple[ProgramLoop, ...], sizes: Mapping[str, int]) -> Path:
    """The path of an operation of a program."""
    return Path(tuple(loops[loop] for loop in op.path), op.when, sizes, op.key_ranks, op.resumed)


def _cut(
    bound: Bound | SameBlock,
    loop: ProgramLoop,
    own: Interval,
    known: Mapping[str, Interval],
    sizes: Mapping[str, int],
    first: int,
    stop: int,
) -> tuple[int, int]:
    """Narrow `first..stop` to the tiles of `loop` that hold at least one point the bound keeps."""
    if isinstance(bound, SameBlock):
        for side, other in ((bound.left, bound.right), (bound.right, bound.left)):
            if all(term.rank != loop.rank for term in side.terms):
                continue
            low, high = _reach(other, known, sizes)
            starts = block_starts(bound.lengths, high + 1)
            begin = max(start for start in starts if start <= low)
            end = min(start for start in starts if start > high)
            coefficients, offset = difference(side, Index(terms=()))
            first, stop = _linear(coefficients, offset - end + 1, loop, own, known, sizes, first, stop)
            negated = {rank: -value for rank, value in coefficients.items()}
            first, stop = _linear(negated, begin - offset, loop, own, known, sizes, first, stop)
        return first, stop
    coefficients, offset = difference(bound.left, bound.right)
    return _linear(coefficients, offset, loop, own, known, sizes, first, stop)


def _reach(index: Index, known: Mapping[str, Interval], sizes: Mapping[str, int]) -> Interval:
    """Smallest and largest value of an index over the known tiles."""
    low = high = index.offset
    for term in index.terms:
        start, extent = known.get(term.rank, (0, sizes[term.rank]))
        ends = (term.coefficient * start, term.coefficient * (start + extent - 1))
        low, high = low + min(ends), high + max(ends)
    return low, high


def _linear(
    coefficients: Mapping[str, int],
    offset: int,
    loop: ProgramLoop,
    own: Interval,
    known: Mapping[str, Interval],
    sizes: Mapping[str, int],
    first: int,
    stop: int,
) -> tuple[int, int]:
    """Keep the tiles in which sum of coefficient * rank + offset <= 0 holds somewhere."""
    slope = coefficients.get(loop.rank, 0)
    rest = offset
    for rank, coefficient in coefficients.items():
        if rank != loop.rank:
            start, extent = known.get(rank, (0, sizes[rank]))
            rest += coefficient * (start if coefficient > 0 else start + extent - 1)
    start, extent = own
    if slope > 0:  # smallest at a tile's first point
        return first, min(stop, max(0, (-rest - slope * start) // (slope * loop.tile) + 1))
    if slope < 0:  # smallest at a tile's last point, which must reach `need`
        need = -(-rest // -slope)
        if need > start + extent - 1:
            return first, first
        return max(first, (need - start) // loop.tile if need > start else 0), stop
    return (first, first) if rest > 0 else (first, stop)
