"""Integer formats: how values become codes of few bits with scales, and what the codes mean.

A code q stands for (q - zero) * scale. Codes are kept here as q - zero, whole numbers whose products sum
exactly. Symmetric formats have no zero point and leave the lowest code out, so that -x has x's magnitude;
affine ones reach from the least to the largest value, 0 included (Jacob et al., arXiv 1712.05877). Values are
rounded to the nearest code, ties to the even one (IEEE 754), and saturate beyond the range.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from einsim.workloads.ops import Array

FEWEST_BITS, MOST_BITS = 2, 16
TENSOR, CHANNEL, GROUP = "tensor", "channel", "group"
SYMMETRIC, AFFINE = "symmetric", "affine"


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """`bits` of a code, and what shares a scale: a tensor, a channel, or `group` values of one."""

    bits: int
    per: str = TENSOR
    scheme: str = SYMMETRIC
    group: int = 0

    def __str__(self) -> str:
        shared = f"{self.group} values" if self.per == GROUP else self.per
        return f"int{self.bits} per {shared}" + (f", {AFFINE}" if self.scheme == AFFINE else "")


class Grid(msgspec.Struct, frozen=True, eq=False):
    """A tensor's codes: `scale` of every element, and the ends of the range, as codes less their zero point.

    `blocks` are the elements along each dimension that share a scale.
    """

    scale: Array
    low: Array
    high: Array
    blocks: tuple[int, ...]

    def codes(self, values: Array, at: tuple[NDArray[np.int64], ...] | None = None) -> Array:
        """Codes less their zero point, whole float64 numbers, of the tensor or of its elements `at`."""
        scale, low, high = (
            each if at is None or each.ndim == 0 else each[at] for each in (self.scale, self.low, self.high)
        )
        result: Array = np.clip(np.rint(values / scale), low, high)
        return result

    def rounded(self, values: Array, at: tuple[NDArray[np.int64], ...] | None = None) -> Array:
        """The values that the codes stand for. An infinity, a maximum over nothing, stays one."""
        scale = self.scale if at is None or self.scale.ndim == 0 else self.scale[at]
        result: Array = np.where(np.isfinite(values), self.codes(values, at) * scale, values)
        return result


def grid(values: Array, form: Format, blocks: Sequence[int]) -> Grid:
    """The grid that the finite ones of some values span; `blocks` has a length along each dimension."""
    finite = np.where(np.isfinite(values), values, 0.0)
    least, most = (_ends(finite, blocks, np.minimum), _ends(finite, blocks, np.maximum))
    least, most = np.minimum(least, 0.0), np.maximum(most, 0.0)
    if form.scheme == AFFINE:
        steps = 2**form.bits - 1
        scale = _positive((most - least) / steps)
        low = np.rint(least / scale)
        high = low + steps
    else:
        steps = 2 ** (form.bits - 1) - 1
        scale = _positive(np.maximum(most, -least) / steps)
        low, high = np.full(scale.shape, -float(steps)), np.full(scale.shape, float(steps))
    if all(block >= size for block, size in zip(blocks, values.shape, strict=True)):
        scale, low, high = (each.reshape(()) for each in (scale, low, high))
    else:
        scale, low, high = (_spread(each, values.shape, blocks) for each in (scale, low, high))
    return Grid(scale, low, high, tuple(blocks))


def _positive(scale: Array) -> Array:
    """Scales, 1 for what holds zeros only, or numbers too small to be told from it."""
    return np.where(scale < np.finfo(np.float64).tiny, 1.0, scale)


def _ends(values: Array, blocks: Sequence[int], of: np.ufunc) -> Array:
    """The least or largest value of each block."""
    for axis, block in enumerate(blocks):
        values = of.reduceat(values, range(0, values.shape[axis], block), axis=axis)
    return values


def _spread(small: Array, shape: tuple[int, ...], blocks: Sequence[int]) -> Array:
    """One value a block as one an element."""
    for axis, (size, block) in enumerate(zip(shape, blocks, strict=True)):
        if 1 < block < size:
            small = np.take(small, np.arange(size) // block, axis=axis)
    return np.broadcast_to(small, shape)
