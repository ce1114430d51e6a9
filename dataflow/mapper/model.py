"""The compiled model of one nest: what tile sizes cost, exactly as `dataflow.analytical` counts it.

For an Einsum with plain indices and whole bytes a value every count is a product over ranks:

- A tensor moves into a home once for each tile of the ranks that do not move it, from the loops above the
  home; whatever moves it, it moves once as a whole: bytes x product of trips.
- A home holds its tile under the loops above, twice where one of them has more than one trip.
- A unit folds each dimension's ranks over its width; the rest it walks in time.

A row of counts is [ticks of each engine, joules, bytes held in each memory], all of the whole Einsum.
"""

# mypy: disallow-untyped-decorators=False, warn-return-any=False
# A jitted function keeps its own signature only to a reader: numba's decorators are untyped.

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dataflow.mapper.tables import Floats, Ints, Tables

MOST_EXTENTS = 8  # different tile extents of one rank: one more than its loops, which are three at most


@njit(cache=True, inline="always", error_model="numpy")
def walk(t: Any, tile: Any, trips: Any, reach: Any, again: Any, ext: Any, cnt: Any, kinds: Any) -> None:
    """Walk a nest's loops inward. Fills, by depth and rank, `trips` (tiles so far) and `reach` (points of a
    full tile), `again` (some loop above repeats), and each rank's leaf extents with how often each occurs.
    """
    loop_rank, sizes = t.loop_rank, t.sizes
    ranks = sizes.shape[0]
    for r in range(ranks):
        trips[0, r] = 1.0
        reach[0, r] = sizes[r]
        ext[r, 0] = sizes[r]
        cnt[r, 0] = 1.0
        kinds[r] = 1
    again[0] = 0
    for d in range(loop_rank.shape[0]):
        for r in range(ranks):
            trips[d + 1, r] = trips[d, r]
            reach[d + 1, r] = reach[d, r]
        again[d + 1] = again[d]
        r = loop_rank[d]
        size = tile[d]
        if size >= reach[d, r]:
            continue
        again[d + 1] = 1
        reach[d + 1, r] = size
        full = 0.0
        total = 0.0
        kept = 0
        for c in range(kinds[r]):
            extent, count = ext[r, c], cnt[r, c]
            whole = extent // size
            rest = extent - whole * size
            full += whole * count
            total += whole * count
            if rest:
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


