"""Sums over the tiles of a nest's loops, rank by rank and dimension by dimension, compiled.

Counts are whole numbers in floats: exact below 2^53, and faster to divide.
"""

# mypy: warn-return-any=False
# Kernels take arrays as Any: numba infers what a signature here could only repeat.

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from einsim.dataflow.mapper.tables import BITS, CORE, CORES, DIM, LEAST_STEPS, META_BITS, WIDTH, M, N
from einsim.specs.compiled import njit

MOST_EXTENTS = 8  # different tile extents of one rank: one more than its loops

#: Columns of a rank's sums over its tiles.
TRIPS, WORK, SHARE, WANT, ONES, SUMS = range(6)
#: Columns of a dimension's sums: folds of what is computed, of what is read, and the latter over all cores.
FOLDS, STREAMS, ALONE, DIM_SUMS = range(4)


class Cut(NamedTuple):
    """How D loops cut R ranks into tiles, and the sums over them along the ranks and the S dimensions."""

    trips: Any  # float [D + 1, R]: tiles of the rank below so many loops
    reach: Any  # float [D + 1, R]: points of a full tile
    again: Any  # int [D + 1]: whether some loop above repeats
    extent: Any  # float [R, MOST_EXTENTS]: the extents of the rank's tiles
    count: Any  # float [R, MOST_EXTENTS]: how often each occurs
    kinds: Any  # int [R]: how many extents there are
    open: Any  # int [R]: whether a loop over the rank has no tile yet
    at: Any  # int [R]: the extent that a walk over all combinations stands at
    rank_sums: Any  # float [R, SUMS]
    dim_sums: Any  # float [S, DIM_SUMS]


@njit(error_model="numpy", nogil=True)
def uncut(depth: int, ranks: int, dims: int) -> Any:
    """Room for the cut of a nest; `start` fills it."""
    return Cut(
        np.empty((depth + 1, ranks)), np.empty((depth + 1, ranks)), np.empty(depth + 1, np.int64),
        np.empty((ranks, MOST_EXTENTS)), np.empty((ranks, MOST_EXTENTS)), np.empty(ranks, np.int64),
        np.empty(ranks, np.int64), np.empty(ranks, np.int64), np.empty((ranks, SUMS)),
        np.empty((max(1, dims), DIM_SUMS)),
    )  # fmt: skip


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def start(sizes: Any, cut: Any) -> None:
    """The state above all loops: whole ranks, once each."""
    for r in range(sizes.shape[0]):
        cut.trips[0, r] = 1.0
        cut.reach[0, r] = sizes[r]
        cut.extent[r, 0] = sizes[r]
        cut.count[r, 0] = 1.0
        cut.kinds[r] = 1
        cut.open[r] = 0
    cut.again[0] = 0


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def split(cut: Any, r: int, d: int, size: float) -> None:
    """Go into loop d, over rank r, with a tile size."""
    trips, reach, again, ext, cnt = cut.trips, cut.reach, cut.again, cut.extent, cut.count
    for other in range(trips.shape[1]):
        trips[d + 1, other] = trips[d, other]
        reach[d + 1, other] = reach[d, other]
    again[d + 1] = again[d]
    if size >= reach[d, r]:
        return
    again[d + 1] = 1
    reach[d + 1, r] = size
    full = 0.0
    total = 0.0
    kept = 0
    for c in range(cut.kinds[r]):
        extent, count = ext[r, c], cnt[r, c]
        whole = np.floor(extent / size)
        rest = extent - whole * size
        full += whole * count
        total += whole * count
        if rest > 0.0:
            total += count
            found = -1
            for k in range(kept):
                if ext[r, k] == rest:
                    found = k
            if found >= 0:
                cnt[r, found] += count
            else:
                ext[r, kept] = rest
                cnt[r, kept] = count
                kept += 1
    ext[r, kept] = size
    cnt[r, kept] = full
    cut.kinds[r] = kept + 1
    trips[d + 1, r] = total


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def turn(kinds: Any, at: Any, marks: Any, mark: int) -> bool:
    """The next combination of extents of the ranks that bear a mark; False after the last one."""
    for r in range(kinds.shape[0]):
        if marks[r] == mark:
            at[r] += 1
            if at[r] < kinds[r]:
                return True
            at[r] = 0
    return False


@njit(error_model="numpy", nogil=True, allocates=False)
def kept_of(n: float, m: float, points: float) -> float:
    """Elements that an n:m pattern leaves of consecutive points."""
    if m == 0.0:
        return points
    groups = np.floor(points / m)
    return groups * n + min(points - groups * m, n)


