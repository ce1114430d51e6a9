"""The compiled search over tile sizes and homes of one nest: branch and bound, loop by loop.

After each loop's tile is chosen, the loops still open are taken as whole: trips, folds and streamed bytes can
only grow as they are split, so what the model gives is a lower bound (registers and homes further in count
nothing). A branch is left when the bound can't improve on what was found: that keeps an optimum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from einsim.dataflow.mapper.archive import dominated, fits, insert, key_of
from einsim.dataflow.mapper.model import choice, held_bytes, leaf, streamed, wanted, whole_bytes
from einsim.dataflow.mapper.objective import LATENCY, PARTS
from einsim.dataflow.mapper.sums import DIM_SUMS, MOST_EXTENTS, SUMS, bytes_of, split, start
from einsim.dataflow.mapper.tables import (
    BUFFERS,
    COPIES,
    CORE_RANK,
    CORES,
    DEPTH,
    ENGINES,
    HOLDS,
    MEMORY,
)
from einsim.specs.compiled import njit


@njit(error_model="numpy", nogil=True)
def search(
    t: Any, values: Any, starts: Any, twin: Any, number: int, mode: int, leak_j: float, within: float,
    counts: Any, keys: Any, metas: Any, count: int, most: int,
) -> Any:  # fmt: skip
    """Search one nest. `values[starts[d]:starts[d + 1]]` is the menu of loop d, ascending, its last entry the
    whole; `twin[d]` is the first loop of those that, all whole, stand in another nest's order too, or -1 (see
    `MapSpace.twins`); `number` is the nest's own, written to the metas: [nest, tiles.., choices..].

    `keys`, `metas`, `count` are the archive so far; returned with the nodes looked at, and whether all of the
    nest was covered in at most `most` of them.
    """
    depth, ranks, tensors = t.loop_rank.shape[0], t.sizes.shape[0], t.moved.shape[0]
    engines = int(t.one[ENGINES])
    width = engines + 1 + t.mem.shape[0]
    trips = np.empty((depth + 1, ranks))
    reach = np.empty((depth + 1, ranks))
    again = np.empty(depth + 1, np.int64)
    ext = np.empty((ranks, MOST_EXTENTS))
    cnt = np.empty((ranks, MOST_EXTENTS))
    kinds = np.empty(ranks, np.int64)
    step = np.empty(ranks, np.int64)
    each = np.empty((ranks, SUMS))
    dims = np.empty((max(1, t.dim.shape[0]), DIM_SUMS))
    options = t.first[tensors]
    parts = np.empty((options, width))
    legal = np.empty(options, np.int64)
    bound = np.empty(width)
    sums = np.empty((tensors + 1, width))
    mins = np.empty((tensors + 1, width))
    rest = np.zeros((tensors + 1, width))  # the least of each tensor and all after it, whatever the tiles
    open_rank = np.zeros(ranks, np.int64)
    key = np.empty(keys.shape[1])
    meta = np.zeros(metas.shape[1], np.int64)
    meta[0] = number
    tile = np.empty(depth, np.int64)
    parent = np.full(depth, -1)
    for d in range(depth):
        tile[d] = int(t.sizes[t.loop_rank[d]])
        for e in range(d):
            if t.loop_rank[e] == t.loop_rank[d]:
                parent[d] = e
    at = np.zeros(max(1, depth), np.int64)
    chosen = np.zeros(tensors, np.int64)
    nodes = 0
    d = -1  # the loop chosen last
    while True:
        # tiles up to d are set; the others are whole
        nodes += 1
        possible = _relax(
            t, tile, d, trips, reach, again, ext, cnt, kinds, step, each, dims, open_rank, parts, legal, mins,
            bound, sums, rest, mode, leak_j, counts, key, keys, count,
        )  # fmt: skip
        if nodes == 1:
            for x in range(tensors - 1, -1, -1):
                for v in range(width):
                    rest[x, v] = rest[x + 1, v] + mins[x, v]
        if possible and fits(bound, t.mem, engines, within):
            key_of(bound, engines, mode, leak_j, counts, key)
            if not dominated(keys, count, key, mode):
                if d < depth - 1:
                    d += 1
                    at[d] = starts[d + 1] - starts[d]  # the whole first, then smaller ones
                else:
                    for e in range(depth):
                        meta[1 + e] = tile[e]
                    _drop_dominated(t.first, parts, legal)
                    for later in range(tensors - 2, -1, -1):
                        for v in range(width):
                            mins[later, v] += mins[later + 1, v]  # of this tensor and all after it
                    x = 0
                    chosen[0] = -1
                    while True:
                        x = _combine(
                            t.first, t.mem, x, parts, legal, sums, mins, bound, chosen, engines, mode, leak_j,
                            within, counts, key, keys, count,
                        )  # fmt: skip
                        if x < 0:
                            break
                        for y in range(tensors):
                            meta[1 + depth + y] = chosen[y]
                        keys, metas, count = insert(keys, metas, count, key, meta, mode)
        if nodes >= most:
            return keys, metas, count, nodes, False
        d = _next(t.sizes, t.loop_rank, values, starts, twin, parent, tile, at, d)
        if d < 0:
            return keys, metas, count, nodes, True


@njit(error_model="numpy", nogil=True)
def root(t: Any, tile: Any, shared: int) -> Any:
    """A row that no point of a nest is below, with the first `shared` loops at their tiles and the rest open;
    its ticks are endless where there is no point. The same for every order of the rest.
    """
    depth, ranks, tensors = t.loop_rank.shape[0], t.sizes.shape[0], t.moved.shape[0]
    width = int(t.one[ENGINES]) + 1 + t.mem.shape[0]
    options = t.first[tensors]
    bound = np.empty(width)
    possible = _relax(
        t, tile, shared - 1, np.empty((depth + 1, ranks)), np.empty((depth + 1, ranks)),
        np.empty(depth + 1, np.int64), np.empty((ranks, MOST_EXTENTS)), np.empty((ranks, MOST_EXTENTS)),
        np.empty(ranks, np.int64), np.empty(ranks, np.int64), np.empty((ranks, SUMS)),
        np.empty((max(1, t.dim.shape[0]), DIM_SUMS)), np.zeros(ranks, np.int64), np.empty((options, width)),
        np.empty(options, np.int64), np.empty((tensors + 1, width)), bound, np.empty((tensors + 1, width)),
        np.zeros((tensors + 1, width)), PARTS, 0.0, bound, bound, np.empty((1, width)), 0,
    )  # fmt: skip
    if not possible:
        bound[:] = np.inf
    return bound


@njit(error_model="numpy", nogil=True, allocates=False)
def _next(
    sizes: Any, loop_rank: Any, values: Any, starts: Any, twin: Any, parent: Any, tile: Any, at: Any, d: int
) -> int:
    """Take the next tile of loop d, or of the innermost loop above that has one: that loop; -1 at the end."""
    depth = loop_rank.shape[0]
    while d >= 0:
        whole = int(sizes[loop_rank[d]]) if parent[d] < 0 else tile[parent[d]]
        size = starts[d + 1] - starts[d]
        at[d] -= 1
        while at[d] >= 0 and at[d] < size - 1 and values[starts[d] + at[d]] >= whole:
            at[d] -= 1
        if at[d] >= 0:
            tile[d] = min(values[starts[d] + at[d]], whole)
            if twin[d] >= 0:
                same = True
                for e in range(twin[d], d + 1):
                    same &= tile[e] == (int(sizes[loop_rank[e]]) if parent[e] < 0 else tile[parent[e]])
                if same:
                    continue
            for e in range(d + 1, depth):
                tile[e] = int(sizes[loop_rank[e]]) if parent[e] < 0 else tile[parent[e]]
            return d
        d -= 1
    return -1


@njit(error_model="numpy", nogil=True, allocates=False)
def _relax(
    t: Any, tile: Any, d: int, trips: Any, reach: Any, again: Any, ext: Any, cnt: Any, kinds: Any, step: Any,
    each: Any, dims: Any, open_rank: Any, parts: Any, legal: Any, mins: Any, bound: Any, sums: Any,
    rest: Any, mode: int, leak_j: float, counts: Any, key: Any, keys: Any, count: int,
) -> bool:  # fmt: skip
    """The rows of the unit (sums[0]) and of every choice of homes (parts) with loops up to d chosen, the
    least of each tensor's (mins), and the sum of all least ones (bound). False where a tensor has no choice,
    or where some of them and the `rest`, at least, are beaten already.
    """
    loop_rank, sizes, place, pattern, fmt, moved, lacks, first, home, dim, mem, one = t
    depth, ranks, tensors = loop_rank.shape[0], sizes.shape[0], moved.shape[0]
    engines, core_rank = int(one[ENGINES]), int(one[CORE_RANK])
    width = bound.shape[0]
    final = d == depth - 1
    for r in range(ranks):
        open_rank[r] = 0
    start(sizes, trips, reach, again, ext, cnt, kinds)
    for e in range(depth):
        if e > d:
            open_rank[loop_rank[e]] = 1
        split(loop_rank[e], e, float(tile[e]), trips, reach, again, ext, cnt, kinds)
    base = sums[0]
    for v in range(width):
        base[v] = 0.0
    registers = leaf(place, pattern, dim, one, ext, cnt, kinds, step, each, dims, base)
    if not final:
        base[engines] -= registers
    for v in range(width):
        bound[v] = base[v]
    spread = core_rank >= 0 and open_rank[core_rank] == 1
    for x in range(tensors):
        if mode >= LATENCY and count:
            row = sums[tensors]
            for v in range(width):
                row[v] = bound[v] + rest[x, v]
            key_of(row, engines, mode, leak_j, counts, key)
            if dominated(keys, count, key, mode):
                return False
        size = whole_bytes(sizes, fmt, moved, x, ext, cnt, kinds, step)
        want = 1.0 if spread else wanted(moved, one, x, reach, depth)
        together = streamed(place, dim, moved, lacks, core_rank, x, each, dims, False)
        alone = together
        if core_rank >= 0 and not spread and not moved[x, core_rank]:
            alone = streamed(place, dim, moved, lacks, core_rank, x, each, dims, True)
        some = False
        for o in range(first[x], first[x + 1]):
            part = parts[o]
            for v in range(width):
                part[v] = 0.0
            good = choice(
                home,
                mem,
                fmt,
                moved,
                place,
                one,
                x,
                o,
                trips,
                reach,
                again,
                size,
                want,
                together,
                alone,
                part,
            )
            legal[o] = good
            if not good:
                continue
            if not final:
                _relax_held(home, mem, fmt, moved, one, x, o, d + 1, open_rank, reach, again, part)
            for v in range(width):
                mins[x, v] = min(mins[x, v], part[v]) if some else part[v]
            some = True
        if not some:
            return False
        for v in range(width):
            bound[v] += mins[x, v]
    return True


@njit(error_model="numpy", nogil=True, allocates=False)
def _relax_held(
    home: Any, mem: Any, fmt: Any, moved: Any, one: Any, x: int, o: int, depth: int, open_rank: Any,
    reach: Any, again: Any, row: Any,
) -> None:  # fmt: skip
    """Homes below `depth` hold at least one point of each rank that an open loop walks: count only that."""
    engines = int(one[ENGINES])
    for h in range(home.shape[1]):
        memory = home[o, h, MEMORY]
        if memory < 0:
            return
        d = home[o, h, DEPTH]
        if d > depth and home[o, h, HOLDS]:
            copies = mem[memory, COPIES]
            points = 1.0
            for r in range(moved.shape[1]):
                if moved[x, r] and not open_rank[r]:
                    here = reach[d, r]
                    if copies > 1.0 and r == int(one[CORE_RANK]):
                        here = np.ceil(here / one[CORES])
                    points *= here
            least = bytes_of(fmt, x, points) * copies * (one[BUFFERS] if again[d] else 1.0)
            held = held_bytes(fmt, moved, one, copies, x, d, reach, again)
            row[engines + 1 + memory] -= held - least


@njit(error_model="numpy", nogil=True, allocates=False)
def _drop_dominated(first: Any, parts: Any, legal: Any) -> None:
    """Strike out a tensor's choices that another of its choices is never worse than."""
    width = parts.shape[1]
    for x in range(first.shape[0] - 1):
        for o in range(first[x], first[x + 1]):
            for p in range(first[x], first[x + 1]):
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


