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
    DIM_SUMS,
    FOLDS,
    MOST_EXTENTS,
    ONES,
    STREAMS,
    SUMS,
    TRIPS,
    WANT,
    WORK,
    bytes_of,
    dim_sums,
    rank_sums,
    split,
    start,
    steps,
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
    LEAST_STEPS,
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
    Floats,
    Ints,
    Tables,
)
from einsim.specs.compiled import njit


@njit(error_model="numpy", nogil=True, allocates=False)
def leaf(
    place: Any, pattern: Any, dim: Any, one: Any, ext: Any, cnt: Any, kinds: Any, at: Any, sums: Any,
    dims: Any, row: Any,
) -> float:  # fmt: skip
    """Add the unit's time and energy to `row`; fills the sums. Returns the joules of the registers in it."""
    cores = one[CORES]
    rank_sums(place, pattern, cores, ext, cnt, kinds, sums)
    dim_sums(place, pattern, dim, cores, ext, cnt, kinds, at, dims)
    cycles = steps(place, pattern, cores, one[LEAST_STEPS], ext, cnt, kinds, at, sums)
    for s in range(dim.shape[0]):
        cycles *= dims[s, FOLDS]
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


@njit(error_model="numpy", nogil=True, allocates=False)
def whole_bytes(sizes: Any, fmt: Any, moved: Any, x: int, ext: Any, cnt: Any, kinds: Any, at: Any) -> float:
    """Bytes of all tiles of a tensor, each rounded up to whole ones."""
    ranks = sizes.shape[0]
    if fmt[x, 2] == 0.0 and np.floor(fmt[x, 0] / 8.0) * 8.0 == fmt[x, 0]:
        total = fmt[x, 0] / 8.0
        for r in range(ranks):
            if moved[x, r]:
                total *= sizes[r]
        return total
    for r in range(ranks):
        at[r] = 0
    total = 0.0
    while True:
        count, points = 1.0, 1.0
        for r in range(ranks):
            if moved[x, r]:
                count *= cnt[r, at[r]]
                points *= ext[r, at[r]]
        total += count * bytes_of(fmt, x, points)
        r = 0
        while r < ranks:
            if moved[x, r]:
                at[r] += 1
                if at[r] < kinds[r]:
                    break
                at[r] = 0
            r += 1
        if r == ranks:
            return total


@njit(error_model="numpy", nogil=True, allocates=False)
def streamed(
    place: Any, dim: Any, moved: Any, lacks: Any, core_rank: int, x: int, sums: Any, dims: Any, alone: bool
) -> float:
    """Times that the unit streams a tensor, on average over its tiles: an input once for each fold it isn't
    in, a result once for each fold over a dimension whose partial sums leave the array. `alone`: each core.
    """
    output = x == moved.shape[0] - 1
    times = 1.0
    for s in range(dim.shape[0]):
        if output:
            if dim[s, PARTIAL] > 0.0:
                times *= dims[s, FOLDS]
        elif lacks[x, s]:
            times *= dims[s, ALONE if alone and core_rank >= 0 else STREAMS]
    for r in range(place.shape[0]):
        if moved[x, r]:
            continue
        s = place[r, DIM]
        if s >= 0 and (dim[s, PARTIAL] > 0.0 if output else lacks[x, s] == 1):
            continue
        times *= sums[r, WANT if alone and r == core_rank else TRIPS]
    return times


@njit(error_model="numpy", nogil=True, allocates=False)
def held_bytes(
    fmt: Any, moved: Any, one: Any, copies: float, x: int, d: int, reach: Any, again: Any
) -> float:
    """Bytes of a home of a tensor at a depth; those of the core with most, times the cores, where it has one
    in each.
    """
    points = 1.0
    for r in range(moved.shape[1]):
        if moved[x, r]:
            here = reach[d, r]
            if copies > 1.0 and r == int(one[CORE_RANK]):
                here = np.ceil(here / one[CORES])
            points *= here
    return bytes_of(fmt, x, points) * copies * (one[BUFFERS] if again[d] else 1.0)


