"""N:M operands: B compressed to values and indices, and the words that A's ports must bring for them.

The element that takes them (SAT, arXiv 2309.13015: one element, dense or N:M, output- or weight-stationary)
has one multiplier and an m-to-1 selector: a port brings a group of m consecutive values of A, which stays
for the group's n slots, and the index beside each kept value of B selects the one to multiply.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from einsim.sim.arrays.gemm import Gemm
from einsim.specs.arrays import AnyInts, Ints
from einsim.specs.errors import RuleError


class Compressed(msgspec.Struct, frozen=True, kw_only=True):
    """B in slots: values int32 [slots, n] and index int32 [slots, n], the position inside the group of m.

    Indices of a group ascend; slots that the group does not fill hold value 0 and index 0, at its end.
    """

    values: npt.NDArray[np.int32]
    index: npt.NDArray[np.int32]


def compress(b: AnyInts, nm: tuple[int, int]) -> Compressed:
    """B [k, n] in slots; RuleError where a column keeps more than n of m values along k."""
    n, m = nm
    depth, width = b.shape
    groups = -(-depth // m)
    padded = np.zeros((groups * m, width), np.int32)
    padded[:depth] = b
    grouped = padded.reshape(groups, m, width)
    full = (grouped != 0).sum(axis=1)
    if int(full.max()) > n:
        group, column = (int(i) for i in np.argwhere(full > n)[0])
        raise RuleError(
            f"keeps {int(full[group, column])} of {m} values in group {group} of column {column}, "
            f"more than {n}:{m} allows", at=("b",),
        )  # fmt: skip
    order = np.argsort(grouped == 0, axis=1, kind="stable")[:, :n]  # non-zeros first, in place order
    values = np.take_along_axis(grouped, order, axis=1)
    index = np.where(values == 0, 0, order).astype(np.int32)
    slots = Gemm(m=1, n=width, k=depth, nm=nm).slots
    return Compressed(
        values=np.ascontiguousarray(values.reshape(-1, width)[:slots]),
        index=np.ascontiguousarray(index.reshape(-1, width)[:slots]),
    )


def group_words(depth: int, nm: tuple[int, int], tile_rows: int | None = None) -> Ints:
    """Words of A that its port brings at each slot, int64 [slots]; they sum to k when tiles end on groups.

    A group's first slot brings the whole group and the others nothing. With `tile_rows` (slots on the
    rows of a stationary array) a tile that starts inside a group brings it again.
    """
    n, m = nm
    slot = np.arange(Gemm(m=1, n=1, k=depth, nm=nm).slots)
    group = slot // n
    brought = slot % n == 0
    if tile_rows is not None:
        brought |= slot % tile_rows == 0
    return np.where(brought, np.minimum(m, depth - group * m), 0).astype(np.int64)
