"""Exact counts of integer points in a box under affine bounds, without visiting the points."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise, repeat, takewhile

import numpy as np

from einsim.specs.errors import SpecError
from einsim.workloads.bound import Bound, SameBlock
from einsim.workloads.expression import Index

MOST_STEPS = 2**20
"""Most values of one rank that a count visits one by one, and most blocks of one bound."""

Box = dict[str, tuple[int, int]]
"""Half-open range of every rank."""
Linear = tuple[dict[str, int], int]
"""Coefficients and a constant; as a constraint, the sum must be >= 0."""


def count_points(
    bounds: tuple[Bound | SameBlock, ...], sizes: dict[str, int], box: Box, extra: tuple[Linear, ...] = ()
) -> int:
    """Points of a box over an Einsum's ranks that every bound which acts on them keeps, and `extra` too."""
    acting = [bound for bound in bounds if acts(bound, set(box))]
    ranges = {rank: (0, size) for rank, size in sizes.items()}
    own = (difference(bound.right, bound.left) for bound in acting if isinstance(bound, Bound))
    linear = [relaxed(each, box, ranges) for each in own]
    blocks = tuple(bound for bound in acting if isinstance(bound, SameBlock))
    return count_kept(box, (*linear, *extra), blocks, ranges)


def count_kept(box: Box, linear: Iterable[Linear], blocks: tuple[SameBlock, ...], ranges: Box) -> int:
    """Points of a box that all constraints and blocks keep for some values of the other ranks in `ranges`.

    Over 2**20 points are not visited where that is the only way: then there may be more.
    """
    constraints = list(linear)
    sides = [[{*side.ranks}.difference(box) for side in _sides(bound)] for bound in blocks]
    others = Counter(rank for coefficients, _ in constraints for rank in coefficients)
    others.update(rank for both in sides for side in both for rank in side)
    mixed = any(all(both) and any(others[rank] > 1 for rank in set().union(*both)) for both in sides)
    seen = _visited(box, constraints, blocks, ranges) if mixed else None
    return _with_blocks(box, constraints, list(blocks), ranges) if seen is None else seen


def acts(bound: Bound | SameBlock, ranks: set[str]) -> bool:
    """Whether a bound restricts an Einsum that iterates these ranks (see `bound.Bound`)."""
    coefficients, _ = difference(bound.right, bound.left)
    if isinstance(bound, SameBlock):
        return bool(ranks & set(bound.left.ranks)) and bool(ranks & set(bound.right.ranks))
    signs = {value > 0 for value in coefficients.values()}
    return bool(signs) and signs == {value > 0 for rank, value in coefficients.items() if rank in ranks}


def difference(left: Index, right: Index) -> Linear:
    """Left - right as coefficients and a constant, ranks that cancel left out."""
    coefficients: dict[str, int] = {}
    for sign, index in ((1, left), (-1, right)):
        for term in index.terms:
            coefficients[term.rank] = coefficients.get(term.rank, 0) + sign * term.coefficient
    return {rank: value for rank, value in coefficients.items() if value}, left.offset - right.offset


def relaxed(linear: Linear, box: Iterable[str], ranges: Box) -> Linear:
    """The largest value over the ranks outside the box, in their ranges, as a function of the ranks
    inside.
    """
    coefficients, constant = linear
    for rank, value in coefficients.items():
        if rank not in box:
            low, high = ranges[rank]
            constant += max(value * low, value * (high - 1))
    return {rank: value for rank, value in coefficients.items() if rank in box}, constant


def projected(several: Iterable[Linear], box: Iterable[str], ranges: Box) -> tuple[list[Linear], bool]:
    """What several constraints leave to the ranks inside the box, for some values in `ranges` of those
    outside, and whether just that: a rank goes by holding what bounds it from above against what bounds it
    from below (Fourier and Motzkin). No point is lost; there are more where no whole value lies between two.
    """
    found, exact = list(several), True
    outside = {rank: max(abs(c.get(rank, 0)) for c, _ in found) for c, _ in found for rank in c}
    for rank in sorted(set(outside).difference(box), key=lambda rank: (outside[rank], rank)):
        below = [one for one in found if one[0].get(rank, 0) > 0]
        above = [one for one in found if one[0].get(rank, 0) < 0]
        inside = {name for coefficients, _ in found for name in coefficients} - {rank}
        found = [one for one in found if not one[0].get(rank)]
        found += [relaxed(one, inside, ranges) for one in (*below, *above)]
        for low, high in itertools.product(below, above):
            up, down = low[0][rank], -high[0][rank]
            terms = {r: low[0].get(r, 0) * down + high[0].get(r, 0) * up for r in {*low[0], *high[0]}}
            both = {r: value for r, value in terms.items() if value}, low[1] * down + high[1] * up
            exact &= min(up, down) == 1 or (not both[0] and not 0 <= both[1] < (up - 1) * (down - 1))
            found.append(both)
    return found, exact


