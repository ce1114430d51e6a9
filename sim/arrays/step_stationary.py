"""Cycle-stepped weight-stationary array (input-stationary is the same array on the transposes).

Element (r, c) holds an operand and its shadow, forwards the streamed operand to its right and adds its
product to the sum that comes from above. With a tile's first row on array row `skip`, its stream starting
in cycle s and its load in cycle L: row i's stationary operand is written into the shadow of column c in
cycle L + i + c (one row a cycle, the write delayed by one register a column); stream word j meets element
(skip + i, c) in cycle s + j + i + c; the sum leaves the last row of column c after row R - 1 has added.
Beside each streamed value travel: real (inside the matrix), live (a word of some tile) and first, which
makes an element take its shadow in that same cycle. Registers hold words as `einsim.sim.arrays.words`
lays them out. The output SRAM adds the sums of the row tiles in place.
"""

from __future__ import annotations

import numpy as np

from einsim.sim.arrays.schedule import COL0, COLS, LOAD, ROW0, ROWS, SKIP, START, Table
from einsim.sim.arrays.words import DENSE_SHIFT, INDEX_MASK, NM_SHIFT
from einsim.specs.arrays import AnyInts
from einsim.specs.compiled import njit


@njit()
def step_stationary(
    streamed: AnyInts, held: AnyInts, groups: AnyInts | None, select_held: bool, streamed_cost: AnyInts,
    held_cost: AnyInts, table: Table, sums: AnyInts, out: AnyInts, macs: AnyInts,
) -> tuple[int, int, int, int]:  # fmt: skip
    """out[j, c] = sum_i streamed[j, i] held[i, c], over len(macs) cycles; `sums` is (2, rows + 1, cols).

    With `groups`, `select_held` says that the held operand is the sparse one. The costs [slots] are what
    a word of slot i costs its SRAM.
    Returns words read of `streamed`, words read of `held`, words written, and faults (0 if right).
    """
    stream = streamed.shape[0]
    tiles = table.shape[0]
    rows, cols = sums.shape[1] - 1, sums.shape[2]
    x_now = np.zeros((rows, cols + 1), streamed.dtype)
    x_next = np.zeros((rows, cols + 1), streamed.dtype)
    weight = np.zeros((rows, cols), streamed.dtype)
    shadow = np.zeros((rows, cols), streamed.dtype)
    row_tile = np.zeros(rows, np.int64)
    sums_now, sums_next = sums[0], sums[1]
    oldest_load, oldest, reads, loads, writes, faults = 0, 0, 0, 0, 0, 0
    for cycle in range(macs.shape[0]):
        for r in range(rows):  # the left edge
            tile = row_tile[r]
            if tile < tiles and cycle - table[tile, START] - (r - table[tile, SKIP]) >= stream:
                tile += 1
                row_tile[r] = tile
            word = 0
            if tile < tiles:
                i = r - table[tile, SKIP]
                j = cycle - table[tile, START] - i
                if i >= 0 and j >= 0:
                    word = 2 | (4 if j == 0 else 0)
                    if i < table[tile, ROWS]:
                        word += streamed[j, table[tile, ROW0] + i] + 1
                        reads += streamed_cost[table[tile, ROW0] + i]
            x_now[r, 0] = word
        busy = 0
        for r in range(rows):
            busy += _row(
                x_now[r], x_next[r], sums_now[r], sums_next[r + 1], weight[r], shadow[r], groups, select_held
            )
        macs[cycle] = busy
        while oldest_load < tiles and cycle - table[oldest_load, LOAD] > rows + cols - 2:
            oldest_load += 1
        for tile in range(oldest_load, tiles):  # the load buses, after the elements took their shadows
            wave = cycle - table[tile, LOAD]
            if wave < 0:
                break
            skip = table[tile, SKIP]
            for i in range(max(0, wave - cols + 1), min(rows - skip, wave + 1)):
                c = wave - i
                word = 0
                if i < table[tile, ROWS] and c < table[tile, COLS]:
                    word = held[table[tile, ROW0] + i, table[tile, COL0] + c] + 1
                    loads += held_cost[table[tile, ROW0] + i]
                shadow[skip + i, c] = word
        while oldest < tiles and cycle - _exit(table, oldest, rows) - (stream - 1) > cols - 1:
            oldest += 1
        for tile in range(oldest, tiles):  # the sums that leave the last row
            wave = cycle - _exit(table, tile, rows)
            if wave < 0:
                break
            for c in range(max(0, wave - stream + 1), min(cols, wave + 1)):
                faults += (x_now[rows - 1, c] & 2) == 0
                if c < table[tile, COLS]:
                    out[wave - c, table[tile, COL0] + c] += sums_next[rows, c]
                    writes += 1
        x_now, x_next = x_next, x_now
        sums_now, sums_next = sums_next, sums_now
    return reads, loads, writes, faults


@njit(inner=True)
def _exit(table: Table, tile: int, rows: int) -> int:
    """The cycle in which the tile's first sum is complete in the last row of column 0."""
    return int(table[tile, START] + rows - 1 - table[tile, SKIP])


@njit(inner=True)
def _row(
    x_in: AnyInts, x_out: AnyInts, above: AnyInts, below: AnyInts, weight: AnyInts, shadow: AnyInts,
    groups: AnyInts | None, select_held: bool,
) -> int:  # fmt: skip
    """One row of elements for one cycle; returns how many multiplied two real operands."""
    busy = 0
    for c in range(weight.shape[0]):
        left = x_in[c]
        w = shadow[c] if left & 4 else weight[c]
        weight[c] = w
        if groups is None:
            below[c] = above[c] + (left >> DENSE_SHIFT) * (w >> DENSE_SHIFT)
        else:
            dense, sparse = (left, w) if select_held else (w, left)
            chosen = groups[dense >> NM_SHIFT, (sparse >> DENSE_SHIFT) & INDEX_MASK]
            below[c] = above[c] + (left & w & 1) * chosen * (sparse >> NM_SHIFT)
        x_out[c + 1] = left
        busy += left & w & 1
    return busy
