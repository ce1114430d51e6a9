"""The compiled search over tile sizes and homes of one nest: branch and bound, loop by loop.

After each loop's tile is chosen, the loops still open are taken as whole: trips, folds and streamed bytes can
only grow as they are split, so what the model gives is a lower bound (registers and homes further in count
nothing). A branch is left when the bound can't improve on what was found: that keeps an optimum.
"""

# mypy: disallow-untyped-decorators=False, warn-return-any=False
# A jitted function keeps its own signature only to a reader: numba's decorators are untyped.

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dataflow.mapper.model import MOST_EXTENTS, choice, leaf, streamed, walk

PARTS, FRONT, PAIR, LATENCY, ENERGY, EDP, BUFFER = range(7)


@njit(cache=True, error_model="numpy")
def key_of(row: Any, engines: int, mode: int, leak_j: float, key: Any) -> None:
    """What is compared. PARTS: the row itself; FRONT: (ticks, joules, bytes); PAIR: (ticks, joules); in
    the other modes the objective, then the figure that breaks ties.
    """
    if mode == PARTS:
        key[:] = row
        return
    ticks = 0.0
    for e in range(engines):
        ticks = max(ticks, row[e])
    joules = row[engines] + leak_j * ticks
    held = 0.0
    for m in range(engines + 1, row.shape[0]):
        held += row[m]
    if mode == FRONT:
        key[0], key[1], key[2] = ticks, joules, held
    elif mode in (PAIR, LATENCY):
        key[0], key[1] = ticks, joules
    elif mode == ENERGY:
        key[0], key[1] = joules, ticks
    elif mode == EDP:
        key[0], key[1] = joules * ticks, ticks
    else:
        key[0], key[1] = held, ticks


@njit(cache=True, error_model="numpy")
def beaten(keys: Any, count: int, key: Any, mode: int) -> bool:
    """Whether something found is at least as good as `key`."""
    width = key.shape[0]
    if mode >= LATENCY:
        if count == 0:
            return False
        return key[0] > keys[0, 0] or (key[0] == keys[0, 0] and key[1] >= keys[0, 1])
    for n in range(count):
        good = True
        for v in range(width):
            if keys[n, v] > key[v]:
                good = False
                break
        if good:
            return True
    return False


@njit(cache=True, error_model="numpy")
def insert(keys: Any, metas: Any, count: int, key: Any, meta: Any, mode: int) -> Any:
    """Put a key that nothing beats into the archive, dropping what it beats; the arrays grow."""
    width = key.shape[0]
    if mode >= LATENCY:
        keys[0] = key
        metas[0] = meta
        return keys, metas, 1
    kept = 0
    for n in range(count):
        worse = True
        for v in range(width):
            if keys[n, v] < key[v]:
                worse = False
                break
        if not worse:
            if kept != n:
                keys[kept] = keys[n]
                metas[kept] = metas[n]
            kept += 1
    if kept == keys.shape[0]:
        wider = np.empty((2 * kept, width))
        wider[:kept] = keys
        keys = wider
        more = np.empty((2 * kept, meta.shape[0]), np.int64)
        more[:kept] = metas
        metas = more
    keys[kept] = key
    metas[kept] = meta
    return keys, metas, kept + 1


@njit(cache=True, error_model="numpy")
def _fits(row: Any, t: Any, within: float) -> bool:
    held = 0.0
    for m in range(t.capacity.shape[0]):
        if row[t.engines + 1 + m] > t.capacity[m]:
            return False
        held += row[t.engines + 1 + m]
    return held <= within


