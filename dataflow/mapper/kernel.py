"""The compiled search over tile sizes and homes of one nest: branch and bound, loop by loop.

After each loop's tile is chosen, the loops still open are taken as whole: trips, folds and streamed bytes can
only grow as they are split, so what the model gives is a lower bound (registers and homes further in count
nothing). A branch is left when the bound can't improve on what was found: that keeps an optimum.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from einsim.dataflow.mapper.archive import dominated, fits, insert, key_of
from einsim.dataflow.mapper.cut import split, start, uncut
from einsim.dataflow.mapper.model import choice, leaf
from einsim.dataflow.mapper.objective import LATENCY
from einsim.dataflow.mapper.tables import ENGINES
from einsim.specs.compiled import njit


class Sums(NamedTuple):
    """Rows of X tensors, O choices of homes in all, while tiles and homes are chosen. W is a row's width."""

    parts: Any  # float [O, W]: each choice's row
    legal: Any  # int [O]: whether it may be chosen
    least: Any  # float [X + 1, W]: the least of each tensor's; at whole tiles, of this one and all after it
    rest: Any  # float [X + 1, W]: the least of this tensor and all after it, whatever the tiles
    total: Any  # float [X + 1, W]: the unit's row, then with the homes chosen so far
    bound: Any  # float [W]: what no completion is below


@njit(error_model="numpy", nogil=True, inner=True)
def empty_sums(options: int, tensors: int, width: int) -> Any:
    """Room for the sums of a nest."""
    return Sums(
        np.empty((options, width)), np.empty(options, np.int64), np.empty((tensors + 1, width)),
        np.zeros((tensors + 1, width)), np.empty((tensors + 1, width)), np.empty(width),
    )  # fmt: skip


@njit(error_model="numpy", nogil=True)
def search(
    t: Any, views: Any, values: Any, starts: Any, twin: Any, number: int, goal: Any, keys: Any, metas: Any,
    count: int, most: int,
) -> Any:  # fmt: skip
    """Search one nest. `values[starts[d]:starts[d + 1]]` is the menu of loop d, ascending, its last entry the
    whole; `twin[d]` is the first loop of those that, all whole, stand in another nest's order too, or -1 (see
    `vectors.twins`); `number` is the nest's own, written to the metas: [nest, tiles.., choices..].

    `keys`, `metas`, `count` are the archive so far; returned with the nodes looked at, and whether all of the
    nest was covered in at most `most` of them.
    """
    depth, tensors, engines = t.loop_rank.shape[0], t.moved.shape[0], int(t.one[ENGINES])
    cut = uncut(t, views)
    width = engines + 1 + t.mem.shape[0]
    sums = empty_sums(t.first[tensors], tensors, width)
    key = np.empty(keys.shape[1])
    meta = np.zeros(metas.shape[1], np.int64)
    meta[0] = number
    tile = np.empty(depth, np.int64)
    parent = np.full(depth, -1)
    for own in range(depth):
        tile[own] = int(t.sizes[t.loop_rank[own]])
        for above in range(own):
            if t.loop_rank[above] == t.loop_rank[own]:
                parent[own] = above
    at = np.zeros(max(1, depth), np.int64)
    chosen = np.zeros(tensors, np.int64)
    nodes = 0
    d: Any = np.int64(-1)  # the loop chosen last; typed, or numba compiles what takes it for a literal too
    while True:
        # tiles up to d are set; the others are whole
        nodes += 1
        possible = _relax(t, cut, sums, tile, d, goal, key, keys, count)
        if nodes == 1:
            for last in range(tensors - 1, -1, -1):
                for v in range(width):
                    sums.rest[last, v] = sums.rest[last + 1, v] + sums.least[last, v]
        if possible and fits(sums.bound, t.mem, engines, goal.within):
            key_of(sums.bound, engines, goal, key)
            if not dominated(keys, count, key, goal.mode):
                if d < depth - 1:
                    d += 1
                    at[d] = starts[d + 1] - starts[d]  # the whole first, then smaller ones
                else:
                    for own in range(depth):
                        meta[1 + own] = tile[own]
                    if goal.mode >= LATENCY and count:
                        _drop_hopeless(t, sums, goal, key, keys, count)
                    _drop_dominated(t.first, sums.parts, sums.legal)
                    for later in range(tensors - 2, -1, -1):
                        for v in range(width):
                            sums.least[later, v] += sums.least[later + 1, v]
                    x: Any = np.int64(0)
                    chosen[0] = -1
                    while True:
                        x = _combine(t, sums, x, chosen, goal, key, keys, count)
                        if x < 0:
                            break
                        for own in range(tensors):
                            meta[1 + depth + own] = chosen[own]
                        keys, metas, count = insert(keys, metas, count, key, meta, goal.mode)
        if nodes >= most:
            return keys, metas, count, nodes, False
        d = _next(t.sizes, t.loop_rank, values, starts, twin, parent, tile, at, d)
        if d < 0:
            return keys, metas, count, nodes, True


