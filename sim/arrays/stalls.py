"""A whole GEMM on an array with finite memory ports: exact tile times plus the waits for words.

Each operand has two tile buffers at the array's edge: one is read while the other fills. Words come over
one load port in tile order and leave over one store port. Tile i

    loads   once tile i - 2 has left its buffer and the port is free, ceil(words / rate) cycles,
    begins  at its place in the array's schedule, or later: when its load is done (load stall) or when
            tile i - 2's results have left their buffer before its own first result reaches the last column
            (store stall); a delay moves all later tiles,
    leaves  its operand buffer when its last word has entered the array's first row and column (the rest
            stands in the skew registers), and stores its results once the last is complete.

An operand's tile that the tile before also used is not loaded again. With both rates unlimited the total is
`systolic.elapsed`, exactly.
"""

from __future__ import annotations

import msgspec
import numpy as np

from einsim.sim.arrays.gemm import ArraySpec, Gemm, fold
from einsim.sim.arrays.schedule import COL0, COLS, LOAD, ROW0, ROWS, START, Table, schedule
from einsim.sim.arrays.systolic import elapsed
from einsim.sim.arrays.words import a_cost
from einsim.specs.arrays import Ints
from einsim.specs.compiled import njit
from einsim.specs.errors import RuleError


class Ports(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Words a cycle that can be loaded and stored; None is unlimited. RuleError for a rate of 0 or less."""

    load_words_per_cycle: float | None = None
    store_words_per_cycle: float | None = None

    def __post_init__(self) -> None:
        for name in ("load_words_per_cycle", "store_words_per_cycle"):
            rate = getattr(self, name)
            if rate is not None and not rate > 0:
                raise RuleError("must be > 0, or null for unlimited", got=rate, at=(name,))


class Fed(msgspec.Struct, frozen=True, kw_only=True):
    """Cycles and words of a fed GEMM.

    `cycles` is the sum of the array's own cycles, the first load, the waits for loads, the waits for stores
    and the last store; the words are those that crossed the ports.
    """

    cycles: int
    array_cycles: int
    first_load_cycles: int
    load_stall_cycles: int
    store_stall_cycles: int
    last_store_cycles: int
    loaded_words: int
    stored_words: int


def fed(spec: ArraySpec, gemm: Gemm, ports: Ports) -> Fed:
    """The GEMM on the array behind `ports`; O(tiles), compiled."""
    table = schedule(spec, gemm)
    loads, stores = _tile_words(spec, gemm, table)
    stream = fold(spec, gemm).stream
    begin = table[:, LOAD] if spec.stationary else table[:, START]
    release = table[:, START] - begin + stream
    total = elapsed(spec, gemm)
    done = table[:, START] + stream - 1 + _skew(spec, table)
    burst = stream if spec.stationary else spec.rows  # results of a tile in a column
    first, load_stall, store_stall, last_store = _run(
        begin - begin[0],
        release,
        done - begin,
        burst,
        _port_cycles(loads, ports.load_words_per_cycle),
        _port_cycles(stores, ports.store_words_per_cycle),
        total - int(begin[0]),
    )
    return Fed(
        cycles=total + first + load_stall + store_stall + last_store,
        array_cycles=total,
        first_load_cycles=first,
        load_stall_cycles=load_stall,
        store_stall_cycles=store_stall,
        last_store_cycles=last_store,
        loaded_words=int(loads.sum()),
        stored_words=int(stores.sum()),
    )


def _skew(spec: ArraySpec, table: Table) -> Ints:
    """Cycles from a tile's last streamed word to its last result: used or padded rows + columns - 1."""
    if spec.convention == "edge-aware":
        return table[:, ROWS] + table[:, COLS] - 1
    return np.full(len(table), spec.rows + spec.cols - 1, np.int64)


def _tile_words(spec: ArraySpec, gemm: Gemm, table: Table) -> tuple[Ints, Ints]:
    """Words that each tile loads, without what the tile before left, and stores."""
    rows, cols = table[:, ROWS], table[:, COLS]
    ahead = np.concatenate([[0], np.cumsum(a_cost(spec, gemm))])
    depth = ahead[-1]
    if spec.dataflow == "output-stationary":
        new_rows = np.diff(table[:, ROW0], prepend=-1) != 0
        new_cols = np.diff(table[:, COL0], prepend=-1) != 0
        return new_rows * rows * depth + new_cols * cols * gemm.slots, rows * cols
    a_words = ahead[table[:, ROW0] + rows] - ahead[table[:, ROW0]]
    if spec.dataflow == "weight-stationary":
        return rows * cols + a_words * gemm.m, gemm.m * cols
    return a_words * cols + rows * gemm.n, gemm.n * cols


def _port_cycles(words: Ints, rate: float | None) -> Ints:
    if rate is None:
        return np.zeros(len(words), np.int64)
    return np.ceil(words / rate).astype(np.int64)


@njit()
def _run(
    begin: Ints, release: Ints, done: Ints, burst: int, load: Ints, store: Ints, total: int
) -> tuple[int, int, int, int]:
    """Times relative to the first tile's planned begin; returns the four kinds of wait."""
    count = begin.shape[0]
    loaded = stored = before_stored = 0
    late, late_before = 0, 0  # delay of the tile before, and of the one before that
    first = load_stall = store_stall = 0
    end = 0
    for i in range(count):
        free = begin[i - 2] + late_before + release[i - 2] if i >= 2 else 0
        loaded = max(loaded, free) + load[i]
        planned = begin[i] + late
        wait_load = max(0, loaded - planned)
        if i == 0:
            first = wait_load
        else:
            load_stall += wait_load
        wait_store = max(0, before_stored - (planned + wait_load + done[i] - burst)) if i >= 2 else 0
        store_stall += wait_store
        late_before, late = late, late + wait_load + wait_store
        finished = begin[i] + late + done[i]
        before_stored = stored
        stored = max(stored, finished) + store[i]
        end = max(end, stored)
    return first, load_stall, store_stall, max(0, end - (total + late))
