"""Sums over the tiles of a nest's loops, rank by rank and dimension by dimension, compiled.

Counts are whole numbers in floats: exact below 2^53, and faster to divide.
"""

# mypy: warn-return-any=False
# Kernels take arrays as Any: numba infers what a signature here could only repeat.

from __future__ import annotations

from typing import Any

from einsim.accel.port import whole_bytes
from einsim.dataflow.cores import cores_met, on_a_core
from einsim.dataflow.leaf import added_up, loaded_under
from einsim.dataflow.mapper.band import ALONE, BEGUN, BOTH, LATER, OF_B, POINTS, SUMS, A, cells, stand_on_kind
from einsim.dataflow.mapper.cut import COPIED, PARTIAL, READ, TILES, WRITTEN, turn
from einsim.dataflow.mapper.tables import (
    ACCESS,
    APART,
    BITS,
    BOUND,
    CORE,
    CORE_RANK,
    CORES,
    DIM,
    FIBRE,
    LEAST_STEPS,
    META_BITS,
    MIRRORED,
    PART_J,
    RANKS,
    REDUCED,
    REGISTER_J,
    SERIAL,
    SHARED,
    STAYS,
    SUM_BITS,
    TIED,
    VALUE_BITS,
    WAITING,
    WIDTH,
    M,
    N,
)
from einsim.dataflow.passing import LACKS, MOVES, WHOLE, in_time, passed
from einsim.specs.compiled import njit
from einsim.specs.rules import down, up
from einsim.workloads.sparsity import bytes_at, kept_in_groups


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def bytes_of(
    t: Any, x: int, m: int, elements: float, fibre: float, partial: float = 0.0, mean: bool = False
) -> float:
    """Bytes in a memory of elements, `fibre` along their pattern, some `partial`; `mean`: not rounded up."""
    fmt, least = t.fmt, t.mem[m, VALUE_BITS]
    wide, sums = max(fmt[x, BITS], least), max(fmt[x, SUM_BITS], least)
    if fmt[x, M] == 0.0:
        fibre, bits = 1.0, elements * wide + partial * sums
    else:
        bits = elements * (wide + fmt[x, META_BITS]) + partial * (sums + fmt[x, META_BITS])
        bits *= kept_in_groups(fmt[x, N], fmt[x, M], fibre)
    return bits / (8.0 * fibre) if mean else bytes_at(bits, fibre)


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def _passing(t: Any, cut: Any, x: int, m: int, elements: float, fibre: float, partial: float = 0.0) -> float:
    """Bytes of the whole accesses that they take."""
    size = bytes_of(t, x, m, elements, fibre, partial, cut.mean[0])
    return size if cut.mean[0] else whole_bytes(size, t.mem[m, ACCESS])


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def stand(t: Any, cut: Any, r: int) -> float:
    """Set the tile and work of a rank to where a walk stands: how often that extent occurs."""
    if t.place[r, BOUND]:
        return stand_on_kind(t, cut, r)
    extent = cut.extent[cut.below[0], r, cut.at[r]]
    cut.tile[r] = extent
    cut.work[r] = kept_in_groups(t.pattern[r, 0], t.pattern[r, 1], extent)
    return cut.count[cut.below[0], r, cut.at[r]]


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def elements(t: Any, cut: Any, x: int, points: float) -> float:
    """Elements of a tensor in a tile, where it has so many points of ranks that a band ties (0: all)."""
    tile, both = cut.tile, points > 0.0 and t.grain[x, BOTH]
    total = points if both else 1.0
    for r in range(t.sizes.shape[0]):
        far = t.far[x, r, 0]
        if far >= 0 and tile[r] > t.far[x, r, 1]:  # what is as far along one as along the other is the same
            total *= tile[r] + t.far[x, r, 1] * (tile[far] - 1.0)
        elif far >= 0:
            total *= tile[r] * tile[far]
        elif far == MIRRORED:
            total *= t.sizes[r]
        elif t.moved[x, r] and far == -1 and not (both and t.place[r, BOUND]):
            total *= tile[r]
    return total


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def _steps(t: Any, cut: Any, final: bool) -> None:
    """Set the steps in time, points and folds of a tile; where tied ranks lie by themselves, without what
    those make of them. Where weights stay, each fold takes at least the cycles in which the next ones load. A
    core walks its share of the cores' ranks that no other dimension has. Where tiles are not `final`, of tied
    ranks only their points are sure to take steps.
    """
    boxes = final and not t.band[ALONE]  # as if all of a tile's box were there
    inside, points, folds = 1.0, 1.0, 1.0
    for r in range(t.sizes.shape[0]):
        if not t.place[r, BOUND]:
            points *= cut.work[r]
        if t.place[r, DIM] < 0 and (boxes or not t.place[r, BOUND]):
            inside *= cut.work[r]
    for s in range(t.dim.shape[0]):
        lanes, loose, cores = 1.0, not final and t.dim[s, TIED], 1.0
        for i in range(t.dim[s, RANKS]):
            r = t.along[s, i]
            if t.place[r, CORE]:
                cores = t.one[CORES]
            if not (loose and t.place[r, BOUND]):
                lanes *= on_a_core(cut.work[r], cores) if t.place[r, CORE] and not loose else cut.work[r]
        if loose:
            inside *= lanes / t.dim[s, WIDTH] / cores
            continue
        fold = up(lanes, t.dim[s, WIDTH])
        if boxes or not t.dim[s, TIED]:
            inside *= fold
            folds *= 1.0 if t.dim[s, SERIAL] else fold
    cut.totals[2], cut.totals[3], cut.totals[4] = inside, points, folds


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def _tied_values(t: Any, cut: Any, x: int) -> float:
    """Values of a tensor that pass at least because of the ranks that a band ties, and of others along the
    same dimensions: a value in each step, each value in some step.
    """
    steps = cut.kind[POINTS]
    mine = steps if t.grain[x, BOTH] else 1.0
    for r in range(t.sizes.shape[0]):
        if t.place[r, BOUND]:
            mine *= cut.tile[r] if t.moved[x, r] and not t.grain[x, BOTH] else 1.0
        elif t.place[r, DIM] >= 0 and t.dim[t.place[r, DIM], TIED]:
            steps *= cut.work[r]
            mine *= cut.work[r] if t.feed[x, r] == MOVES else 1.0
        if t.place[r, CORE]:
            steps /= t.one[CORES]
    for s in range(t.dim.shape[0]):
        steps /= t.dim[s, WIDTH] if t.dim[s, TIED] else 1.0
    return max(mine, 0.0 if t.still[x] else steps)


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def _stays(t: Any, cut: Any, x: int, s: int, apart: bool) -> float:
    """Values of a stationary operand along the cores' own ranks: each once, or once for each core."""
    mine, wanting = 1.0, 1.0
    for i in range(t.dim[s, RANKS]):
        r = t.along[s, i]
        if t.feed[x, r] == LACKS:
            wanting *= cut.work[r]
        else:
            mine *= cut.tile[r] if t.feed[x, r] == WHOLE else cut.work[r]
    return mine * cores_met(wanting, t.one[CORES]) if apart else mine


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def _passed(t: Any, cut: Any, x: int, s: int, apart: bool) -> float:
    """Values of a tensor that pass along a dimension in one tile."""
    serial = t.dim[s, SERIAL]
    if serial and t.still[x]:
        return _stays(t, cut, x, s, apart)
    count, whole = t.dim[s, RANKS], 1.0
    for i in range(count):
        r = t.along[s, i]
        cut.places[i] = cut.work[r]
        cut.marks[i] = t.feed[x, r]
        if t.feed[x, r] == WHOLE:
            whole *= cut.tile[r]
    lanes = 1.0 if serial and apart else float(t.dim[s, WIDTH])
    core = t.dim[s, SHARED]
    return whole * passed(cut.places, cut.marks, count, lanes, core, t.one[CORES], apart)


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def _passed_least(t: Any, cut: Any, x: int, s: int, apart: bool) -> float:
    """What `_passed` is not below, and what only grows as tiles are split: a value in each fold, each value
    in some fold.
    """
    serial, cores = t.dim[s, SERIAL], t.one[CORES]
    if serial and t.still[x]:
        return _stays(t, cut, x, s, apart)
    whole, mine, others, core = 1.0, 1.0, 1.0, 0.0
    own = False
    for i in range(t.dim[s, RANKS]):
        r = t.along[s, i]
        if t.feed[x, r] == WHOLE:
            whole *= cut.tile[r]
            continue
        if t.feed[x, r] == MOVES:
            mine *= cut.work[r]
        if i == t.dim[s, SHARED]:
            core = cut.work[r]
            own = apart or t.feed[x, r] == MOVES
        else:
            others *= cut.work[r]
    lanes = 1.0 if serial and apart else float(t.dim[s, WIDTH])
    if core == 0.0:
        return whole * max(mine, up(others, lanes))
    few = down(core, cores)
    more = core - few * cores
    if not own:
        return whole * max(mine, up(on_a_core(core, cores) * others, lanes))
    folds = more * up((few + 1.0) * others, lanes) + (cores - more) * up(few * others, lanes)
    return whole * max(mine, folds)


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def _values(t: Any, cut: Any, x: int, apart: bool, final: bool) -> float:
    """Values of a tensor that pass in all steps of one tile; at least, where it is not `final`, and without
    what tied ranks that lie by themselves make of them, where it is.
    """
    tied = not final or t.band[ALONE]
    total = t.times[x] * (1.0 if final else _tied_values(t, cut, x))
    for r in range(t.sizes.shape[0]):
        if t.place[r, DIM] >= 0 or (tied and t.place[r, BOUND]):
            continue
        total *= in_time(t.feed[x, r], t.still[x] == 1, cut.tile[r], cut.work[r])
    for s in range(t.dim.shape[0]):
        if not t.dim[s, TIED]:
            total *= _passed(t, cut, x, s, apart) if final else _passed_least(t, cut, x, s, apart)
        elif not tied:  # a box is no exact count, and that of all its places may take long
            total *= _passed_least(t, cut, x, s, apart)
    return total


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def sum_uses(t: Any, cut: Any, final: bool) -> float:
    """What is moved, each tile's bytes rounded up to whole accesses. Returns the joules of adding results up.

    Where tiles are not `final` it is a bound: parts of a tile never move less, and round up to no less.
    """
    tensors = t.moved.shape[0]
    cut.uses[:] = 0.0
    if t.band[A] < 0:
        for x in range(tensors):
            sum_tiles(t, cut, x)
    cut.totals[:] = 0.0
    ways, a, alone = 2 if t.one[CORES] > 1.0 else 1, int(t.band[A]), t.band[ALONE] > 0.0
    kinds = 1 if a < 0 else cut.kinds[t.loop_rank.shape[0], a]
    cut.at[:] = 0
    joules = 0.0
    while True:
        count = 1.0
        for r in range(t.sizes.shape[0]):
            count *= 1.0 if t.place[r, BOUND] else stand(t, cut, r)
        for kind in range(kinds):
            often = count
            if a >= 0:
                cut.at[a] = kind
                often *= stand_on_kind(t, cut, a)
            if kind == 0 or not alone:
                _steps(t, cut, final)
            for x in range(tensors):
                by_kind = cells(t, cut.kind, x) if final and alone else 1.0
                for way in range(ways):
                    if kind == 0 or not alone:
                        cut.values[x, 2 + way] = _values(t, cut, x, way == 1, final)
                    cut.values[x, way] = cut.values[x, 2 + way] * by_kind
            inside, points, folds = cut.totals[2], cut.totals[3] * cut.kind[POINTS], cut.totals[4]
            if final and alone:
                inside *= cells(t, cut.kind, tensors)
                folds *= cells(t, cut.kind, tensors + 1)
            elif not final:
                inside *= cut.kind[POINTS]
            cut.totals[0] += often * loaded_under(inside, folds, t.one[LEAST_STEPS], t.one[WAITING])
            cut.totals[1] += often * points
            for x in range(tensors - 1):
                for m in range(t.mem.shape[0]):
                    values = cut.values[x, 1 if t.mem[m, APART] and ways > 1 else 0]
                    cut.uses[x, m, READ] += often * _passing(t, cut, x, m, values, _fibre(t, cut, x))
            joules += _add_result(t, cut, tensors - 1, often, final)
        if not turn(cut, t.place[:, BOUND], 0):
            return joules


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def sum_tiles(t: Any, cut: Any, x: int) -> None:
    """The transfers of a tensor's tiles. Where a rank that is reduced is tied, bounds say which results are
    partial.
    """
    output = x == t.moved.shape[0] - 1
    way = 2.0 if output and t.band[SUMS] else 0.0
    for m in range(t.mem.shape[0]):
        cut.uses[x, m, TILES] = _tiles(t, cut, x, m, 1.0, way)
        if copied(t, x) and not way:
            cut.uses[x, m, COPIED] = _tiles(t, cut, x, m, t.one[CORES], 0.0)
        if output:
            cut.uses[x, m, PARTIAL] = _tiles(t, cut, x, m, 0.0, way or 1.0)


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def copied(t: Any, x: int) -> bool:
    """Whether cores with memories of their own take the same bytes of a tensor."""
    core = int(t.one[CORE_RANK])
    return core >= 0 and not t.moved[x, core]


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def _tiles(t: Any, cut: Any, x: int, m: int, copies: float, partial: float) -> float:
    """Bytes of the accesses to a memory of all tiles of a tensor, each with its copies, or `partial` ones; 2:
    of each copy those to which later tiles add, else those that earlier ones have begun.
    """
    at, total = cut.at, 0.0
    at[:] = 0
    while True:
        count = 1.0
        for r in range(t.sizes.shape[0]):
            if t.walk[x, r]:
                count *= stand(t, cut, r)
        points = elements(t, cut, x, cut.kind[POINTS])
        sums = points * partial
        if partial == 2.0:
            sums = points / cut.kind[OF_B] * (cut.kind[LATER] if copies else cut.kind[BEGUN])
            points -= sums
        total += count * _passing(t, cut, x, m, points * copies, _fibre(t, cut, x), sums)
        if not turn(cut, t.walk[x], 1):
            return total


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def into_cores(t: Any, cut: Any, x: int, m: int, d: int) -> float:
    """Bytes that fill or leave the cores' own memories in a home at a depth, over all tiles of the rank along
    the cores that the loops above make: what so many cores want. A rank that is open may have single points.
    """
    core, cores = int(t.one[CORE_RANK]), t.one[CORES]
    if cut.open[core]:
        return cut.trips[d, core] * cut.uses[x, m, TILES]
    total = 0.0
    for k in range(cut.kinds[d, core]):
        copies = cores_met(cut.extent[d, core, k], cores)
        size = _tiles(t, cut, x, m, copies, 0.0) if copies < cores else cut.uses[x, m, COPIED]
        total += cut.count[d, core, k] * size
    return total


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def _fibre(t: Any, cut: Any, x: int) -> float:
    return cut.tile[int(t.fmt[x, FIBRE])] if t.fmt[x, M] else 1.0


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def _tail(cut: Any, r: int) -> float:
    """Points of a rank's last tile."""
    tail = cut.reach[0, r]
    for d in range(1, cut.reach.shape[0]):
        size = cut.reach[d, r]
        if size < cut.reach[d - 1, r]:
            tail -= down(tail - 1.0, size) * size
    return tail


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def _add_result(t: Any, cut: Any, x: int, count: float, final: bool) -> float:
    """What the unit writes and reads back of its results in tiles of one kind; returns the joules of adding
    up in registers, and cores' parts. The first tile of a result, of all that reduced ranks are cut into,
    finds nothing there yet, and the last one leaves it finished.
    """
    own, firsts, lasts = 1.0, 1.0, 1.0
    once = elements(t, cut, x, cut.kind[POINTS])
    for r in range(t.sizes.shape[0]):
        if not t.place[r, REDUCED]:
            own *= stand(t, cut, r)
            continue
        if cut.tile[r] != cut.reach[-1, r]:
            firsts = 0.0
        if cut.tile[r] != _tail(cut, r):
            lasts = 0.0
    sums = t.band[SUMS] > 0.0  # then bounds say which
    firsts, lasts = (count, count) if sums else (own * firsts, own * lasts)
    fibre = t.fmt[x, M] if t.fmt[x, M] and not final else _fibre(t, cut, x)  # the least that its values take
    passing = cut.values[x, 1 if t.one[CORES] > 1.0 else 0]
    core, parts = int(t.one[CORE_RANK]), once
    if core >= 0 and t.place[core, REDUCED]:
        parts *= min(t.one[CORES], cut.tile[core])
    leaves = t.one[STAYS] > 0.0
    each = once / cut.kind[OF_B] if sums else 0.0
    written, finished, again, inside, added = added_up(
        passing, parts, once, each * cut.kind[BEGUN], each * cut.kind[LATER], leaves
    )
    back = added_up(passing, parts, once, once, once, leaves)[2]
    for m in range(t.mem.shape[0]):
        size = _passing(t, cut, x, m, 0.0, fibre, written)
        whole = _passing(t, cut, x, m, finished, fibre, written - finished)
        later, begun = _passing(t, cut, x, m, 0.0, fibre, back), _passing(t, cut, x, m, 0.0, fibre, again)
        cut.uses[x, m, WRITTEN] += (count - lasts) * size + lasts * whole
        cut.uses[x, m, READ] += (count - firsts) * later + firsts * begun
    return count * (inside * t.one[REGISTER_J] + added * t.one[PART_J]) if final else 0.0
