"""How the loops of a nest cut its ranks into tiles: extents and how often each occurs, compiled."""

# mypy: warn-return-any=False
# Kernels take arrays as Any: numba infers what a signature here could only repeat.

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from einsim.dataflow.mapper.band import KIND
from einsim.specs.compiled import njit

MOST_EXTENTS = 8  # different tile extents of one rank: one more than its loops

#: What is moved of a tensor at one memory, in bytes: its tiles into a home, the same into all cores or as
#: partial sums, and what the unit reads and writes there.
TILES, COPIED, PARTIAL, READ, WRITTEN, USES = range(6)


class NestCut(NamedTuple):
    """How D loops cut R ranks into tiles, and the sums over them, for X tensors and M memories."""

    trips: Any  # float [D + 1, R]: tiles of the rank below so many loops
    reach: Any  # float [D + 1, R]: points of a full tile
    again: Any  # int [D + 1]: whether some loop above repeats
    extent: Any  # float [D + 1, R, MOST_EXTENTS]: the extents of the rank's tiles
    count: Any  # float [D + 1, R, MOST_EXTENTS]: how often each occurs
    kinds: Any  # int [D + 1, R]: how many extents there are
    below: Any  # int [1]: the loops whose tiles a walk goes over: so many of the outer ones
    open: Any  # int [R]: whether a loop over the rank has no tile yet
    at: Any  # int [R]: the extent that a walk over all combinations stands at
    tile: Any  # float [R]: points of a tile
    work: Any  # float [R]: those that are computed
    places: Any  # float [R], scratch
    marks: Any  # int [R], scratch
    values: Any  # float [X, 4]: values that pass in one tile, all cores together and each by itself; then
    #              both without what tied ranks make of them
    uses: Any  # float [X, M, USES]
    summed: Any  # int [X]: below how many loops a home is whose transfers those are; -1: not known
    totals: Any  # float [5]: steps in time and points, of all tiles; steps, points and folds of one, without
    #              what tied ranks make of them
    views: Any  # what loops make of ranks that a band ties
    from_row: Any  # int [1]: the row of the kind with which walks over them begin
    mean: Any  # bool [1]: whether that is their mean: of which nothing is rounded up
    kind: Any  # float [KIND]: the one at which a walk stands


@njit(error_model="numpy", nogil=True, inner=True)
def uncut(t: Any, views: Any) -> Any:
    """Room for the cut of a nest; `start` fills it."""
    depth, (tensors, ranks) = t.loop_rank.shape[0], t.moved.shape
    return NestCut(
        np.empty((depth + 1, ranks)), np.empty((depth + 1, ranks)), np.empty(depth + 1, np.int64),
        np.empty((depth + 1, ranks, MOST_EXTENTS)), np.empty((depth + 1, ranks, MOST_EXTENTS)),
        np.empty((depth + 1, ranks), np.int64), np.array([depth]),
        np.empty(ranks, np.int64), np.empty(ranks, np.int64), np.empty(ranks),
        np.empty(ranks), np.empty(ranks), np.empty(ranks, np.int64), np.empty((tensors, 4)),
        np.empty((tensors, t.mem.shape[0], USES)), np.empty(tensors, np.int64), np.empty(5),
        views, np.zeros(1, np.int64), np.zeros(1, np.bool_), np.ones(KIND),
    )  # fmt: skip


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def start(sizes: Any, cut: Any) -> None:
    """The state above all loops: whole ranks, once each."""
    for r in range(sizes.shape[0]):
        cut.trips[0, r] = 1.0
        cut.reach[0, r] = sizes[r]
        cut.extent[0, r, 0] = sizes[r]
        cut.count[0, r, 0] = 1.0
        cut.kinds[0, r] = 1
        cut.open[r] = 0
    cut.again[0] = 0


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def parted(extents: Any, counts: Any, kinds: int, size: float) -> int:
    """Cut tiles of so many extents into parts of `size` points and what remains; returns how many extents
    there are then.
    """
    full, kept = 0.0, 0
    for c in range(kinds):
        extent, count = extents[c], counts[c]
        whole = np.floor(extent / size)
        rest = extent - whole * size
        full += whole * count
        if rest > 0.0:
            found = kept
            for k in range(kept):
                if extents[k] == rest:
                    found = k
            counts[found] = count + (counts[found] if found < kept else 0.0)
            extents[found] = rest
            kept = max(kept, found + 1)
    extents[kept], counts[kept] = size, full
    return kept + 1


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def split(cut: Any, r: int, d: int, size: float) -> None:
    """Go into loop d, over rank r, with a tile size."""
    trips, reach, again, kinds, ext, cnt = cut.trips, cut.reach, cut.again, cut.kinds, cut.extent, cut.count
    for other in range(trips.shape[1]):
        trips[d + 1, other] = trips[d, other]
        reach[d + 1, other] = reach[d, other]
        kinds[d + 1, other] = kinds[d, other]
        for k in range(kinds[d, other]):
            ext[d + 1, other, k], cnt[d + 1, other, k] = ext[d, other, k], cnt[d, other, k]
    again[d + 1] = again[d]
    if size >= reach[d, r]:
        return
    again[d + 1] = 1
    reach[d + 1, r] = size
    kinds[d + 1, r] = parted(ext[d + 1, r], cnt[d + 1, r], kinds[d, r], size)
    total = 0.0
    for k in range(kinds[d + 1, r]):
        total += cnt[d + 1, r, k]
    trips[d + 1, r] = total


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def turn(cut: Any, marks: Any, mark: int) -> bool:
    """The next combination of extents of the ranks that bear a mark; False after the last one."""
    at, kinds = cut.at, cut.kinds
    for r in range(at.shape[0]):
        if marks[r] == mark:
            at[r] += 1
            if at[r] < kinds[cut.below[0], r]:
                return True
            at[r] = 0
    return False
