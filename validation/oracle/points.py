"""The points that an Einsum has inside a box, the elements that they touch, and the ops that each takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from einsim.workloads.bound import Bound, SameBlock
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.expression import Access, Apply, Expr, Index

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Ranges = Mapping[str, tuple[int, int]]
"""Half-open range of every rank."""

CHEAPER = {"sub": "add", **dict.fromkeys(("lt", "le", "gt", "ge", "eq", "ne"), "cmp")}


class Points:
    """Iteration points: `at[rank]` is the position of each along a rank. There may be no rank at all."""

    def __init__(self, at: Mapping[str, Ints], count: int) -> None:
        self.at = dict(at)
        self.count = count

    def where(self, chosen: Bools) -> Points:
        """Those that are chosen."""
        return Points({rank: places[chosen] for rank, places in self.at.items()}, int(chosen.sum()))


def box_points(ranks: tuple[str, ...], ranges: Ranges) -> Points:
    """Every point of a box, the last rank fastest."""
    shape = tuple(max(0, ranges[rank][1] - ranges[rank][0]) for rank in ranks)
    count = int(np.prod(shape, dtype=np.int64))
    grid = np.indices(shape).reshape(len(shape), count)
    return Points({rank: grid[axis] + ranges[rank][0] for axis, rank in enumerate(ranks)}, count)


def einsum_points(cascade: Cascade, einsum: Einsum, ranges: Ranges) -> Points:
    """The points of an Einsum in a box that every bound keeps."""
    points = box_points(einsum.ranks, ranges)
    return points.where(inside(cascade, points))


def inside(cascade: Cascade, points: Points) -> Bools:
    """Which points the bounds keep."""
    kept = np.ones(points.count, dtype=bool)
    for bound in cascade.bounds:
        kept &= _in_one_block(cascade, bound, points) if isinstance(bound, SameBlock) else _ordered(
            cascade, bound, points
        )  # fmt: skip
    return kept


def _ordered(cascade: Cascade, bound: Bound, points: Points) -> Bools:
    """`left <= right`, where a rank that isn't iterated takes the value that lets most through.

    A bound with ranks on both sides says nothing about an Einsum that iterates one side only.
    """
    room: dict[
        str, int
    ] = {}  # right - left by rank: ranks that make it larger are on one side, others on the other
    for index, sign in ((bound.right, 1), (bound.left, -1)):
        for term in index.terms:
            room[term.rank] = room.get(term.rank, 0) + sign * term.coefficient
    sides = [[rank for rank, slope in room.items() if slope * sign > 0] for sign in (1, -1)]
    if not all(any(rank in points.at for rank in side) for side in sides if side) or not any(sides):
        return np.ones(points.count, dtype=bool)
    left_over = np.full(points.count, bound.right.offset - bound.left.offset, dtype=np.int64)
    for rank, slope in room.items():
        left_over += (
            slope * points.at[rank] if rank in points.at else max(0, slope * (cascade.size(rank) - 1))
        )
    return left_over >= 0


def _in_one_block(cascade: Cascade, bound: SameBlock, points: Points) -> Bools:
    """Both sides in the same document, for some value of the ranks that aren't iterated."""
    if not all(any(rank in points.at for rank in side.ranks) for side in (bound.left, bound.right)):
        return np.ones(points.count, dtype=bool)
    (low, high), (other_low, other_high) = (
        [_block(bound, end) for end in _ends(cascade, side, points)] for side in (bound.left, bound.right)
    )
    return (low <= other_high) & (other_low <= high)


def _ends(cascade: Cascade, index: Index, points: Points) -> tuple[Ints, Ints]:
    """Least and greatest value of an index over the ranks that aren't iterated."""
    low = high = np.full(points.count, index.offset, dtype=np.int64)
    for term in index.terms:
        if term.rank in points.at:
            low, high = (end + term.coefficient * points.at[term.rank] for end in (low, high))
        else:
            span = term.coefficient * (cascade.size(term.rank) - 1)
            low, high = low + min(0, span), high + max(0, span)
    return low, high


def _block(bound: SameBlock, places: Ints) -> Ints:
    """The document of each place; the last length repeats, and what lies before 0 is one more."""
    found = np.full(len(places), -1, dtype=np.int64)
    start = number = 0
    while len(places) and start <= places.max():
        found[places >= start] = number
        start += bound.lengths[min(number, len(bound.lengths) - 1)]
        number += 1
    return found


def elements(cascade: Cascade, access: Access, points: Points, *, clip: bool = False) -> Ints:
    """The element that each point touches, as a position in the flattened tensor; `clip`: of those that
    touch one.
    """
    found = np.zeros(points.count, dtype=np.int64)
    fits = np.ones(points.count, dtype=bool)
    for index, size in zip(access.indices, cascade.shape(access.tensor), strict=True):
        place = np.full(points.count, index.offset, dtype=np.int64)
        for term in index.terms:
            place += term.coefficient * points.at[term.rank]
        fits &= (place >= 0) & (place < size)
        found = found * size + place
    if not clip and not fits.all():
        raise AssertionError(f"a point inside the bounds touches {access.tensor} outside of it")
    return found[fits]


def point_ops(einsum: Einsum) -> tuple[str, ...]:
    """The primitive operations of one point, in order: each distinct sub-expression once, then the reduction.

    A product that is summed is a `mac`.
    """
    distinct = list(dict.fromkeys(applied(einsum.expr)))
    ops = [primitive(node.op) for node in distinct if not node.op.startswith("position[")]
    if einsum.reduce == "sum" and isinstance(einsum.expr, Apply) and einsum.expr.op == "mul":
        return (*ops[:-1], "mac")
    return (*ops, *({"sum": "add"}.get(name, name) for name in (einsum.reduce,) if name))


def applied(expr: Expr) -> Iterator[Apply]:
    """Every operator, what it works on first."""
    if isinstance(expr, Apply):
        for argument in expr.args:
            yield from applied(argument)
        yield expr


def primitive(op: str) -> str:
    """What an operator costs as."""
    return "select" if op.startswith("prune[") else CHEAPER.get(op, op)
