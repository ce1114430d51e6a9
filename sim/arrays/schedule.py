"""When each tile of a GEMM enters the array: the control that the RTL's sequencer has, as plain arrays."""

from __future__ import annotations

from typing import Final

import numpy as np

from einsim.dataflow.array_time import LEAD_CYCLES, TAIL_CYCLES
from einsim.sim.arrays.gemm import ArraySpec, Gemm, fold
from einsim.specs.arrays import Ints

Table = Ints  # one row a tile, columns as named below

# Columns of the table, one row a tile in the order in which the array runs them.
ROW0: Final = 0  # first index along the rows that this tile covers
ROWS: Final = 1  # rows that it uses
COL0: Final = 2  # first index along the columns
COLS: Final = 3  # columns that it uses
LOAD: Final = 4  # cycle in which its first stationary operand is written (stationary dataflows)
START: Final = 5  # cycle in which its first streamed operand enters its first row
SKIP: Final = 6  # rows of the array above its first row; its last row is then the array's last
WIDTH: Final = 7


def schedule(spec: ArraySpec, gemm: Gemm) -> Table:
    """One row a tile, columns as named above, int64 of shape (tiles, 7).

    Order: output-stationary, column tiles inside row tiles; stationary, row tiles (partial sums of one
    output) inside column tiles. An edge-aware stationary tile stands on the array's last rows, so that
    its sums leave from the last row without passing unused elements; elsewhere tiles start at row 0.
    """
    laid = fold(spec, gemm)
    table = np.zeros((laid.count, WIDTH), np.int64)
    index = np.arange(laid.count)
    if spec.stationary:
        col_tile, row_tile = np.divmod(index, laid.row_tiles)
    else:
        row_tile, col_tile = np.divmod(index, laid.col_tiles)
    table[:, ROW0], table[:, COL0] = row_tile * spec.rows, col_tile * spec.cols
    table[:, ROWS] = np.minimum(spec.rows, laid.along_rows - table[:, ROW0])
    table[:, COLS] = np.minimum(spec.cols, laid.along_cols - table[:, COL0])
    edge = spec.convention == "edge-aware"
    rows, cols = (table[:, ROWS], table[:, COLS]) if edge else (spec.rows + 0 * index, spec.cols)
    load = rows * spec.stationary
    if spec.convention == "overlapped":
        table[:, START] = load + index * max(laid.stream, spec.rows)
        table[1:, LOAD] = table[:-1, START]
        return table
    times = load + rows + cols + laid.stream - 2 + edge * (LEAD_CYCLES + TAIL_CYCLES)
    table[:, LOAD] = np.cumsum(times) - times + edge * LEAD_CYCLES
    table[:, START] = table[:, LOAD] + load
    table[:, SKIP] = edge * spec.stationary * (spec.rows - rows)
    return table