def block_starts(lengths: tuple[int, ...], stop: int) -> list[int]:
    """Where blocks start, up to and including the first start at or past `stop`; the last length repeats."""
    tail = accumulate(repeat(lengths[-1]), initial=sum(lengths))
    starts = [0, *accumulate(lengths[:-1])] if len(lengths) > 1 else [0]
    starts += list(takewhile(lambda start: start < stop, tail))
    return [*starts, starts[-1] + lengths[-1]]


def _with_blocks(box: Box, constraints: list[Linear], blocks: list[SameBlock], ranges: Box) -> int:
    if not blocks:
        left, exact = projected(constraints, box, ranges)
        seen = None if exact else _visited(box, constraints, (), ranges)
        return count(box, left) if seen is None else seen
    total = 0
    for sign, extra in _block_cases(blocks[0], box, ranges):
        total += sign * _with_blocks(box, [*constraints, *extra], blocks[1:], ranges)
    return total


def _visited(box: Box, constraints: list[Linear], blocks: tuple[SameBlock, ...], ranges: Box) -> int | None:
    """What `count_kept` counts, point by point; None where those are too many."""
    named = {rank for coefficients, _ in constraints for rank in coefficients}
    named |= {rank for bound in blocks for side in _sides(bound) for rank in side.ranks}
    every = {**{rank: ranges[rank] for rank in sorted(named.difference(box))}, **box}
    shape = [high - low for low, high in every.values()]
    if math.prod(shape) > MOST_STEPS:
        return None
    grid = np.meshgrid(*(np.arange(*side) for side in every.values()), indexing="ij", sparse=True)
    at, kept = dict(zip(every, grid, strict=True)), np.ones(shape, dtype=bool)
    for coefficients, constant in constraints:
        kept &= sum((value * at[rank] for rank, value in coefficients.items()), np.int64(constant)) >= 0
    for bound in blocks:
        places = [sum((t.coefficient * at[t.rank] for t in side.terms), np.int64(side.offset))
                  for side in _sides(bound)]  # fmt: skip
        starts = block_starts(bound.lengths, max(int(np.max(place)) for place in places) + 1)
        left, right = (np.searchsorted(starts, place, side="right") for place in places)
        kept &= left == right
    return int(kept.any(axis=tuple(range(len(every) - len(box)))).sum())


def _block_cases(bound: SameBlock, box: Box, ranges: Box) -> Iterator[tuple[int, list[Linear]]]:
    """One case a block, and, where both sides are ranges of values, minus one a boundary that both straddle.

    Two ranges that share k consecutive blocks share k - 1 boundaries, so each pair counts exactly once.
    """
    highs: list[Linear] = [({t.rank: t.coefficient for t in i.terms}, i.offset) for i in _sides(bound)]
    drops: list[Linear] = [({t.rank: -t.coefficient for t in i.terms}, -i.offset) for i in _sides(bound)]
    both_ranges = all(any(rank not in box for rank in side.ranks) for side in _sides(bound))
    if both_ranges:
        highs, drops = ([relaxed(one, box, ranges) for one in side] for side in (highs, drops))
    every = {**ranges, **box}
    lows = [-_most(drop, every) for drop in drops]
    high = min(_most(top, every) for top in highs)
    before = [min(lows)] if max(lows) < 0 else []  # what lies before 0 is a block too
    for start, stop in pairwise([*before, *block_starts(bound.lengths, high + 1)]):
        if stop <= max(lows) or start > high:
            continue
        yield 1, [_plus(h, -start) for h in highs] + [_plus(d, stop - 1) for d in drops]
        if both_ranges:
            yield -1, [_plus(h, -stop) for h in highs] + [_plus(d, stop - 1) for d in drops]


def _sides(bound: SameBlock) -> tuple[Index, Index]:
    return bound.left, bound.right


def _plus(linear: Linear, amount: int) -> Linear:
    return linear[0], linear[1] + amount


def _most(linear: Linear, box: Box) -> int:
    coefficients, constant = linear
    return constant + sum(max(v * box[r][0], v * (box[r][1] - 1)) for r, v in coefficients.items())