@njit(cache=True, error_model="numpy")
def search(
    t: Any, values: Any, starts: Any, number: int, mode: int, leak_j: float, within: float,
    keys: Any, metas: Any, count: int,
) -> Any:  # fmt: skip
    """Search one nest. `values[starts[d]:starts[d + 1]]` is the menu of loop d, ascending, its last entry the
    whole; `number` is the nest's own, written to the metas: [nest, tiles.., choices..].

    `keys`, `metas`, `count` are the archive so far; returned with the nodes looked at.
    """
    depth = t.loop_rank.shape[0]
    ranks = t.sizes.shape[0]
    tensors = t.whole_bytes.shape[0]
    width = t.engines + 1 + t.capacity.shape[0]
    trips = np.empty((depth + 1, ranks))
    reach = np.empty((depth + 1, ranks))
    again = np.empty(depth + 1, np.int64)
    ext = np.empty((ranks, MOST_EXTENTS), np.int64)
    cnt = np.empty((ranks, MOST_EXTENTS))
    kinds = np.empty(ranks, np.int64)
    pick = np.empty(ranks, np.int64)
    step = np.empty(ranks, np.int64)
    folds = np.empty(max(1, t.dim_width.shape[0]))
    options = t.first[tensors]
    parts = np.empty((options, width))
    legal = np.empty(options, np.int64)
    base = np.empty(width)
    bound = np.empty(width)
    sums = np.empty((tensors + 1, width))
    mins = np.empty((tensors + 1, width))
    open_rank = np.zeros(ranks, np.int64)
    key = np.empty(keys.shape[1])
    meta = np.empty(metas.shape[1], np.int64)
    meta[:] = 0
    meta[0] = number
    tile = t.sizes[t.loop_rank].copy()
    parent = np.full(depth, -1)
    for d in range(depth):
        for e in range(d):
            if t.loop_rank[e] == t.loop_rank[d]:
                parent[d] = e
    at = np.zeros(max(1, depth), np.int64)
    chosen = np.zeros(tensors, np.int64)
    nodes = 0
    d = -1  # the loop chosen last
    down = True
    while True:
        if down:
            # tiles up to d are set; the others are whole
            nodes += 1
            final = d == depth - 1
            open_rank[:] = 0
            for e in range(d + 1, depth):
                open_rank[t.loop_rank[e]] = 1
            walk(t, tile, trips, reach, again, ext, cnt, kinds)
            base[:] = 0.0
            leaf(t, ext, cnt, kinds, pick, step, folds, base)
            if not final:
                base[t.engines] -= _registers(t, ext, cnt, kinds)
            bound[:] = base
            possible = True
            for x in range(tensors):
                stream = streamed(t, x, trips[depth], folds)
                some = False
                mins[x] = 0.0
                for o in range(t.first[x], t.first[x + 1]):
                    parts[o] = 0.0
                    good = choice(t, x, o, trips, reach, again, stream, parts[o])
                    legal[o] = good
                    if not good:
                        continue
                    if not final:
                        _forgive(t, x, o, d + 1, open_rank, reach, again, parts[o])
                    if not some:
                        mins[x] = parts[o]
                        some = True
                    else:
                        for v in range(width):
                            mins[x, v] = min(mins[x, v], parts[o, v])
                if not some:
                    possible = False
                    break
                bound += mins[x]
            if possible:
                possible = _fits(bound, t, within)
            if possible:
                key_of(bound, t.engines, mode, leak_j, key)
                possible = not beaten(keys, count, key, mode)
            if possible and final:
                for e in range(depth):
                    meta[1 + e] = tile[e]
                keys, metas, count = _combine(
                    t,
                    base,
                    parts,
                    legal,
                    sums,
                    mins,
                    bound,
                    chosen,
                    mode,
                    leak_j,
                    within,
                    key,
                    meta,
                    keys,
                    metas,
                    count,
                )
            if possible and not final:
                d += 1
                at[d] = starts[d + 1] - starts[d]  # the whole first, then smaller ones
            down = False
            if d < 0:
                return keys, metas, count, nodes
        # next tile of loop d
        whole = t.sizes[t.loop_rank[d]] if parent[d] < 0 else tile[parent[d]]
        size = starts[d + 1] - starts[d]
        at[d] -= 1
        while at[d] >= 0 and at[d] < size - 1 and values[starts[d] + at[d]] >= whole:
            at[d] -= 1
        if at[d] < 0:
            for e in range(d, depth):
                tile[e] = t.sizes[t.loop_rank[e]]
            d -= 1
            if d < 0:
                return keys, metas, count, nodes
            continue
        tile[d] = min(values[starts[d] + at[d]], whole)
        for e in range(d + 1, depth):
            tile[e] = t.sizes[t.loop_rank[e]] if parent[e] < 0 else tile[parent[e]]
        down = True


@njit(cache=True, error_model="numpy")
def _registers(t: Any, ext: Any, cnt: Any, kinds: Any) -> float:
    """Joules of the registers at these extents, which a bound must not count."""
    points = 1.0
    single = 1.0
    gathers = False
    for r in range(t.sizes.shape[0]):
        points *= t.sizes[r]
        if t.reduced[r] and t.dim_of[r] < 0:
            gathers = True
            ones = 0.0
            for c in range(kinds[r]):
                if ext[r, c] == 1:
                    ones += cnt[r, c]
            single *= ones
        else:
            single *= t.sizes[r]
    return (points - single) * t.register_j if gathers else 0.0