@njit(cache=True, inline="always", error_model="numpy")
def spread(t: Any, ext: Any, cnt: Any, kinds: Any, pick: Any, at: Any, width: int) -> float:
    """Sum over the tiles of the ranks with pick[r] == 1 of ceil(points / width)."""
    ranks = t.sizes.shape[0]
    at[:] = 0
    total = 0.0
    while True:
        points = 1
        count = 1.0
        for r in range(ranks):
            if pick[r]:
                points *= ext[r, at[r]]
                count *= cnt[r, at[r]]
        total += count * ((points + width - 1) // width)
        r = 0
        while r < ranks:
            if pick[r]:
                at[r] += 1
                if at[r] < kinds[r]:
                    break
                at[r] = 0
            r += 1
        if r == ranks:
            return total


@njit(cache=True, inline="always", error_model="numpy")
def leaf(t: Any, ext: Any, cnt: Any, kinds: Any, pick: Any, at: Any, folds: Any, row: Any) -> None:
    """Add the unit's time and energy to `row`; `folds` becomes each dimension's folds over all tiles."""
    dim_of, dim_width, is_cores, reduced, sizes = t.dim_of, t.dim_width, t.is_cores, t.reduced, t.sizes
    ranks = sizes.shape[0]
    dims = dim_width.shape[0]
    cycles = 1.0
    for s in range(dims):
        lone = -1
        many = 0
        for r in range(ranks):
            pick[r] = 1 if dim_of[r] == s else 0
            if pick[r]:
                many += 1
                lone = r
        if many == 1:
            total = 0.0
            for c in range(kinds[lone]):
                total += cnt[lone, c] * ((ext[lone, c] + dim_width[s] - 1) // dim_width[s])
            folds[s] = total
        else:
            folds[s] = spread(t, ext, cnt, kinds, pick, at, dim_width[s])
    least = 1
    for r in range(ranks):
        if dim_of[r] < 0:
            low = ext[r, 0]
            for c in range(1, kinds[r]):
                low = min(low, ext[r, c])
            least *= low
    even = least >= t.least_steps  # no tile is too short to load the next weights behind it
    for s in range(dims):
        if even or not is_cores[s]:
            cycles *= folds[s]
    if even:
        for r in range(ranks):
            if dim_of[r] < 0:
                cycles *= sizes[r]
    else:
        cycles *= _paced(t, ext, cnt, kinds, pick, at)
    row[t.engine] += cycles * t.issue * t.unit_ticks
    points = 1.0
    single = 1.0
    gathers = False
    for r in range(ranks):
        points *= sizes[r]
        if reduced[r] and dim_of[r] < 0:
            gathers = True
            ones = 0.0
            for c in range(kinds[r]):
                if ext[r, c] == 1:
                    ones += cnt[r, c]
            single *= ones
        else:
            single *= sizes[r]
    row[t.engines] += points * t.point_j + ((points - single) * t.register_j if gathers else 0.0)


@njit(cache=True, inline="always", error_model="numpy")
def _paced(t: Any, ext: Any, cnt: Any, kinds: Any, pick: Any, at: Any) -> float:
    """Steps in time of all tiles where each takes at least the cycles that loading its weights takes. A core
    walks its share of the ranks along the cores in time.
    """
    ranks = t.sizes.shape[0]
    width = 1
    for r in range(ranks):
        cores = t.dim_of[r] >= 0 and t.is_cores[t.dim_of[r]]
        pick[r] = 1 if t.dim_of[r] < 0 or cores else 0
        if cores:
            width = t.dim_width[t.dim_of[r]]
    at[:] = 0
    total = 0.0
    while True:
        steps = 1
        share = 1
        count = 1.0
        for r in range(ranks):
            if pick[r]:
                count *= cnt[r, at[r]]
                if t.dim_of[r] >= 0:
                    share *= ext[r, at[r]]
                else:
                    steps *= ext[r, at[r]]
        total += count * max(t.least_steps, steps * ((share + width - 1) // width))
        r = 0
        while r < ranks:
            if pick[r]:
                at[r] += 1
                if at[r] < kinds[r]:
                    break
                at[r] = 0
            r += 1
        if r == ranks:
            return total


@njit(cache=True, inline="always", error_model="numpy")
def streamed(t: Any, x: int, trips: Any, folds: Any) -> float:
    """Bytes that the unit streams of one tensor: once a tile, an input again for each fold it isn't in."""
    dim_of, dim_width, is_cores, movers, sizes, whole_bytes = (
        t.dim_of,
        t.dim_width,
        t.is_cores,
        t.moved,
        t.sizes,
        t.whole_bytes,
    )
    ranks = sizes.shape[0]
    total = whole_bytes[x]
    output = x == whole_bytes.shape[0] - 1
    for s in range(dim_width.shape[0]):
        lies = False
        for r in range(ranks):
            if dim_of[r] == s and movers[x, r]:
                lies = True
        if not lies and not output and not is_cores[s]:
            total *= folds[s]
        else:
            for r in range(ranks):
                if dim_of[r] == s and not movers[x, r]:
                    total *= trips[r]
    for r in range(ranks):
        if dim_of[r] < 0 and not movers[x, r]:
            total *= trips[r]
    return total


@njit(cache=True, inline="always", error_model="numpy")
def choice(t: Any, x: int, o: int, trips: Any, reach: Any, again: Any, stream: float, row: Any) -> bool:
    """Add what one tensor's homes cost to `row`; False where partial results would leave it."""
    depths, holds, memories, movers, moves, reduced, sizes, value_bytes, whole_bytes = (
        t.depth,
        t.holds,
        t.memory,
        t.moved,
        t.moves,
        t.reduced,
        t.sizes,
        t.value_bytes,
        t.whole_bytes,
    )
    ranks = sizes.shape[0]
    output = x == whole_bytes.shape[0] - 1
    source = 0
    for h in range(3):
        memory = memories[o, h]
        if memory < 0:
            break
        d = depths[o, h]
        if moves[o, h]:
            moved = whole_bytes[x]
            for r in range(ranks):
                if not movers[x, r]:
                    moved *= trips[d, r]
            out = 1 if output else 0
            _move(t, row, out, source, moved)
            _move(t, row, 1 - out, memory, moved)
        if holds[o, h]:
            held = value_bytes[x]
            for r in range(ranks):
                if movers[x, r]:
                    held *= reach[d, r]
            row[t.engines + 1 + memory] += held * (2 if again[d] else 1)
        last = d
        source = memory
    _move(t, row, 1 if output else 0, source, stream)
    if output:
        for r in range(ranks):
            if reduced[r] and trips[last, r] > 1:
                return False
    return True


@njit(cache=True, inline="always", error_model="numpy")
def _move(t: Any, row: Any, write: int, memory: int, size: float) -> None:
    engine = int(t.rates[write, memory, 0])
    if engine >= 0:
        row[engine] += size * t.rates[write, memory, 1]
    row[t.engines] += size * t.rates[write, memory, 2]


@njit(cache=True, error_model="numpy")
def evaluate(t: Any, tiles: Any, chosen: Any, rows: Any, legal: Any) -> None:
    """Cost of many mappings of one nest: `tiles` [n, D], `chosen` [n, X] (choices of homes, counted from each
    tensor's first) -> `rows` [n, engines + 1 + memories] and `legal` [n], both overwritten.
    """
    depth = t.loop_rank.shape[0]
    ranks = t.sizes.shape[0]
    tensors = t.whole_bytes.shape[0]
    trips = np.empty((depth + 1, ranks))
    reach = np.empty((depth + 1, ranks))
    again = np.empty(depth + 1, np.int64)
    ext = np.empty((ranks, MOST_EXTENTS), np.int64)
    cnt = np.empty((ranks, MOST_EXTENTS))
    kinds = np.empty(ranks, np.int64)
    pick = np.empty(ranks, np.int64)
    at = np.empty(ranks, np.int64)
    folds = np.empty(max(1, t.dim_width.shape[0]))
    for n in range(tiles.shape[0]):
        row = rows[n]
        row[:] = 0.0
        walk(t, tiles[n], trips, reach, again, ext, cnt, kinds)
        leaf(t, ext, cnt, kinds, pick, at, folds, row)
        good = True
        for x in range(tensors):
            stream = streamed(t, x, trips[depth], folds)
            if not choice(t, x, t.first[x] + chosen[n, x], trips, reach, again, stream, row):
                good = False
        for m in range(t.capacity.shape[0]):
            if row[t.engines + 1 + m] > t.capacity[m]:
                good = False
        legal[n] = good


def cost(t: Tables, tiles: Ints, chosen: Ints) -> tuple[Floats, Ints]:
    """`evaluate` with fresh arrays."""
    rows = np.empty((len(tiles), t.engines + 1 + len(t.capacity)))
    legal = np.empty(len(tiles), np.int64)
    evaluate(t, tiles, chosen, rows, legal)
    return rows, legal