@njit(error_model="numpy", nogil=True, allocates=False)
def bytes_of(fmt: Any, x: int, elements: float) -> float:
    """Bytes that elements of a tensor take."""
    kept = kept_of(fmt[x, N], fmt[x, M], elements)
    return np.ceil(kept * (fmt[x, BITS] + fmt[x, META_BITS]) / 8.0)


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def whole_bytes(t: Any, cut: Any, x: int) -> float:
    """Bytes of all tiles of a tensor, each rounded up to whole ones."""
    fmt, moved, at = t.fmt, t.moved, cut.at
    ranks = moved.shape[1]
    if fmt[x, M] == 0.0 and np.floor(fmt[x, BITS] / 8.0) * 8.0 == fmt[x, BITS]:
        total = fmt[x, BITS] / 8.0
        for r in range(ranks):
            if moved[x, r]:
                total *= t.sizes[r]
        return total
    at[:] = 0
    total = 0.0
    while True:
        count, points = 1.0, 1.0
        for r in range(ranks):
            if moved[x, r]:
                count *= cut.count[r, at[r]]
                points *= cut.extent[r, at[r]]
        total += count * bytes_of(fmt, x, points)
        if not turn(cut.kinds, at, moved[x], 1):
            return total


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def sum_ranks(t: Any, cut: Any) -> None:
    """Sums over each rank's tiles: how many, points computed, points a core walks, cores at work, and points
    computed in tiles of a single point.
    """
    place, pattern, cores, sums = t.place, t.pattern, t.one[CORES], cut.rank_sums
    for r in range(place.shape[0]):
        trips, works, share, want, ones = 0.0, 0.0, 0.0, 0.0, 0.0
        core = place[r, CORE]
        for c in range(cut.kinds[r]):
            e, n = cut.extent[r, c], cut.count[r, c]
            trips += n
            work = n * kept_of(pattern[r, 0], pattern[r, 1], e)
            works += work
            if e == 1.0:
                ones += work
            if core:
                share += n * np.ceil(e / cores)
                want += n * min(e, cores)
        sums[r, TRIPS] = trips
        sums[r, WORK] = works
        sums[r, SHARE] = share
        sums[r, WANT] = want
        sums[r, ONES] = ones


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def sum_dims(t: Any, cut: Any) -> None:
    """Folds over each dimension, summed over the tiles of the ranks along it."""
    place, pattern, cores, sums, at = t.place, t.pattern, t.one[CORES], cut.dim_sums, cut.at
    along = place[:, DIM]
    for s in range(t.dim.shape[0]):
        width = t.dim[s, WIDTH]
        sums[s, :] = 0.0
        at[:] = 0
        while True:
            count, work, read, rest, mine = 1.0, 1.0, 1.0, 1.0, -1.0
            for r in range(place.shape[0]):
                if along[r] != s:
                    continue
                e = cut.extent[r, at[r]]
                count *= cut.count[r, at[r]]
                if place[r, CORE]:
                    mine = e
                    read *= np.ceil(e / cores)
                    work *= np.ceil(kept_of(pattern[r, 0], pattern[r, 1], e) / cores)
                else:
                    rest *= e
                    read *= e
                    work *= kept_of(pattern[r, 0], pattern[r, 1], e)
            folds = np.ceil(read / width)
            sums[s, FOLDS] += count * np.ceil(work / width)
            sums[s, STREAMS] += count * folds
            if mine >= 0.0:
                full = np.floor(mine / cores)
                more = mine - full * cores
                folds = more * np.ceil((full + 1.0) * rest / width)
                folds += (cores - more) * np.ceil(full * rest / width)
            sums[s, ALONE] += count * folds
            if not turn(cut.kinds, at, along, s):
                break


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def steps(t: Any, cut: Any) -> float:
    """Steps in time of all tiles. Where weights stay, a tile takes at least the `slowest` cycles in which the
    next ones load. A core walks its share of the cores' ranks that no other dimension has.
    """
    place, pattern, at = t.place, t.pattern, cut.at
    cores, slowest = t.one[CORES], t.one[LEAST_STEPS]
    along = place[:, DIM]
    least = 1.0
    walked = 1.0
    several = 0
    for r in range(place.shape[0]):
        if along[r] >= 0:
            continue
        if place[r, CORE]:
            several += 1
            walked *= cut.rank_sums[r, SHARE]
            continue
        walked *= cut.rank_sums[r, WORK]
        if slowest > 0.0:
            low = cut.extent[r, 0]
            for c in range(1, cut.kinds[r]):
                low = min(low, cut.extent[r, c])
            least *= kept_of(pattern[r, 0], pattern[r, 1], low)
    if least >= slowest and several < 2:
        return walked
    at[:] = 0
    total = 0.0
    while True:
        inside, share, count = 1.0, 1.0, 1.0
        for r in range(place.shape[0]):
            if along[r] >= 0:
                continue
            e = cut.extent[r, at[r]]
            count *= cut.count[r, at[r]]
            if place[r, CORE]:
                share *= e
            else:
                inside *= kept_of(pattern[r, 0], pattern[r, 1], e)
        if several:
            inside *= np.ceil(share / cores)
        total += count * max(slowest, inside)
        if not turn(cut.kinds, at, along, -1):
            return total
