"""What a search keeps of what it has found: the best one, or all that nothing else beats, compiled."""

# mypy: warn-return-any=False
# Kernels take arrays as Any: numba infers what a signature here could only repeat.

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from einsim.dataflow.mapper.objective import FRONT, LATENCY, PARTS, compiled_order
from einsim.dataflow.mapper.tables import CAPACITY
from einsim.specs.arrays import Floats
from einsim.specs.compiled import njit


class Goal(NamedTuple):
    """What a search compares rows by, and what they may hold."""

    mode: int
    leak_j: float  # joules of leakage a tick
    within: float  # bytes held on chip at most
    counts: Floats  # [width]: 1 for the columns of a row that PARTS compares, else 0


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def key_of(row: Any, engines: int, goal: Any, key: Any) -> None:
    """What is compared. PARTS: the row's columns that count; FRONT: (ticks, joules, bytes); in the
    other modes `objective.order`.
    """
    if goal.mode == PARTS:
        for v in range(row.shape[0]):
            key[v] = row[v] * goal.counts[v]
        return
    ticks = 0.0
    for e in range(engines):
        ticks = max(ticks, row[e])
    joules = row[engines] + goal.leak_j * ticks
    held = 0.0
    for m in range(engines + 1, row.shape[0]):
        held += row[m]
    if goal.mode == FRONT:
        key[0], key[1], key[2] = ticks, joules, held
    else:
        key[0], key[1] = compiled_order(goal.mode, ticks, joules, held)


@njit(error_model="numpy", nogil=True)
def keys_of(rows: Any, memories: int, goal: Any, width: int) -> Any:
    """What is compared of each row, so many columns of which are bytes in memories: [rows, width]."""
    keys = np.empty((rows.shape[0], width))
    for n in range(rows.shape[0]):
        key_of(rows[n], rows.shape[1] - memories - 1, goal, keys[n])
    return keys


@njit(error_model="numpy", nogil=True, allocates=False)
def dominated(keys: Any, count: int, key: Any, mode: int) -> bool:
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


@njit(error_model="numpy", nogil=True, allocates=False, inline=True, inner=True)
def put(rows: Any, at: int, row: Any) -> None:
    """Write a row: as a slice it would compile its complaint about another shape for seconds."""
    for v in range(row.shape[0]):
        rows[at, v] = row[v]


@njit(error_model="numpy", nogil=True, inner=True)
def _grown(rows: Any) -> Any:
    more = np.empty((2 * rows.shape[0], rows.shape[1]), rows.dtype)
    for n in range(rows.shape[0]):
        put(more, n, rows[n])
    return more


@njit(error_model="numpy", nogil=True, inner=True)
def insert(keys: Any, metas: Any, count: int, key: Any, meta: Any, mode: int) -> Any:
    """Put a key that nothing beats into the archive, dropping what it beats; the arrays grow."""
    width = key.shape[0]
    if mode >= LATENCY:
        put(keys, 0, key)
        put(metas, 0, meta)
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
                put(keys, kept, keys[n])
                put(metas, kept, metas[n])
            kept += 1
    if kept == keys.shape[0]:
        keys, metas = _grown(keys), _grown(metas)
    put(keys, kept, key)
    put(metas, kept, meta)
    return keys, metas, kept + 1


@njit(error_model="numpy", nogil=True, allocates=False, inner=True)
def fits(row: Any, mem: Any, engines: int, within: float) -> bool:
    """Whether the bytes of a row fit each memory, and together the limit."""
    held = 0.0
    for m in range(mem.shape[0]):
        if row[engines + 1 + m] > mem[m, CAPACITY]:
            return False
        held += row[engines + 1 + m]
    return held <= within


@njit(error_model="numpy", nogil=True)
def join(
    one: Any, two: Any, rest: Any, engines: int, capacity: Any, goal: Any, tag: int, keys: Any, metas: Any,
    count: int, last: Any, beat: Any, beaten: int,
) -> Any:  # fmt: skip
    """Every sum of a row of `one` and one of `two` that fits, into the archive; metas are [row, row, tag].
    With the `rest` [width], which is to come at least, none that what was found by the `last` goal beats:
    `beaten` rows of `beat`.
    """
    width = one.shape[1]
    row, whole = np.empty(width), np.empty(width)
    key, end = np.empty(keys.shape[1]), np.empty(beat.shape[1])
    meta = np.empty(3, np.int64)
    meta[2] = tag
    for a in range(one.shape[0]):
        for b in range(two.shape[0]):
            held = 0.0
            fits = True
            for v in range(width):
                row[v] = one[a, v] + two[b, v]
                whole[v] = row[v] + rest[v]
                if v <= engines:  # sums that are added up in another order
                    whole[v] *= 1.0 - 1e-12
                else:
                    held += whole[v]
                    if whole[v] > capacity[v - engines - 1]:
                        fits = False
            if not fits or held > goal.within:
                continue
            key_of(whole, engines, last, end)
            if dominated(beat, beaten, end, last.mode):
                continue
            key_of(row, engines, goal, key)
            if dominated(keys, count, key, goal.mode):
                continue
            meta[0] = a
            meta[1] = b
            keys, metas, count = insert(keys, metas, count, key, meta, goal.mode)
    return keys, metas, count
