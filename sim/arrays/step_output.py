"""Cycle-stepped output-stationary array: every register of every element, every cycle.

Element (r, c) holds an accumulator and forwards A to its right and B below through one register each.
Row r's operands enter r cycles late, column c's c cycles late, so slot k of a tile that starts at cycle s
is multiplied in element (r, c) in cycle s + k + r + c. Beside each value of A travel three bits: real
(inside the matrix), first (clears the accumulator) and last (the sum is complete and goes out on the
column's result bus in this cycle; elements of a column finish one a cycle, so one bus is enough).
Registers hold words as `einsim.sim.arrays.words` lays them out, one wide wire each.
"""

from __future__ import annotations

import numpy as np

from einsim.sim.arrays.schedule import COL0, COLS, ROW0, ROWS, START, Table
from einsim.sim.arrays.words import DENSE_SHIFT, INDEX_MASK, NM_SHIFT
from einsim.specs.arrays import AnyInts
from einsim.specs.compiled import njit


@njit()
def step_output(
    a: AnyInts,
    b: AnyInts,
    groups: AnyInts | None,
    a_cost: AnyInts,
    table: Table,
    acc: AnyInts,
    out: AnyInts,
    macs: AnyInts,
) -> tuple[int, int, int, int]:
    """Runs len(macs) cycles; fills `out` [m, n] and `macs` [cycle]; acc is the (rows, cols) register file.

    a [m, slots] and b [slots, n] are words; a_cost [slots] is what a word of A costs its SRAM.
    Returns words read of A, words read of B, words written, and faults: results without their last bit,
    or two results on one bus (0 if right).
    """
    stream = a.shape[1]
    tiles = table.shape[0]
    rows, cols = acc.shape
    a_now = np.zeros((rows, cols + 1), a.dtype)  # a_now[r, c] is the wire into element (r, c)
    a_next = np.zeros((rows, cols + 1), a.dtype)
    b_now = np.zeros((rows + 1, cols), a.dtype)
    b_next = np.zeros((rows + 1, cols), a.dtype)
    row_tile = np.zeros(rows, np.int64)
    col_tile = np.zeros(cols, np.int64)
    bus_cycle = np.full(cols, -1, np.int64)
    oldest, a_reads, b_reads, writes, faults = 0, 0, 0, 0, 0
    for cycle in range(macs.shape[0]):
        for r in range(rows):  # the left edge
            tile = row_tile[r]
            if tile < tiles and cycle - table[tile, START] - r >= stream:
                tile += 1
                row_tile[r] = tile
            word = 0
            if tile < tiles:
                k = cycle - table[tile, START] - r
                if k >= 0 and r < table[tile, ROWS]:
                    word = a[table[tile, ROW0] + r, k] + 1 + 2 * (k == 0) + 4 * (k == stream - 1)
                    a_reads += a_cost[k]
            a_now[r, 0] = word
        for c in range(cols):  # the top edge
            tile = col_tile[c]
            if tile < tiles and cycle - table[tile, START] - c >= stream:
                tile += 1
                col_tile[c] = tile
            word = 0
            if tile < tiles:
                k = cycle - table[tile, START] - c
                if k >= 0 and c < table[tile, COLS]:
                    word = b[k, table[tile, COL0] + c] + 1
                    b_reads += 1
            b_now[0, c] = word
        busy = 0
        for r in range(rows):
            busy += _row(a_now[r], a_next[r], b_now[r], b_next[r + 1], acc[r], groups)
        macs[cycle] = busy
        while oldest < tiles and cycle - table[oldest, START] - (stream - 1) > rows + cols - 2:
            oldest += 1
        for tile in range(oldest, tiles):  # the result buses
            wave = cycle - table[tile, START] - (stream - 1)
            if wave < 0:
                break
            used_rows, used_cols = table[tile, ROWS], table[tile, COLS]
            for r in range(max(0, wave - used_cols + 1), min(used_rows, wave + 1)):
                c = wave - r
                faults += (a_now[r, c] & 4) == 0 or bus_cycle[c] == cycle
                bus_cycle[c] = cycle
                out[table[tile, ROW0] + r, table[tile, COL0] + c] = acc[r, c]
                writes += 1
        a_now, a_next = a_next, a_now
        b_now, b_next = b_next, b_now
    return a_reads, b_reads, writes, faults


@njit(inner=True)
def _row(
    a_in: AnyInts, a_out: AnyInts, b_in: AnyInts, b_out: AnyInts, acc: AnyInts, groups: AnyInts | None
) -> int:
    """One row of elements for one cycle; returns how many multiplied two real operands."""
    busy = 0
    for c in range(acc.shape[0]):
        left, top = a_in[c], b_in[c]
        kept = 0 if left & 2 else acc[c]
        if groups is None:
            acc[c] = kept + (left >> DENSE_SHIFT) * (top >> DENSE_SHIFT)
        else:
            chosen = groups[left >> NM_SHIFT, (top >> DENSE_SHIFT) & INDEX_MASK]
            acc[c] = kept + chosen * (top >> NM_SHIFT)
        a_out[c + 1] = left
        b_out[c] = top
        busy += left & top & 1
    return busy