@njit(error_model="numpy", nogil=True)
def roots(t: Any, views: Any, tiles: Any, shared: int, units: Any, parts: Any) -> None:
    """Rows of the unit, into `units` [n, width], and of each choice of homes, into `parts` [n, O, width],
    that no point of a nest is below whose first `shared` loops have these `tiles` [n, depth] and the rest are
    open. The same for every order of the rest. Both start with zeros.
    """
    cut = uncut(t, views)
    for n in range(tiles.shape[0]):
        _cut_down(t, cut, tiles[n], shared - 1)
        leaf(t, cut, units[n], shared == t.loop_rank.shape[0])
        for x in range(t.moved.shape[0]):
            for o in range(t.first[x], t.first[x + 1]):
                choice(t, cut, x, o, shared, parts[n, o])


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def _cut_down(t: Any, cut: Any, tile: Any, d: int) -> None:
    """Go into all loops, of which those up to d are chosen."""
    start(t.sizes, cut)
    for e in range(t.loop_rank.shape[0]):
        if e > d:
            cut.open[t.loop_rank[e]] = 1
        split(cut, t.loop_rank[e], e, float(tile[e]))


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
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


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def _relax(
    t: Any, cut: Any, sums: Any, tile: Any, d: int, goal: Any, key: Any, keys: Any, count: int
) -> bool:
    """The rows of the unit and of every choice of homes with loops up to d chosen, each tensor's least,
    and the sum of those, the bound. False where a tensor has no choice, or where some of them and
    the `rest`, at least, are dominated.
    """
    depth, engines, width = t.loop_rank.shape[0], int(t.one[ENGINES]), sums.bound.shape[0]
    final = d == depth - 1
    _cut_down(t, cut, tile, d)
    unit, bound, least = sums.total[0], sums.bound, sums.least
    for v in range(width):
        unit[v] = 0.0
    leaf(t, cut, unit, final)
    for v in range(width):
        bound[v] = unit[v]
    for x in range(t.moved.shape[0]):
        if goal.mode >= LATENCY and count:
            row = sums.total[t.moved.shape[0]]
            for v in range(width):
                row[v] = bound[v] + sums.rest[x, v]
            key_of(row, engines, goal, key)
            if dominated(keys, count, key, goal.mode):
                return False
        if t.first[x] == t.first[x + 1]:
            return False
        for o in range(t.first[x], t.first[x + 1]):
            part = sums.parts[o]
            for v in range(width):
                part[v] = 0.0
            choice(t, cut, x, o, d + 1, part)
            sums.legal[o] = 1
            for v in range(width):
                least[x, v] = min(least[x, v], part[v]) if o > t.first[x] else part[v]
        for v in range(width):
            bound[v] += least[x, v]
    return True


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def _drop_hopeless(t: Any, sums: Any, goal: Any, key: Any, keys: Any, count: int) -> None:
    """Strike out a tensor's choices that beat nothing found, whatever the others take at least."""
    engines, row = int(t.one[ENGINES]), sums.total[t.moved.shape[0]]
    for x in range(t.moved.shape[0]):
        for o in range(t.first[x], t.first[x + 1]):
            for v in range(row.shape[0]):
                row[v] = (sums.bound[v] - sums.least[x, v] + sums.parts[o, v]) * (1.0 - 1e-12)
            key_of(row, engines, goal, key)
            if dominated(keys, count, key, goal.mode) or not fits(row, t.mem, engines, goal.within):
                sums.legal[o] = 0


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
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


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def _combine(t: Any, sums: Any, x: int, chosen: Any, goal: Any, key: Any, keys: Any, count: int) -> int:
    """Go on through the combinations of the tensors' homes at one vector of tile sizes, to the next one that
    nothing found dominates: its key is then in `key`, and the last tensor is returned; -1 after the last one.
    """
    first, total, bound = t.first, sums.total, sums.bound
    tensors, width, engines = first.shape[0] - 1, bound.shape[0], int(t.one[ENGINES])
    while x >= 0:
        chosen[x] += 1
        o = first[x] + chosen[x]
        if o >= first[x + 1]:
            x -= 1
            continue
        if not sums.legal[o]:
            continue
        for v in range(width):
            total[x + 1, v] = total[x, v] + sums.parts[o, v]
        whole = x == tensors - 1
        row = total[tensors] if whole else bound
        if not whole:
            for v in range(width):
                bound[v] = total[x + 1, v] + sums.least[x + 1, v]
        if not fits(row, t.mem, engines, goal.within):
            continue
        key_of(row, engines, goal, key)
        if dominated(keys, count, key, goal.mode):
            continue
        if whole:
            return x
        x += 1
        chosen[x] = -1
    return -1
