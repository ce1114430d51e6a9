"""The compiled model of one nest: what tile sizes cost, exactly as `einsim.dataflow.analytical` counts it.

For an Einsum with plain indices every count is a product over ranks of sums over the rank's tiles:

- A tensor moves into a home once for each tile of the ranks that do not move it, from the loops above the
  home; whatever moves it, it moves once, tile by tile: the bytes of all its tiles x product of trips.
- A home holds its tile under the loops above, once more for each further buffer where one of them repeats.
- A unit folds each dimension's ranks over its width; the rest it walks in time.
- Partial sums are written at every fold and tile of a split reduction and read again at all but the first.

A row of counts is [ticks of each engine, joules, bytes held in each memory], all of the whole Einsum.
Counts are whole numbers in floats: exact below 2^53, and faster to divide.
"""

# mypy: warn-return-any=False
# Kernels take arrays as Any: numba infers what a signature here could only repeat.

from __future__ import annotations

from typing import Any

import numpy as np

from einsim.dataflow.mapper.sums import (
    ALONE,
    FOLDS,
    ONES,
    STREAMS,
    TRIPS,
    WANT,
    WORK,
    bytes_of,
    split,
    start,
    steps,
    sum_dims,
    sum_ranks,
    uncut,
    whole_bytes,
)
from einsim.dataflow.mapper.tables import (
    APART,
    BUFFERS,
    CAPACITY,
    COPIES,
    CORE_RANK,
    CORES,
    DEPTH,
    DIM,
    ENGINE,
    ENGINES,
    HOLDS,
    MEMORY,
    MOVES,
    PARTIAL,
    POINT_J,
    POINT_TICKS,
    READ_ENGINE,
    READ_J,
    READ_TICKS,
    REDUCED,
    REGISTER_J,
    WRITE_ENGINE,
    Tables,
)
from einsim.specs.arrays import Floats, Ints
from einsim.specs.compiled import njit


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def leaf(t: Any, cut: Any, row: Any) -> float:
    """Add the unit's time and energy to `row`; fills the sums. Returns the joules of the registers in it."""
    place, one, sums = t.place, t.one, cut.rank_sums
    sum_ranks(t, cut)
    sum_dims(t, cut)
    cycles = steps(t, cut)
    for s in range(t.dim.shape[0]):
        cycles *= cut.dim_sums[s, FOLDS]
    row[int(one[ENGINE])] += cycles * one[POINT_TICKS]
    points = 1.0
    single = 1.0
    gathers = False
    for r in range(place.shape[0]):
        points *= sums[r, WORK]
        if place[r, REDUCED] and place[r, DIM] < 0:
            gathers = True
            single *= sums[r, ONES]
        else:
            single *= sums[r, WORK]
    registers = (points - single) * one[REGISTER_J] if gathers else 0.0
    row[int(one[ENGINES])] += points * one[POINT_J] + registers
    return registers


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def streamed(t: Any, cut: Any, x: int, alone: bool) -> float:
    """Times that the unit streams a tensor, on average over its tiles: an input once for each fold it isn't
    in, a result once for each fold over a dimension whose partial sums leave the array. `alone`: each core.
    """
    place, dim, moved, lacks, core_rank = t.place, t.dim, t.moved, t.lacks, int(t.one[CORE_RANK])
    output = x == moved.shape[0] - 1
    times = 1.0
    for s in range(dim.shape[0]):
        if output:
            if dim[s, PARTIAL] > 0.0:
                times *= cut.dim_sums[s, FOLDS]
        elif lacks[x, s]:
            times *= cut.dim_sums[s, ALONE if alone and core_rank >= 0 else STREAMS]
    for r in range(place.shape[0]):
        if moved[x, r]:
            continue
        s = place[r, DIM]
        if s >= 0 and (dim[s, PARTIAL] > 0.0 if output else lacks[x, s] == 1):
            continue
        times *= cut.rank_sums[r, WANT if alone and r == core_rank else TRIPS]
    return times


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def held_bytes(t: Any, cut: Any, copies: float, x: int, d: int, relaxed: bool) -> float:
    """Bytes of a home of a tensor at a depth; those of the core with most, times the cores, where it has one
    in each. `relaxed`: of ranks that are open, a single point.
    """
    moved, one = t.moved, t.one
    points = 1.0
    for r in range(moved.shape[1]):
        if moved[x, r] and not (relaxed and cut.open[r]):
            here = cut.reach[d, r]
            if copies > 1.0 and r == int(one[CORE_RANK]):
                here = np.ceil(here / one[CORES])
            points *= here
    return bytes_of(t.fmt, x, points) * copies * (one[BUFFERS] if cut.again[d] else 1.0)


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def uses_of(t: Any, cut: Any, x: int) -> Any:
    """Of a tensor: the bytes of all its tiles; the cores that take the same bytes into memories of their own;
    how often the unit streams it, all cores together and each by itself. While the rank along the cores is
    open, that may be a single core.
    """
    core_rank = int(t.one[CORE_RANK])
    want = 1.0
    together = streamed(t, cut, x, False)
    alone = together
    if core_rank >= 0 and not cut.open[core_rank] and not t.moved[x, core_rank]:
        want = min(t.one[CORES], cut.reach[t.loop_rank.shape[0], core_rank])
        alone = streamed(t, cut, x, True)
    return whole_bytes(t, cut, x), want, together, alone


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def choice(t: Any, cut: Any, x: int, o: int, uses: Any, chosen: int, row: Any) -> bool:
    """Add what one tensor's homes cost to `row`, given `uses_of` it; False where partial results would leave
    it. Homes below the first `chosen` loops hold at least one point of each rank that is open: only that
    counts.
    """
    home, mem, moved = t.home, t.mem, t.moved
    size, want, together, alone = uses
    ranks = moved.shape[1]
    engines = int(t.one[ENGINES])
    output = x == moved.shape[0] - 1
    out = 1 if output else 0
    source = 0
    last = 0
    for h in range(home.shape[1]):
        memory = home[o, h, MEMORY]
        if memory < 0:
            break
        d = home[o, h, DEPTH]
        copies = mem[memory, COPIES]
        if home[o, h, MOVES]:
            bytes_moved = size
            for r in range(ranks):
                if not moved[x, r]:
                    bytes_moved *= cut.trips[d, r]
            every = want if copies > 1.0 else 1.0
            _move(mem, engines, row, out, source, bytes_moved * (every if mem[source, APART] else 1.0))
            _move(mem, engines, row, 1 - out, memory, bytes_moved * (every if mem[memory, APART] else 1.0))
        if home[o, h, HOLDS]:
            row[engines + 1 + memory] += held_bytes(t, cut, copies, x, d, d > chosen)
        last = d
        source = memory
    times = alone if mem[source, APART] else together
    _move(mem, engines, row, out, source, size * times)
    if output:
        _move(mem, engines, row, 0, source, size * (times - 1.0))
        for r in range(ranks):
            if t.place[r, REDUCED] and cut.trips[last, r] > 1.0:
                return False
    return True


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def _move(mem: Any, engines: int, row: Any, write: int, memory: int, size: float) -> None:
    at = WRITE_ENGINE if write else READ_ENGINE
    engine = int(mem[memory, at])
    if engine >= 0:
        row[engine] += size * mem[memory, at + READ_TICKS]
    row[engines] += size * mem[memory, at + READ_J]