@njit(error_model="numpy", nogil=True, allocates=False)
def _combine(
    first: Any, mem: Any, x: int, parts: Any, legal: Any, sums: Any, mins: Any, bound: Any, chosen: Any,
    engines: int, mode: int, leak_j: float, within: float, counts: Any, key: Any, keys: Any, count: int,
) -> int:  # fmt: skip
    """Go on through the combinations of the tensors' homes at one vector of tile sizes, to the next one that
    nothing found beats: its key is then in `key`, and the last tensor is returned; -1 after the last one.
    """
    tensors = first.shape[0] - 1
    width = bound.shape[0]
    while x >= 0:
        chosen[x] += 1
        o = first[x] + chosen[x]
        if o >= first[x + 1]:
            x -= 1
            continue
        if not legal[o]:
            continue
        for v in range(width):
            sums[x + 1, v] = sums[x, v] + parts[o, v]
        if x < tensors - 1:
            for v in range(width):
                bound[v] = sums[x + 1, v] + mins[x + 1, v]
            if not fits(bound, mem, engines, within):
                continue
            key_of(bound, engines, mode, leak_j, counts, key)
            if not dominated(keys, count, key, mode):
                x += 1
                chosen[x] = -1
            continue
        last = sums[tensors]
        if not fits(last, mem, engines, within):
            continue
        key_of(last, engines, mode, leak_j, counts, key)
        if not dominated(keys, count, key, mode):
            return x
    return -1
