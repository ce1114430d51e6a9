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
from einsim.dataflow.mapper.cut import COPIED, PARTIAL, READ, TILES, WRITTEN, parted, turn
from einsim.dataflow.mapper.tables import (
    ACCESS,
    APART,
    BITS,
    CORE,
    CORE_RANK,
    CORES,
    DIM,
    FIBRE,
    LEAST_STEPS,
    META_BITS,
    PART_J,
    RANKS,
    REDUCED,
    REGISTER_J,
    SERIAL,
    SHARED,
    STAYS,
    SUM_BITS,
    TIME,
    WIDTH,
    M,
    N,
)
from einsim.dataflow.passing import LACKS, MOVES, WHOLE, in_time, passed
from einsim.specs.compiled import njit
from einsim.specs.rules import down, up
from einsim.workloads.sparsity import bytes_at, kept_in_groups


@njit(error_model="numpy", nogil=True, allocates=False)
def bytes_of(fmt: Any, x: int, elements: float, fibre: float, partial: float = 0.0) -> float:
    """Bytes that elements of a tensor take, of which `fibre` are along the rank of its pattern, and so many
    `partial` sums.
    """
    if fmt[x, M] == 0.0:
        return bytes_at(elements * fmt[x, BITS] + partial * fmt[x, SUM_BITS], 1.0)
    bits = elements * (fmt[x, BITS] + fmt[x, META_BITS]) + partial * (fmt[x, SUM_BITS] + fmt[x, META_BITS])
    return bytes_at(kept_in_groups(fmt[x, N], fmt[x, M], fibre) * bits, fibre)


@njit(error_model="numpy", nogil=True, allocates=False)
def sum_ranks(t: Any, cut: Any) -> None:
    """Points that are computed along each rank, over all its tiles."""
    for r in range(t.sizes.shape[0]):
        works = 0.0
        for c in range(cut.kinds[r]):
            works += cut.count[r, c] * kept_in_groups(t.pattern[r, 0], t.pattern[r, 1], cut.extent[r, c])
        cut.works[r] = works


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def stand(t: Any, cut: Any, r: int) -> float:
    """Set the tile and work of a rank to where a walk stands: how often that extent occurs."""
    extent = cut.extent[r, cut.at[r]]
    cut.tile[r] = extent
    cut.work[r] = kept_in_groups(t.pattern[r, 0], t.pattern[r, 1], extent)
    return cut.count[r, cut.at[r]]


@njit(error_model="numpy", nogil=True, allocates=False)
def sum_dims(t: Any, cut: Any) -> None:
    """Folds over each dimension, summed over the tiles of the ranks along it."""
    cores, at = t.one[CORES], cut.at
    along = t.place[:, DIM]
    for s in range(t.dim.shape[0]):
        cut.folds[s] = 0.0
        at[:] = 0
        while True:
            count, work = 1.0, 1.0
            for r in range(along.shape[0]):
                if along[r] != s:
                    continue
                count *= stand(t, cut, r)
                work *= on_a_core(cut.work[r], cores) if t.place[r, CORE] else cut.work[r]
            cut.folds[s] += count * up(work, t.dim[s, WIDTH])
            if not turn(cut.kinds, at, along, s):
                break


