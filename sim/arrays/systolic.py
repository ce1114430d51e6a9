"""Closed forms of a systolic array: cycles and SRAM words of a whole GEMM, by named convention.

`einsim.dataflow.array_time` has the tile times by convention. Where they come from:

scale-sim and edge-aware: the tiles' times add up. SCALE-Sim 3.0 prints the index of the last cycle, so
`cycles` is one less than `elapsed` there.
edge-aware: STONNE's mesh (MICRO 2021 tool, output-stationary) takes K + r + c + 3 a tile, five cycles more
than the skew: here three before the first operand (request, memory read, operand register) and two after
the last (result register, handshake). That split, and the same five for a stationary operand, are assumed.
overlapped: a tile starts max(S, R) cycles after the one before. S because an operand port of the array
takes one word a cycle; R because (output-stationary) a column's result bus carries one result a cycle and
a tile brings R of them, or (stationary) a column's load bus brings the next tile's R operands to shadow
registers, one a cycle, while this tile streams. Hidden: all skew, drain and loading between tiles.
Exposed: the first load and the last tile's skew, R + C - 2.
"""

from __future__ import annotations

import msgspec

from einsim.dataflow.array_time import array_time
from einsim.sim.arrays.gemm import ArraySpec, Gemm, fold
from einsim.sim.arrays.words import a_cost


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """SRAM words that a GEMM moves at the array's edge.

    `a_reads` and `b_reads` are words of A and of B; with N:M, B's words are its kept slots and
    `index_reads` the indices that come with them. `writes` are words of the output: one for every partial
    sum that leaves the array (the output SRAM adds in place, as SCALE-Sim counts it).
    """

    a_reads: int
    b_reads: int
    index_reads: int
    writes: int


def elapsed(spec: ArraySpec, gemm: Gemm) -> int:
    """Clock cycles from the first operand (or overhead cycle) to the edge that stores the last result."""
    return array_time(spec.convention, fold(spec, gemm))


def cycles(spec: ArraySpec, gemm: Gemm) -> int:
    """Cycles as the convention reports them: `elapsed`, and one less in SCALE-Sim's."""
    return elapsed(spec, gemm) - (1 if spec.convention == "scale-sim" else 0)


def traffic(spec: ArraySpec, gemm: Gemm) -> Traffic:
    """SRAM words of the whole GEMM (SCALE-Sim 3.0's counts when dense).

    With N:M, A's port brings whole groups of m, so every value of A along k is read, and a group that two
    row tiles share is read by both. SCALE-Sim instead drops the pruned positions of A as well (its layer-wise
    pattern is the same in every column), which the scale-sim convention follows. SCALE-Sim 3.0.0's own report
    adds R + C idle slots a tile to the writes of output-stationary runs and counts A m / n times in sparse
    weight-stationary ones; these two are not followed.
    """
    laid = fold(spec, gemm)
    a_words = gemm.m * int(a_cost(spec, gemm).sum())
    b_words, out_words = gemm.slots * gemm.n, gemm.m * gemm.n
    if spec.dataflow == "output-stationary":
        a_times, b_times, out_times = laid.col_tiles, laid.row_tiles, 1
    elif spec.dataflow == "weight-stationary":
        a_times, b_times, out_times = laid.col_tiles, 1, laid.row_tiles
    else:
        a_times, b_times, out_times = 1, laid.col_tiles, laid.row_tiles
    return Traffic(
        a_reads=a_words * a_times,
        b_reads=b_words * b_times,
        index_reads=0 if gemm.nm is None else b_words * b_times,
        writes=out_words * out_times,
    )


def utilization(spec: ArraySpec, gemm: Gemm) -> float:
    """Multiplications over element-cycles, in (0, 1]."""
    return gemm.macs / (elapsed(spec, gemm) * spec.rows * spec.cols)
