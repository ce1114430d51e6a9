"""SAT's top-N sorter: keeps the N largest of each group of M, one value a lane and cycle.

A lane has N registers (value, index, full bit). In each cycle it takes one value: among its registers the
smallest magnitude loses (an empty register is smaller than any value, and of equals the latest loses); if
the new magnitude is larger, the loser leaves, the registers after it close up and the value enters last.
So indices ascend, and the earlier of equal magnitudes stays. A group's first value clears the registers in
the same cycle, so groups follow without a gap; a group's result stands in the registers after its M-th
edge, for one cycle. Source: SAT (arXiv 2309.13015) gives 32 lanes and M cycles a group; the register-level
design and the rule for ties are ours.
"""

from __future__ import annotations

import msgspec
import numpy as np

from einsim.sim.arrays.gemm import at_least_one
from einsim.specs.arrays import AnyInts, Ints
from einsim.specs.compiled import njit
from einsim.specs.errors import RuleError


class SorterSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`lanes` sorters side by side, each keeping nm[0] of nm[1]; RuleError outside 1 <= n <= m."""

    lanes: int
    nm: tuple[int, int]

    def __post_init__(self) -> None:
        at_least_one("lanes", self.lanes)
        if not 1 <= self.nm[0] <= self.nm[1]:
            raise RuleError("must be [n, m] with 1 <= n <= m", got=self.nm, at=("nm",))


class Sorted(msgspec.Struct, frozen=True, kw_only=True):
    """Kept values and their index in the group, int64 [groups, n]; inserts int64 [cycles] counts writes."""

    values: Ints
    index: Ints
    cycles: int
    inserts: Ints


def sorter_cycles(spec: SorterSpec, groups: int) -> int:
    """Cycles for `groups` groups: m for every round of `lanes` groups."""
    return -(-groups // spec.lanes) * spec.nm[1]


def sort(spec: SorterSpec, groups: AnyInts) -> Sorted:
    """Steps the sorter over integer groups [groups, m]; group g goes to lane g mod lanes."""
    n, m = spec.nm
    data = np.asarray(groups)
    if data.ndim != 2 or data.shape[1] != m or data.dtype.kind not in "iu":
        raise RuleError(f"must be integers of shape [groups, {m}]", got=data.shape, at=("groups",))
    cycles = sorter_cycles(spec, len(data))
    values, index = np.zeros((len(data), n), np.int64), np.zeros((len(data), n), np.int64)
    inserts = np.zeros(cycles, np.int64)
    _step(data.astype(np.int64), spec.lanes, n, values, index, inserts)
    return Sorted(values=values, index=index, cycles=cycles, inserts=inserts)


def prune(matrix: AnyInts, nm: tuple[int, int]) -> Ints:
    """The matrix [k, n] with all but the sorter's choice of every m values along k set to 0."""
    m = nm[1]
    depth, width = matrix.shape
    count = -(-depth // m)
    padded = np.zeros((count * m, width), np.int64)
    padded[:depth] = matrix
    groups = padded.reshape(count, m, width).transpose(0, 2, 1).reshape(-1, m)
    chosen = sort(SorterSpec(lanes=1, nm=nm), groups)
    dense = np.zeros_like(groups)
    np.put_along_axis(dense, chosen.index, chosen.values, axis=1)
    return np.ascontiguousarray(dense.reshape(count, width, m).transpose(0, 2, 1).reshape(-1, width)[:depth])


@njit()
def _step(groups: AnyInts, lanes: int, n: int, values: AnyInts, index: AnyInts, inserts: AnyInts) -> None:
    m = groups.shape[1]
    value = np.zeros((lanes, n), np.int64)
    place = np.zeros((lanes, n), np.int64)
    full = np.zeros((lanes, n), np.bool_)
    for cycle in range(inserts.shape[0]):
        beat = cycle % m
        for lane in range(lanes):
            group = cycle // m * lanes + lane
            if group >= groups.shape[0]:
                break
            if beat == 0:
                full[lane] = False
            new = groups[group, beat]
            loser, least = 0, np.int64(0)
            for i in range(n):
                size = abs(value[lane, i]) if full[lane, i] else np.int64(-1)
                if i == 0 or size <= least:
                    loser, least = i, size
            if abs(new) > least:
                for i in range(loser, n - 1):
                    value[lane, i] = value[lane, i + 1]
                    place[lane, i] = place[lane, i + 1]
                    full[lane, i] = full[lane, i + 1]
                value[lane, n - 1], place[lane, n - 1], full[lane, n - 1] = new, beat, True
                inserts[cycle] += 1
            if beat == m - 1:
                values[group] = value[lane]
                index[group] = place[lane]