@njit(error_model="numpy", nogil=True, allocates=False)
def steps(t: Any, cut: Any) -> float:
    """Steps in time of all tiles. Where weights stay, a tile takes at least the `slowest` cycles in which the
    next ones load. A core walks its share of the cores' ranks that no other dimension has.
    """
    slowest, at, mine = t.one[LEAST_STEPS], cut.at, t.place[:, TIME]
    walked, least = 1.0, 1.0
    for r in range(mine.shape[0]):
        if t.place[r, DIM] < 0:
            walked *= cut.works[r]
            low = cut.extent[r, 0]
            for c in range(1, cut.kinds[r]):
                low = min(low, cut.extent[r, c])
            least *= kept_in_groups(t.pattern[r, 0], t.pattern[r, 1], low)
    for s in range(t.dim.shape[0]):
        if t.dim[s, SERIAL]:
            walked *= cut.folds[s]
    if least >= slowest:
        return walked
    at[:] = 0
    total = 0.0
    while True:
        inside, share, count = 1.0, 1.0, 1.0
        for r in range(mine.shape[0]):
            if not mine[r]:
                continue
            count *= stand(t, cut, r)
            if t.place[r, DIM] < 0:
                inside *= cut.work[r]
            else:
                share *= cut.work[r]
        total += count * loaded_under(inside * on_a_core(share, t.one[CORES]), 1.0, slowest)
        if not turn(cut.kinds, at, mine, 1):
            return total


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
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


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
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


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
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


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def _values(t: Any, cut: Any, x: int, apart: bool, final: bool) -> float:
    """Values of a tensor that pass in all steps of one tile; at least, where it is not `final`."""
    total = 1.0
    for r in range(t.sizes.shape[0]):
        if t.place[r, DIM] >= 0:
            continue
        total *= in_time(t.feed[x, r], t.still[x] == 1, cut.tile[r], cut.work[r])
    for s in range(t.dim.shape[0]):
        total *= _passed(t, cut, x, s, apart) if final else _passed_least(t, cut, x, s, apart)
    return total


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def _whole(t: Any, m: int, size: float) -> float:
    """Bytes of the whole accesses that so many bytes take."""
    return whole_bytes(size, t.mem[m, ACCESS])


@njit(error_model="numpy", nogil=True, allocates=False)
def sum_uses(t: Any, cut: Any, final: bool) -> float:
    """What is moved, each tile's bytes rounded up to whole accesses. Returns the joules of adding results up.

    Where tiles are not `final` it is a bound: parts of a tile never move less, and round up to no less.
    """
    tensors = t.moved.shape[0]
    cut.uses[:] = 0.0
    for x in range(tensors):
        _sum_tiles(t, cut, x)
    at = cut.at
    at[:] = 0
    joules = 0.0
    while True:
        count = 1.0
        for r in range(t.sizes.shape[0]):
            count *= stand(t, cut, r)
        for x in range(tensors):
            for apart in range(2 if t.one[CORES] > 1.0 else 1):
                cut.values[x, apart] = _values(t, cut, x, apart == 1, final) * t.times[x]
        for x in range(tensors - 1):
            _add_operand(t, cut, x, count)
        joules += _add_result(t, cut, tensors - 1, count, final)
        if not turn(cut.kinds, at, cut.every, 0):
            return joules


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def _sum_tiles(t: Any, cut: Any, x: int) -> None:
    """The transfers of a tensor's tiles."""
    for m in range(t.mem.shape[0]):
        cut.uses[x, m, TILES] = _tiles(t, cut, x, m, 1.0, 0.0)
        if copied(t, x):
            cut.uses[x, m, COPIED] = _tiles(t, cut, x, m, t.one[CORES], 0.0)
        if x == t.moved.shape[0] - 1:
            cut.uses[x, m, PARTIAL] = _tiles(t, cut, x, m, 0.0, 1.0)


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def copied(t: Any, x: int) -> bool:
    """Whether cores with memories of their own take the same bytes of a tensor."""
    core = int(t.one[CORE_RANK])
    return core >= 0 and not t.moved[x, core]


@njit(error_model="numpy", nogil=True, allocates=False)
def _tiles(t: Any, cut: Any, x: int, m: int, copies: float, partial: float) -> float:
    """Bytes of the accesses to a memory of all tiles of a tensor, each with its copies, or `partial` ones."""
    at, total = cut.at, 0.0
    at[:] = 0
    while True:
        count, points = 1.0, 1.0
        for r in range(t.sizes.shape[0]):
            if t.moved[x, r]:
                count *= stand(t, cut, r)
                points *= cut.tile[r]
        size = bytes_of(t.fmt, x, points * copies, _fibre(t, cut, x), points * partial)
        total += count * _whole(t, m, size)
        if not turn(cut.kinds, at, t.moved[x], 1):
            return total