@njit(cache=True, error_model="numpy")
def _forgive(t: Any, x: int, o: int, depth: int, open_rank: Any, reach: Any, again: Any, row: Any) -> None:
    """Homes below `depth` hold at least one point of each rank that an open loop walks: count only that."""
    for h in range(3):
        memory = t.memory[o, h]
        if memory < 0:
            return
        d = t.depth[o, h]
        if d > depth and t.holds[o, h]:
            held = t.value_bytes[x]
            least = t.value_bytes[x]
            for r in range(t.sizes.shape[0]):
                if t.moved[x, r]:
                    held *= reach[d, r]
                    if not open_rank[r]:
                        least *= reach[d, r]
            row[t.engines + 1 + memory] -= (held - least) * (2 if again[d] else 1)


@njit(cache=True, error_model="numpy")
def _thin(t: Any, parts: Any, legal: Any) -> None:
    """Strike out a tensor's choices that another of its choices is never worse than."""
    width = parts.shape[1]
    for x in range(t.whole_bytes.shape[0]):
        for o in range(t.first[x], t.first[x + 1]):
            for p in range(t.first[x], t.first[x + 1]):
                if p == o or not legal[p] or not legal[o]:
                    continue
                worse = True
                same = True
                for v in range(width):
                    if parts[p, v] > parts[o, v]:
                        worse = False
                        break
                    if parts[p, v] < parts[o, v]:
                        same = False
                if worse and (not same or p < o):
                    legal[o] = 0


@njit(cache=True, error_model="numpy")
def _combine(
    t: Any, base: Any, parts: Any, legal: Any, sums: Any, mins: Any, bound: Any, chosen: Any, mode: int,
    leak_j: float, within: float, key: Any, meta: Any, keys: Any, metas: Any, count: int,
) -> Any:  # fmt: skip
    """Every combination of the tensors' homes at one vector of tile sizes that no bound rules out."""
    tensors = t.whole_bytes.shape[0]
    depth = t.loop_rank.shape[0]
    _thin(t, parts, legal)
    sums[0] = base
    for later in range(tensors - 2, -1, -1):
        mins[later] += mins[later + 1]  # of this tensor and all after it
    x = 0
    chosen[0] = -1
    while x >= 0:
        chosen[x] += 1
        o = t.first[x] + chosen[x]
        if o >= t.first[x + 1]:
            x -= 1
            continue
        if not legal[o]:
            continue
        sums[x + 1] = sums[x] + parts[o]
        if x < tensors - 1:
            for v in range(bound.shape[0]):
                bound[v] = sums[x + 1, v] + mins[x + 1, v]
            if not _fits(bound, t, within):
                continue
            key_of(bound, t.engines, mode, leak_j, key)
            if not beaten(keys, count, key, mode):
                x += 1
                chosen[x] = -1
            continue
        if not _fits(sums[tensors], t, within):
            continue
        key_of(sums[tensors], t.engines, mode, leak_j, key)
        if beaten(keys, count, key, mode):
            continue
        for y in range(tensors):
            meta[1 + depth + y] = chosen[y]
        keys, metas, count = insert(keys, metas, count, key, meta, mode)
    return keys, metas, count


@njit(cache=True, error_model="numpy")
def join(
    one: Any, two: Any, engines: int, capacity: Any, mode: int, leak_j: float, within: float,
    tag: int, keys: Any, metas: Any, count: int,
) -> Any:  # fmt: skip
    """Every sum of a row of `one` and one of `two` that fits, into the archive; metas are [row, row, tag]."""
    width = one.shape[1]
    row = np.empty(width)
    key = np.empty(keys.shape[1])
    meta = np.empty(3, np.int64)
    meta[2] = tag
    for a in range(one.shape[0]):
        for b in range(two.shape[0]):
            held = 0.0
            fits = True
            for v in range(width):
                row[v] = one[a, v] + two[b, v]
                if v > engines:
                    held += row[v]
                    if row[v] > capacity[v - engines - 1]:
                        fits = False
            if not fits or held > within:
                continue
            key_of(row, engines, mode, leak_j, key)
            if beaten(keys, count, key, mode):
                continue
            meta[0] = a
            meta[1] = b
            keys, metas, count = insert(keys, metas, count, key, meta, mode)
    return keys, metas, count