@njit(error_model="numpy", nogil=True, allocates=False)
def choice(
    home: Any, mem: Any, fmt: Any, moved: Any, place: Any, one: Any, x: int, o: int, trips: Any, reach: Any,
    again: Any, size: float, want: float, together: float, alone: float, row: Any,
) -> bool:  # fmt: skip
    """Add what one tensor's homes cost to `row`; False where partial results would leave it.

    `size` is the bytes of all tiles, `want` the cores that take the same bytes into a memory of their own;
    the unit streams the tensor `together` times, or `alone` where each core reads for itself.
    """
    ranks = moved.shape[1]
    engines = int(one[ENGINES])
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
                    bytes_moved *= trips[d, r]
            every = want if copies > 1.0 else 1.0
            _move(mem, engines, row, out, source, bytes_moved * (every if mem[source, APART] else 1.0))
            _move(mem, engines, row, 1 - out, memory, bytes_moved * (every if mem[memory, APART] else 1.0))
        if home[o, h, HOLDS]:
            row[engines + 1 + memory] += held_bytes(fmt, moved, one, copies, x, d, reach, again)
        last = d
        source = memory
    times = alone if mem[source, APART] else together
    _move(mem, engines, row, out, source, size * times)
    if output:
        _move(mem, engines, row, 0, source, size * (times - 1.0))
        for r in range(ranks):
            if place[r, REDUCED] and trips[last, r] > 1.0:
                return False
    return True


@njit(error_model="numpy", nogil=True, allocates=False)
def wanted(moved: Any, one: Any, x: int, reach: Any, d: int) -> float:
    """Cores that take the same bytes of a tensor, below the loops to depth d."""
    rank = int(one[CORE_RANK])
    if rank < 0 or moved[x, rank]:
        return 1.0
    return min(one[CORES], reach[d, rank])


@njit(error_model="numpy", nogil=True, allocates=False)
def _move(mem: Any, engines: int, row: Any, write: int, memory: int, size: float) -> None:
    at = WRITE_ENGINE if write else READ_ENGINE
    engine = int(mem[memory, at])
    if engine >= 0:
        row[engine] += size * mem[memory, at + READ_TICKS]
    row[engines] += size * mem[memory, at + READ_J]


@njit(error_model="numpy", nogil=True, allocates=False)
def _evaluate(
    t: Any, tiles: Any, chosen: Any, rows: Any, legal: Any, trips: Any, reach: Any, again: Any, ext: Any,
    cnt: Any, kinds: Any, at: Any, sums: Any, dims: Any,
) -> None:  # fmt: skip
    loop_rank, sizes, place, pattern, fmt, moved, lacks, first, home, dim, mem, one = t
    depth, tensors, width = loop_rank.shape[0], moved.shape[0], rows.shape[1]
    engines, core_rank = int(one[ENGINES]), int(one[CORE_RANK])
    for n in range(tiles.shape[0]):
        row = rows[n]
        for v in range(width):
            row[v] = 0.0
        start(sizes, trips, reach, again, ext, cnt, kinds)
        for d in range(depth):
            split(loop_rank[d], d, float(tiles[n, d]), trips, reach, again, ext, cnt, kinds)
        leaf(place, pattern, dim, one, ext, cnt, kinds, at, sums, dims, row)
        good = True
        for x in range(tensors):
            size = whole_bytes(sizes, fmt, moved, x, ext, cnt, kinds, at)
            want = wanted(moved, one, x, reach, depth)
            together = streamed(place, dim, moved, lacks, core_rank, x, sums, dims, False)
            alone = together
            if core_rank >= 0 and not moved[x, core_rank]:
                alone = streamed(place, dim, moved, lacks, core_rank, x, sums, dims, True)
            o = first[x] + chosen[n, x]
            good &= choice(
                home, mem, fmt, moved, place, one, x, o, trips, reach, again, size, want, together, alone, row
            )
        for m in range(mem.shape[0]):
            good &= row[engines + 1 + m] <= mem[m, CAPACITY]
        legal[n] = good


@njit(error_model="numpy", nogil=True)
def evaluate(t: Any, tiles: Any, chosen: Any, rows: Any, legal: Any) -> None:
    """Cost of many mappings of one nest: `tiles` [n, D], `chosen` [n, X] (choices of homes, counted from each
    tensor's first) -> `rows` [n, engines + 1 + memories] and `legal` [n], both overwritten.
    """
    depth, ranks, dims = t.loop_rank.shape[0], t.sizes.shape[0], max(1, t.dim.shape[0])
    _evaluate(
        t, tiles, chosen, rows, legal, np.empty((depth + 1, ranks)), np.empty((depth + 1, ranks)),
        np.empty(depth + 1, np.int64), np.empty((ranks, MOST_EXTENTS)), np.empty((ranks, MOST_EXTENTS)),
        np.empty(ranks, np.int64), np.empty(ranks, np.int64), np.empty((ranks, SUMS)),
        np.empty((dims, DIM_SUMS)),
    )  # fmt: skip


def cost(t: Tables, tiles: Ints, chosen: Ints) -> tuple[Floats, Ints]:
    """`evaluate` with fresh arrays."""
    rows = np.empty((len(tiles), int(t.one[ENGINES]) + 1 + len(t.mem)))
    legal = np.empty(len(tiles), np.int64)
    evaluate(t, tiles, chosen, rows, legal)
    return rows, legal