@njit(error_model="numpy", nogil=True, allocates=False)
def into_cores(t: Any, cut: Any, x: int, m: int, d: int) -> float:
    """Bytes that fill or leave the cores' own memories in a home at a depth, over all tiles of the rank along
    the cores that the loops above make: what so many cores want. A rank that is open may have single points.
    """
    core, cores = int(t.one[CORE_RANK]), t.one[CORES]
    if cut.open[core]:
        return cut.trips[d, core] * cut.uses[x, m, TILES]
    extents, counts, kinds = cut.parts[0], cut.parts[1], 1
    extents[0], counts[0] = cut.reach[0, core], 1.0
    for e in range(1, d + 1):
        if cut.reach[e, core] < cut.reach[e - 1, core]:
            kinds = parted(extents, counts, kinds, cut.reach[e, core])
    total = 0.0
    for k in range(kinds):
        copies = cores_met(extents[k], cores)
        size = _tiles(t, cut, x, m, copies, 0.0) if copies < cores else cut.uses[x, m, COPIED]
        total += counts[k] * size
    return total


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def _fibre(t: Any, cut: Any, x: int) -> float:
    return cut.tile[int(t.fmt[x, FIBRE])] if t.fmt[x, M] else 1.0


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def _add_operand(t: Any, cut: Any, x: int, count: float) -> None:
    """What the unit reads of an operand in tiles of one kind."""
    fibre = _fibre(t, cut, x)
    together = bytes_of(t.fmt, x, cut.values[x, 0], fibre)
    alone = bytes_of(t.fmt, x, cut.values[x, 1], fibre) if t.one[CORES] > 1.0 else together
    for m in range(t.mem.shape[0]):
        cut.uses[x, m, READ] += count * _whole(t, m, alone if t.mem[m, APART] else together)


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def _tail(cut: Any, r: int) -> float:
    """Points of a rank's last tile."""
    tail = cut.reach[0, r]
    for d in range(1, cut.reach.shape[0]):
        size = cut.reach[d, r]
        if size < cut.reach[d - 1, r]:
            tail -= down(tail - 1.0, size) * size
    return tail


@njit(error_model="numpy", nogil=True, allocates=False, inline=True)
def _add_result(t: Any, cut: Any, x: int, count: float, final: bool) -> float:
    """What the unit writes and reads back of its results in tiles of one kind; returns the joules of adding
    up in registers, and cores' parts. The first tile of a result, of all that reduced ranks are cut into,
    finds nothing there yet, and the last one leaves it finished.
    """
    once, firsts, lasts = 1.0, 1.0, 1.0
    last = t.loop_rank.shape[0]
    for r in range(t.sizes.shape[0]):
        if t.moved[x, r]:
            once *= cut.tile[r]
        if not t.place[r, REDUCED]:
            firsts *= cut.count[r, cut.at[r]]
            lasts *= cut.count[r, cut.at[r]]
            continue
        if cut.tile[r] != cut.reach[last, r]:
            firsts = 0.0
        if cut.tile[r] != _tail(cut, r):
            lasts = 0.0
    fibre = _fibre(t, cut, x)
    if t.fmt[x, M] and not final:  # the least that a fibre's values take
        fibre = t.fmt[x, M]
    passing = cut.values[x, 1 if t.one[CORES] > 1.0 else 0]
    core, parts = int(t.one[CORE_RANK]), once
    if core >= 0 and t.place[core, REDUCED]:
        parts *= min(t.one[CORES], cut.tile[core])
    leaves = t.one[STAYS] > 0.0
    written, finished, again, inside, added = added_up(passing, parts, once, 0.0, 0.0, leaves)
    size = bytes_of(t.fmt, x, 0.0, fibre, written)
    whole = bytes_of(t.fmt, x, finished, fibre, written - finished)
    later = bytes_of(t.fmt, x, 0.0, fibre, added_up(passing, parts, once, once, once, leaves)[2])
    begun = bytes_of(t.fmt, x, 0.0, fibre, again)
    for m in range(t.mem.shape[0]):
        cut.uses[x, m, WRITTEN] += (count - lasts) * _whole(t, m, size) + lasts * _whole(t, m, whole)
        cut.uses[x, m, READ] += (count - firsts) * _whole(t, m, later) + firsts * _whole(t, m, begun)
    return count * (inside * t.one[REGISTER_J] + added * t.one[PART_J]) if final else 0.0
