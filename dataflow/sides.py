"""Boxes of many tiles at once, and what affine bounds leave of each: `Mask` in arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from einsim.dataflow.mask import Mask
from einsim.dataflow.rows import Bools, Ints
from einsim.workloads.points import Linear

Sides = dict[str, tuple[Ints, Ints]]
"""First and last point of each rank in each row [N]."""


def wholes(mask: Mask) -> Sides:
    """All points of the ranks that bounds tie, for every row."""
    return {rank: whole(mask.sizes[rank]) for rank in mask.tied}


def whole(size: int) -> tuple[Ints, Ints]:
    """The first and the last point of a rank, for every row."""
    return np.zeros(1, dtype=np.int64), np.full(1, size - 1)


def least(linear: Linear, box: Sides, sizes: Mapping[str, int]) -> Ints:
    """The least that a constraint is in each box."""
    coefficients, constant = linear
    found = np.int64(constant) + np.zeros((), dtype=np.int64)
    for rank, value in coefficients.items():
        low, high = box.get(rank, whole(sizes[rank]))
        found = found + np.minimum(value * low, value * high)
    return np.asarray(found)


def standing(mask: Mask, box: Sides, count: int) -> list[Ints]:
    """`Mask.standing` of each box, as columns: whether it keeps a bound whole, and else where it stands."""
    found: list[Ints] = []
    for coefficients, constant in mask.linear:
        whole = least((coefficients, constant), box, mask.sizes) >= 0
        at = np.full(count, constant)
        for rank, value in coefficients.items():
            at = at + (value * box[rank][0] if rank in box else 0)
        found += [np.broadcast_to(whole, count).astype(np.int64), np.where(whole, 0, at)]
    return found


def trimmed(mask: Mask, box: Sides, count: int) -> tuple[Bools, Sides]:
    """`Mask.trim` of each box: whether something is left, and what of the tied ranks."""
    there, ends = np.ones(count, dtype=bool), dict[str, tuple[Ints, Ints]]()
    for rank in mask.tied:
        low, high = box.get(rank, whole(mask.sizes[rank]))
        ends[rank] = np.broadcast_to(low, count), np.broadcast_to(high, count)
    moved = bool(ends) or bool(mask.linear)
    while moved:
        moved = False
        for coefficients, constant in mask.linear:
            most = np.full(count, constant)
            for rank, value in coefficients.items():
                most = most + np.maximum(value * ends[rank][0], value * ends[rank][1])
            there &= most >= 0
            for rank, value in coefficients.items():
                low, high = ends[rank]
                rest = most - np.maximum(value * low, value * high)
                if value > 0:
                    low = np.where(there, np.maximum(low, -(rest // value)), low)
                else:
                    high = np.where(there, np.minimum(high, rest // -value), high)
                there &= low <= high
                moved |= bool(((low != ends[rank][0]) | (high != ends[rank][1])).any())
                ends[rank] = low, high
    return there, ends
