"""The compiled model of one nest: what tile sizes cost, exactly as `einsim.dataflow.analytical` counts it.

For an Einsum with plain indices every count is a product over ranks of sums over the rank's tiles:

- A tensor moves into a home once for each tile of the ranks that do not move it, from the loops above the
  home; whatever moves it, it moves once, tile by tile: the bytes of all its tiles x product of trips.
- Results leave a home as often, all but the last time as partial sums, which come back.
- A home holds its tile under the loops above, once more for each further buffer where one of them repeats.
- A unit folds each dimension's ranks over its width; the rest it walks in time.
- In each step it reads what its lanes use (`einsim.dataflow.feed.passed`). Results that don't stay in it are
  written in each step and read again before each but the first.
- Each tile's bytes are rounded up to whole accesses: those sums run over all kinds of tiles.

A row of counts is [ticks of each engine, joules, bytes held in each memory], all of the whole Einsum.
Counts are whole numbers in floats: exact below 2^53, and faster to divide.
"""

# mypy: warn-return-any=False
# Kernels take arrays as Any: numba infers what a signature here could only repeat.

from __future__ import annotations

from typing import Any

import numpy as np

from einsim.dataflow.cores import on_a_core
from einsim.dataflow.held import buffered
from einsim.dataflow.mapper.band import SUMS, A, B, look, views_of
from einsim.dataflow.mapper.cut import COPIED, PARTIAL, READ, TILES, WRITTEN, split, start, uncut
from einsim.dataflow.mapper.sums import bytes_of, copied, elements, into_cores, sum_tiles, sum_uses
from einsim.dataflow.mapper.tables import (
    APART,
    BOUND,
    BUFFERS,
    CAPACITY,
    COPIES,
    CORE_RANK,
    CORES,
    DEPTH,
    ENGINE,
    ENGINES,
    FIBRE,
    HOLDS,
    MEMORY,
    MIRRORED,
    MOVED,
    POINT_J,
    POINT_TICKS,
    READ_ENGINE,
    READ_J,
    READ_TICKS,
    REDUCED,
    STAYS,
    WRITE_ENGINE,
    M,
    Tables,
)
from einsim.specs.arrays import Floats, Ints
from einsim.specs.compiled import njit


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def leaf(t: Any, cut: Any, row: Any, final: bool) -> None:
    """Add the unit's time and energy to `row`, and fill the sums: of the tiles if all are chosen, else the
    least that they come to.
    """
    if t.band[A] >= 0:
        look(t, cut, t.loop_rank.shape[0], t.loop_rank.shape[0], final)
    joules = sum_uses(t, cut, final)
    cut.summed[:] = -1
    row[int(t.one[ENGINE])] += cut.totals[0] * t.one[POINT_TICKS]
    row[int(t.one[ENGINES])] += cut.totals[1] * t.one[POINT_J] + joules


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def held_bytes(t: Any, cut: Any, m: int, x: int, d: int, relaxed: bool, partial: bool) -> float:
    """Bytes of a home of a tensor, or of its `partial` sums, in a memory at a depth; those of the core
    with most, times the cores, where it has one in each. `relaxed`: of ranks that are open, a single point.
    """
    one, copies, parted = t.one, t.mem[m, COPIES], False
    for r in range(t.sizes.shape[0]):
        cut.tile[r] = whole = 1.0 if relaxed and cut.open[r] else cut.reach[d, r]
        if copies > 1.0 and r == int(one[CORE_RANK]):
            cut.tile[r] = on_a_core(whole, one[CORES])
            parted = t.moved[x, r] and cut.tile[r] < whole
    points = elements(t, cut, x, 0.0)
    for r in range(t.sizes.shape[0]):  # a core has room for what each of two reads takes
        points *= cut.tile[r] if parted and t.far[x, r, 0] == MIRRORED else 1.0
    fibre = cut.tile[int(t.fmt[x, FIBRE])] if t.fmt[x, M] else 1.0
    size = bytes_of(t, x, m, 0.0 if partial else points, fibre, points if partial else 0.0)
    return buffered(size * copies, one[BUFFERS], cut.again[d] > 0)


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def _adds_up(t: Any, cut: Any, o: int, h: int) -> bool:
    """Whether partial sums come to a home of the result: a reduced rank is walked above the next home inward,
    or above the unit or in steps that don't stay in it, or lies along the cores.
    """
    inner = h + 1 < t.home.shape[1] and t.home[o, h + 1, MEMORY] >= 0
    d = t.home[o, h + 1, DEPTH] if inner else t.loop_rank.shape[0]
    for r in range(t.place.shape[0]):
        here = not inner and (t.one[STAYS] or r == int(t.one[CORE_RANK]))
        if t.place[r, REDUCED] and (cut.trips[d, r] > 1.0 or here):
            return True
    return False


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def _shared(t: Any, cut: Any, x: int, d: int) -> int:
    """2 where tiles that loops below the first d make share elements of a tensor, and come all at once; 1
    where other tiles may; 0 where none can.
    """
    found, reach, last = 0, cut.reach, t.loop_rank.shape[0]
    for r in range(t.sizes.shape[0]):
        far = t.far[x, r, 0]
        if far < 0:
            continue
        found = max(found, 1)
        if reach[d, r] > t.far[x, r, 1] and reach[d, far] > 1.0:
            parted = reach[last, r] < reach[d, r] or reach[last, far] < reach[d, far]
            found = 2 if parted else found
    return found


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def choice(t: Any, cut: Any, x: int, o: int, chosen: int, row: Any) -> None:
    """Add what one tensor's homes cost to `row`, given its uses. Homes below the first `chosen` loops hold at
    least one point of each rank that is open: only that counts.
    """
    home, mem, moved, uses = t.home, t.mem, t.moved, cut.uses
    ranks = moved.shape[1]
    engines = int(t.one[ENGINES])
    output = x == moved.shape[0] - 1
    out = 1 if output else 0
    source = 0
    for h in range(home.shape[1]):
        memory = home[o, h, MEMORY]
        if memory < 0:
            break
        d = home[o, h, DEPTH]
        copies = mem[memory, COPIES]
        if home[o, h, MOVED]:
            again, a, b = 1.0, int(t.band[A]), int(t.band[B])
            for r in range(ranks):
                if not moved[x, r] and not t.place[r, BOUND]:
                    again *= cut.trips[d, r]
            depth, shared = t.loop_rank.shape[0], _shared(t, cut, x, d)
            if a >= 0:
                look(
                    t,
                    cut,
                    depth if moved[x, a] else d,
                    depth if b >= 0 and moved[x, b] else d,
                    chosen == depth,
                )
            if (a >= 0 or shared) and cut.summed[x] != d:
                cut.below[0] = d if shared == 2 else depth
                sum_tiles(t, cut, x)
                cut.below[0], cut.summed[x] = depth, d
            for way, place in ((out, source), (1 - out, memory)):
                size = again * uses[x, place, TILES]
                if copies > 1.0 and mem[place, APART] and copied(t, x):
                    core = int(t.one[CORE_RANK])
                    if t.place[core, BOUND]:
                        size = again * uses[x, place, COPIED if chosen == t.loop_rank.shape[0] else TILES]
                    else:
                        size = again / cut.trips[d, core] * into_cores(t, cut, x, place, d)
                if output:  # it leaves as often, all but the last time partial, and comes back from those
                    back = (again - 1.0) * uses[x, place, PARTIAL]
                    size = uses[x, place, TILES] + back
                    back = uses[x, place, PARTIAL] if t.band[SUMS] else back
                    _move(mem, engines, row, 1 - way, place, back)
                _move(mem, engines, row, way, place, size)
        if home[o, h, HOLDS]:
            partial = output and _adds_up(t, cut, o, h)
            row[engines + 1 + memory] += held_bytes(t, cut, memory, x, d, d > chosen, partial)
        source = memory
    _move(mem, engines, row, 0, source, uses[x, source, READ])
    if output:
        _move(mem, engines, row, 1, source, uses[x, source, WRITTEN])


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def _move(mem: Any, engines: int, row: Any, write: int, memory: int, size: float) -> None:
    at = WRITE_ENGINE if write else READ_ENGINE
    engine = int(mem[memory, at])
    if engine >= 0:
        row[engine] += size * mem[memory, at + READ_TICKS]
    row[engines] += size * mem[memory, at + READ_J]


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def _evaluate(t: Any, tiles: Any, chosen: Any, rows: Any, legal: Any, cut: Any) -> None:
    depth, width = t.loop_rank.shape[0], rows.shape[1]
    engines = int(t.one[ENGINES])
    whole: Any = np.bool_(True)  # typed, or numba compiles what takes it for a literal too
    for n in range(tiles.shape[0]):
        row = rows[n]
        for v in range(width):
            row[v] = 0.0
        start(t.sizes, cut)
        for d in range(depth):
            split(cut, t.loop_rank[d], d, float(tiles[n, d]))
        leaf(t, cut, row, whole)
        good = True
        for x in range(t.moved.shape[0]):
            choice(t, cut, x, t.first[x] + chosen[n, x], depth, row)
        for m in range(t.mem.shape[0]):
            good &= row[engines + 1 + m] <= t.mem[m, CAPACITY]
        legal[n] = good


@njit(error_model="numpy", nogil=True)
def evaluate(t: Any, views: Any, tiles: Any, chosen: Any, rows: Any, legal: Any) -> None:
    """Cost of many mappings of one nest: `tiles` [n, D], `chosen` [n, X] (choices of homes, counted from each
    tensor's first) -> `rows` [n, engines + 1 + memories] and `legal` [n], both overwritten.
    """
    cut = uncut(t, views)
    _evaluate(t, tiles, chosen, rows, legal, cut)


def cost(t: Tables, tiles: Ints, chosen: Ints) -> tuple[Floats, Ints]:
    """`evaluate` with fresh arrays."""
    rows = np.empty((len(tiles), int(t.one[ENGINES]) + 1 + len(t.mem)))
    legal = np.empty(len(tiles), np.int64)
    evaluate(t, views_of(t.band, t.sizes), tiles, chosen, rows, legal)
    return rows, legal