def count(box: Box, constraints: list[Linear]) -> int:
    """Integer points of the box where every constraint is >= 0."""
    box = dict(box)
    if any(low >= high for low, high in box.values()):
        return 0
    active: list[Linear] = []
    for coefficients, constant in constraints:
        if len(coefficients) == 1:
            ((rank, value),) = coefficients.items()
            low, high = box[rank]
            box[rank] = (
                (max(low, -(constant // value)), high)
                if value > 0
                else (low, min(high, constant // -value + 1))
            )
        elif coefficients:
            active.append((coefficients, constant))
        elif constant < 0:
            return 0
    if any(low >= high for low, high in box.values()):
        return 0
    kept = []
    for linear in active:
        if _most(linear, box) < 0:
            return 0
        if -_most(({r: -v for r, v in linear[0].items()}, -linear[1]), box) < 0:
            kept.append(linear)
    merged = _merge_nested(box, kept)
    if merged is not None:
        return count(*merged)
    total = 1
    while box:
        rank = next(iter(box))
        part, rest = _connected(rank, kept)
        total *= _component(
            {name: box.pop(name) for name in sorted(part)}, [c for c in kept if c not in rest]
        )
        kept = rest
    return total


def _merge_nested(box: Box, constraints: list[Linear]) -> tuple[Box, list[Linear]] | None:
    """Ranks (a, b) that only appear as k*a + b, b of k values, as that sum; None if none do."""
    ranks = [rank for rank in box if any(rank in c for c, _ in constraints)]
    for inner in ranks:
        k = box[inner][1] - box[inner][0]
        for outer in ranks:
            if outer == inner or any(c.get(outer, 0) != k * c.get(inner, 0) for c, _ in constraints):
                continue
            low, high = box[outer]
            box[inner] = (low * k + box[inner][0], (high - 1) * k + box[inner][1])
            del box[outer]
            constraints = [
                ({r: v for r, v in c.items() if r != outer}, constant) for c, constant in constraints
            ]
            return box, constraints
    return None


def _connected(rank: str, constraints: list[Linear]) -> tuple[set[str], list[Linear]]:
    """Ranks tied to a rank by constraints, and the constraints that are not among them."""
    part, rest, grown = {rank}, list(constraints), True
    while grown:
        touching = [linear for linear in rest if part & set(linear[0])]
        rest = [linear for linear in rest if not part & set(linear[0])]
        part.update(*(linear[0] for linear in touching))
        grown = bool(touching)
    return part, rest


def _component(box: Box, constraints: list[Linear]) -> int:
    if not constraints:
        return math.prod(high - low for low, high in box.values())
    by_cost = sorted(box, key=lambda rank: _stride(rank, constraints))
    if len(box) == 2:
        return _plane(by_cost[0], by_cost[1], box, constraints)
    smallest = min(box, key=lambda rank: box[rank][1] - box[rank][0])
    low, high = box.pop(smallest)
    if high - low > MOST_STEPS:
        raise SpecError(
            "where", f"ties ranks {', '.join([smallest, *box])} of over 2**20 values: too many to count"
        )
    return sum(count(box, [_fix(linear, smallest, at) for linear in constraints]) for at in range(low, high))


def _fix(linear: Linear, rank: str, at: int) -> Linear:
    coefficients, constant = linear
    return {r: v for r, v in coefficients.items() if r != rank}, constant + coefficients.get(rank, 0) * at


def _stride(rank: str, constraints: list[Linear]) -> int:
    return math.lcm(*(abs(c[rank]) for c, _ in constraints if c.get(rank)))


def _plane(x: str, y: str, box: Box, constraints: list[Linear]) -> int:
    """Points of two ranks: for every y the x's form one range, whose length is a minimum of lines in y.

    With y = stride * q + r, stride the least common multiple of x's coefficients, the lines are exact in q.
    """
    stride = _stride(x, constraints)
    if min(stride, box[y][1] - box[y][0]) > MOST_STEPS:
        raise SpecError("where", f"ties '{x}' and '{y}' by coefficients too large to count points")
    (x_low, x_high), (y_low, y_high) = box[x], box[y]
    total = 0
    for r in range(min(stride, y_high - y_low)):
        first = y_low + r
        tops, bottoms = [(0, x_high - 1)], [(0, x_low)]
        for coefficients, constant in constraints:
            value, slope = coefficients[x], coefficients[y] * stride // abs(coefficients[x])
            at_first = (coefficients[y] * first + constant) // abs(value)
            (tops if value < 0 else bottoms).append((slope, at_first) if value < 0 else (-slope, -at_first))
        lines = [(s - t, a - b + 1) for s, a in tops for t, b in bottoms]
        total += _sum_of_minimum(lines, -(-(y_high - first) // stride))
    return total


def _sum_of_minimum(lines: list[tuple[int, int]], steps: int) -> int:
    """Sum over q in 0 .. steps-1 of max(0, min over lines of slope * q + start)."""
    total, q = 0, 0
    while q < steps:
        slope, start = min(lines, key=lambda line: (line[0] * q + line[1], line[0]))
        crossings = [(b - start) // (slope - s) + 1 for s, b in lines if s < slope]
        stop = min([steps, *crossings])
        total += _sum_of_line(slope, start, q, stop)
        q = stop
    return total


def _sum_of_line(slope: int, start: int, low: int, high: int) -> int:
    """Sum over q in low .. high-1 of max(0, slope * q + start)."""
    if slope > 0:
        low = max(low, -start // slope + 1)
    elif slope < 0:
        high = min(high, -(-start // -slope))
    elif start <= 0:
        return 0
    if low >= high:
        return 0
    return (high - low) * (slope * (low + high - 1) + 2 * start) // 2