@njit(error_model="numpy", nogil=True, allocates=False)
def _evaluate(t: Any, tiles: Any, chosen: Any, rows: Any, legal: Any, cut: Any) -> None:
    depth, width = t.loop_rank.shape[0], rows.shape[1]
    engines = int(t.one[ENGINES])
    for n in range(tiles.shape[0]):
        row = rows[n]
        for v in range(width):
            row[v] = 0.0
        start(t.sizes, cut)
        for d in range(depth):
            split(cut, t.loop_rank[d], d, float(tiles[n, d]))
        leaf(t, cut, row)
        good = True
        for x in range(t.moved.shape[0]):
            uses = uses_of(t, cut, x)
            good &= choice(t, cut, x, t.first[x] + chosen[n, x], uses, depth, row)
        for m in range(t.mem.shape[0]):
            good &= row[engines + 1 + m] <= t.mem[m, CAPACITY]
        legal[n] = good


@njit(error_model="numpy", nogil=True)
def evaluate(t: Any, tiles: Any, chosen: Any, rows: Any, legal: Any) -> None:
    """Cost of many mappings of one nest: `tiles` [n, D], `chosen` [n, X] (choices of homes, counted from each
    tensor's first) -> `rows` [n, engines + 1 + memories] and `legal` [n], both overwritten.
    """
    cut = uncut(t.loop_rank.shape[0], t.sizes.shape[0], t.dim.shape[0])
    _evaluate(t, tiles, chosen, rows, legal, cut)


def cost(t: Tables, tiles: Ints, chosen: Ints) -> tuple[Floats, Ints]:
    """`evaluate` with fresh arrays."""
    rows = np.empty((len(tiles), int(t.one[ENGINES]) + 1 + len(t.mem)))
    legal = np.empty(len(tiles), np.int64)
    evaluate(t, tiles, chosen, rows, legal)
    return rows, legal
