"""How many different values of an operand pass a unit's edge in the steps of one box-shaped tile, compiled.

The lanes of a dimension take places of its ranks as one number, the last rank fastest; docs/mappings.md,
"What a unit reads", states the rule.
"""

# mypy: warn-return-any=False
# Kernels take arrays as Any: numba infers what a signature here could only repeat.

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from einsim.specs.compiled import njit
from einsim.specs.rules import Number, down, rule, up

LACKS, MOVES, WHOLE = range(3)
"""What a rank is to an operand: it lacks it, moves with it, or passes it whole, whatever the unit skips."""


def kind_of(rank: str, mine: Collection[str], whole: Collection[str]) -> int:
    """What a rank is to an operand that moves with the ranks `mine`, of which those in `whole` pass whole."""
    if rank not in mine:
        return LACKS
    return WHOLE if rank in whole else MOVES


@rule
def in_time(kind: int, still: bool, points: Number, computed: Number) -> Number:
    """How often an operand passes for a rank that is walked in time, of whose `points` so many are
    `computed`: a stationary one waits for ranks that it lacks.
    """
    if kind == WHOLE:
        return points
    return 1 if still and kind == LACKS else computed


@rule
def passed(
    extents: Any, kinds: Any, count: int, lanes: float, core: int, cores: float, apart: bool
) -> float:  # fmt: skip
    """Values of an operand that pass along one dimension: different ones in each fold, over all folds.

    `extents` [count] are the points of the dimension's ranks, the last one fastest, `kinds` [count] what they
    are to the operand. The rank at `core` (-1: none) goes round the `cores`, of which each folds its own
    places; `apart`: each reads for itself. Of what passes whole only the places are counted.
    """
    if core < 0 or (count == 1 and kinds[core]):
        return met(extents, kinds, count, lanes)
    every = extents[core]
    few = down(every, cores)
    more = every - few * cores
    most = few + 1.0 if more else few
    extents[core] = most
    found = met(extents, kinds, count, lanes)
    if kinds[core] == MOVES or (apart and kinds[core] == LACKS):
        found *= more or cores
        if more and few:
            extents[core] = few
            found += (cores - more) * met(extents, kinds, count, lanes)
    elif more and few and kinds[core] == LACKS:
        found += missed(extents, kinds, count, lanes, core)
    extents[core] = every
    return found


@rule
def met(extents: Any, kinds: Any, count: int, lanes: float) -> float:
    """Different pairs of a fold and the operand's value in it, where ranks as one number fill the lanes."""
    total, mine, changes, first, last = 1.0, 1.0, 0, -1, -1
    for at in range(count):
        if extents[at] == 1.0:
            continue
        total *= extents[at]
        mine *= extents[at] if kinds[at] == MOVES else 1.0
        changes += last >= 0 and kinds[at] != last
        last = kinds[at]
        first = last if first < 0 else first
        if last == WHOLE:
            changes = 2
    folds = up(total, lanes)
    if changes == 0:
        return mine if last == MOVES else folds
    if changes == 1 and first == MOVES:  # a value's run of places is cut at each border inside it
        a, b = total / mine, lanes
        while b:
            a, b = b, a % b
        return mine + folds - up(total, total / mine / a * lanes)
    if changes == 1:  # the values take turns
        full = down(total, lanes)
        return full * min(lanes, mine) + min(total - full * lanes, mine)
    return visit(extents, kinds, count, lanes)


@njit(error_model="numpy", nogil=True, allocates=False)
def visit(extents: Any, kinds: Any, count: int, lanes: float) -> float:
    """`met`, place by place, but for ranks of which the folds are whole parts or parts of the folds."""
    count, lanes, times, part = _without_inner(extents, kinds, count, lanes, 0)
    first, block, found = 0, 1.0, 0.0
    for at in range(1, count):
        block *= extents[at]
    while first < count and block % lanes == 0.0:
        times *= extents[first] if kinds[first] != WHOLE else 1.0
        first += 1
        block /= extents[first] if first < count else 1.0
    for value in range(_many(extents, kinds, first, count, MOVES)):
        here, last = _place(extents, kinds, first, count, MOVES, value), -1.0
        for other in range(_many(extents, kinds, first, count, LACKS)):
            fold = down(here + _place(extents, kinds, first, count, LACKS, other), lanes)
            found += fold != last
            last = fold
    if count:
        extents[count - 1] *= part
    return times * found


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def _without_inner(extents: Any, kinds: Any, count: int, lanes: float, stop: int) -> Any:
    """Leave out the innermost places, none of the first `stop` ranks, that no fold parts or that are folds:
    what remains of `count` and `lanes`, how often pairs of those that remain occur, and the part that is
    left out of the last rank.
    """
    times = 1.0
    while count > stop:
        last, a, b = count - 1, extents[count - 1], lanes
        while b:
            a, b = b, a % b
        if lanes == a or extents[last] == a:  # else the rest of the rank crosses borders of folds
            rest = extents[last] / a
            times *= (a if kinds[last] == MOVES else 1.0) * (rest if kinds[last] != WHOLE else 1.0)
            lanes, count = lanes / a, last
            continue
        times *= a if kinds[last] == MOVES else 1.0
        extents[last] /= a
        return count, lanes / a, times, a
    return count, lanes, times, 1.0


@njit(error_model="numpy", nogil=True, allocates=False)
def missed(extents: Any, kinds: Any, count: int, lanes: float, core: int) -> float:
    """Pairs that cores with one place less of the rank at `core`, which the operand lacks, have, but not
    those with more, at whose extents this starts.
    """
    found, most = 0.0, extents[core]
    for at in range(core):
        if extents[at] > 1.0:
            found = 1.0
    if not found:  # the fewer places are the first ones of the more
        return 0.0
    found = 0.0
    count, lanes, times, part = _without_inner(extents, kinds, count, lanes, core + 1)
    many = _many(extents, kinds, 0, count, LACKS)
    for value in range(_many(extents, kinds, 0, count, MOVES)):
        extents[core] = most - 1.0
        few = _many(extents, kinds, 0, count, LACKS)
        last, at = -1.0, 0
        for other in range(few):
            extents[core] = most - 1.0
            place = _place(extents, kinds, 0, count, MOVES, value)
            fold = down(place + _place(extents, kinds, 0, count, LACKS, other), lanes)
            if fold == last:
                continue
            last = fold
            extents[core] = most
            place = _place(extents, kinds, 0, count, MOVES, value)
            while at < many and down(place + _place(extents, kinds, 0, count, LACKS, at), lanes) < fold:
                at += 1
            if at == many or down(place + _place(extents, kinds, 0, count, LACKS, at), lanes) != fold:
                found += 1.0
    extents[core] = most
    extents[count - 1] *= part
    return times * found


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def _many(extents: Any, kinds: Any, first: int, count: int, kind: int) -> int:
    """Values of the ranks of a kind together, from the `first` on."""
    many = 1.0
    for at in range(first, count):
        many *= extents[at] if kinds[at] == kind else 1.0
    return int(many)


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def _place(extents: Any, kinds: Any, first: int, count: int, kind: int, number: int) -> float:
    """What the `number`-th value of the ranks of a kind adds to the place."""
    left, stride, place = float(number), 1.0, 0.0
    for back in range(count - first):
        at = count - 1 - back
        if kinds[at] == kind:
            place += left % extents[at] * stride
            left = down(left, extents[at])
        stride *= extents[at]
    return place
