"""Sums over the tiles of a nest's loops, rank by rank and dimension by dimension, compiled.

Counts are whole numbers in floats: exact below 2^53, and faster to divide.
"""

# mypy: warn-return-any=False
# Kernels take arrays as Any: numba infers what a signature here could only repeat.

from __future__ import annotations

from typing import Any

import numpy as np

from einsim.dataflow.mapper.tables import CORE, DIM, WIDTH
from einsim.specs.compiled import njit

MOST_EXTENTS = 8  # different tile extents of one rank: one more than its loops

#: How functions are compiled. Those that make no arrays count no references either: that halves their time.

#: Columns of a rank's sums over its tiles.
TRIPS, WORK, SHARE, WANT, ONES, SUMS = range(6)
#: Columns of a dimension's sums: folds of what is computed, of what is read, and the latter over all cores.
FOLDS, STREAMS, ALONE, DIM_SUMS = range(4)


@njit(error_model="numpy", nogil=True, allocates=False)
def start(sizes: Any, trips: Any, reach: Any, again: Any, ext: Any, cnt: Any, kinds: Any) -> None:
    """The state above all loops: whole ranks, once each."""
    for r in range(sizes.shape[0]):
        trips[0, r] = 1.0
        reach[0, r] = sizes[r]
        ext[r, 0] = sizes[r]
        cnt[r, 0] = 1.0
        kinds[r] = 1
    again[0] = 0


@njit(error_model="numpy", nogil=True, allocates=False)
def split(
    r: int, d: int, size: float, trips: Any, reach: Any, again: Any, ext: Any, cnt: Any, kinds: Any
) -> None:
    """Go into loop d, over rank r, with a tile size. Fills, by depth and rank, `trips` (tiles so far) and
    `reach` (points of a full tile), `again` (some loop above repeats), and the rank's extents with how often
    each occurs.
    """
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
    for c in range(kinds[r]):
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
    kinds[r] = kept + 1
    trips[d + 1, r] = total


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
    kept = kept_of(fmt[x, 1], fmt[x, 2], elements)
    return np.ceil(kept * (fmt[x, 0] + fmt[x, 3]) / 8.0)


@njit(error_model="numpy", nogil=True, allocates=False)
def rank_sums(place: Any, pattern: Any, cores: float, ext: Any, cnt: Any, kinds: Any, sums: Any) -> None:
    """Sums over each rank's tiles: how many, points computed, points a core walks, cores at work, and points
    computed in tiles of a single point.
    """
    for r in range(place.shape[0]):
        trips, works, share, want, ones = 0.0, 0.0, 0.0, 0.0, 0.0
        core = place[r, CORE]
        for c in range(kinds[r]):
            e, n = ext[r, c], cnt[r, c]
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


@njit(error_model="numpy", nogil=True, allocates=False)
def dim_sums(
    place: Any, pattern: Any, dim: Any, cores: float, ext: Any, cnt: Any, kinds: Any, at: Any, sums: Any
) -> None:
    """Folds over each dimension, summed over the tiles of the ranks along it."""
    ranks = place.shape[0]
    for s in range(dim.shape[0]):
        width = dim[s, WIDTH]
        for v in range(DIM_SUMS):
            sums[s, v] = 0.0
        for r in range(ranks):
            at[r] = 0
        while True:
            count, work, read, rest, mine = 1.0, 1.0, 1.0, 1.0, -1.0
            for r in range(ranks):
                if place[r, DIM] != s:
                    continue
                e = ext[r, at[r]]
                count *= cnt[r, at[r]]
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
            r = 0
            while r < ranks:
                if place[r, DIM] == s:
                    at[r] += 1
                    if at[r] < kinds[r]:
                        break
                    at[r] = 0
                r += 1
            if r == ranks:
                break


@njit(error_model="numpy", nogil=True, allocates=False)
def steps(
    place: Any, pattern: Any, cores: float, slowest: float, ext: Any, cnt: Any, kinds: Any, at: Any, sums: Any
) -> float:
    """Steps in time of all tiles. Where weights stay, a tile takes at least the `slowest` cycles in which the
    next ones load. A core walks its share of the cores' ranks that no other dimension has.
    """
    ranks = place.shape[0]
    least = 1.0
    walked = 1.0
    several = 0
    for r in range(ranks):
        if place[r, DIM] >= 0:
            continue
        if place[r, CORE]:
            several += 1
            walked *= sums[r, SHARE]
            continue
        walked *= sums[r, WORK]
        if slowest > 0.0:
            low = ext[r, 0]
            for c in range(1, kinds[r]):
                low = min(low, ext[r, c])
            least *= kept_of(pattern[r, 0], pattern[r, 1], low)
    if least >= slowest and several < 2:
        return walked
    for r in range(ranks):
        at[r] = 0
    total = 0.0
    while True:
        inside, share, count = 1.0, 1.0, 1.0
        for r in range(ranks):
            if place[r, DIM] >= 0:
                continue
            count *= cnt[r, at[r]]
            if place[r, CORE]:
                share *= ext[r, at[r]]
            else:
                inside *= kept_of(pattern[r, 0], pattern[r, 1], ext[r, at[r]])
        if several:
            inside *= np.ceil(share / cores)
        total += count * max(slowest, inside)
        r = 0
        while r < ranks:
            if place[r, DIM] < 0:
                at[r] += 1
                if at[r] < kinds[r]:
                    break
                at[r] = 0
            r += 1
        if r == ranks:
            return total
