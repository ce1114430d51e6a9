"""Systolic arrays, N:M chains and FuseMax's array: what the RTL of rtl_models takes, module by module.

Coefficients that are no bit count are LUTs of a module synthesised alone (validation/fpga/elements.csv).
Sizes are of `einsim.sim.arrays`: `bits` of an operand, `accumulator` bits of a sum, `group` the largest m
of the N:M patterns (1: dense).
"""

from __future__ import annotations

from typing import Final

from einsim.accel.fabric.elements import (
    SOFT_MULTIPLIER_LUTS,
    Take,
    and_or,
    check_bits,
    chosen_by_index,
    delay,
    index_bits,
    skew,
    uses_dsp,
)

SIZE_BITS: Final = 16
"""Problem sizes and counters of the sequencers."""
CASCADE_BITS: Final = 48
"""The cascade and the accumulator of a DSP48 (UG479)."""
SCORE_BITS: Final = 48
"""Scores, exponentials and sums of FuseMax's elements."""

OS_SEQUENCER: Final = Take(lut=236, ff=3 * SIZE_BITS + 2 + 1)
WS_SEQUENCER: Final = Take(lut=360, ff=5 * SIZE_BITS + 2 + 2)


def systolic_os(rows: int, cols: int, bits: int = 8, accumulator: int = 32, group: int = 1) -> Take:
    """Output-stationary: elements, skewed edges, and a column bus that one row at a time drives."""
    check_bits(bits)
    index = index_bits(group)
    a_word, b_word = group * bits + 3, bits + index + 1
    clears = accumulator + 1
    element = Take(
        lut=clears + chosen_by_index(group, bits), ff=accumulator + a_word + b_word, dsp=uses_dsp(bits)
    )
    if not uses_dsp(bits):
        element += Take(lut=SOFT_MULTIPLIER_LUTS[bits] + accumulator)
    masks = rows * (group * bits + 2) + cols * (bits + index)
    bus = cols * accumulator * and_or(rows) + 0.71 * rows * cols
    compares = 4.2 * (rows + cols) + 9
    edges = skew(rows, a_word) + skew(cols, b_word)
    return element * (rows * cols) + edges + OS_SEQUENCER + Take(lut=masks + bus + compares)


def systolic_ws(rows: int, cols: int, bits: int = 8, accumulator: int = 32, group: int = 1) -> Take:
    """Weight-stationary: elements with a shadow operand, taps that start a tile on a lower row, row loads."""
    check_bits(bits)
    index = index_bits(group)
    x_word, h_word = group * bits + 3, bits + index + 1
    held = bits + 1 + (index if group > 1 else 0)
    choosing = 0.0 if group == 1 else bits + 2.0 if group <= 4 else float(bits * (group - 1))
    element = Take(lut=bits + 3 + choosing, ff=2 * held + x_word + accumulator, dsp=uses_dsp(bits))
    if not uses_dsp(bits):
        element += Take(lut=SOFT_MULTIPLIER_LUTS[bits] + 2 * accumulator)
    taps = sum(and_or(row + 1) for row in range(1, rows)) * x_word
    masks = 1.23 * (rows * x_word + cols * (bits + index))
    compares = 8.7 * rows + 6.4 * cols + 55
    lines = skew(rows, x_word) + skew(cols, h_word + rows) + delay(cols * (rows - 1), 1) + skew(cols, 1)
    return element * (rows * cols) + lines + WS_SEQUENCER + Take(lut=taps + masks + compares)


def nm_chain(rows: int, cols: int, length: int, bits: int = 8) -> Take:
    """Rows x cols chains of `length` slices: a window of A, a pick of 8 and a delay of its position each."""
    check_bits(bits)
    chains = rows * cols
    element = Take(ff=1, dsp=1)
    if not uses_dsp(bits):
        element = Take(lut=CASCADE_BITS + SOFT_MULTIPLIER_LUTS[bits], ff=CASCADE_BITS + 4 * bits + 1)
    # The first two slices of a row see the same group in every mode; from the third on modes differ.
    windows = 7.55 * bits * rows * max(0, length - 2)
    picks = 5.2 * bits * chains * length + 4.55 * bits * chains
    total = Take(lut=CASCADE_BITS, ff=CASCADE_BITS) * chains
    tokens = delay(length + 2, 1 + chains)
    late = skew(length, 2 * bits + 1) * chains
    control = Take(lut=84.8 * (rows + cols) + 54, ff=4 * SIZE_BITS + 2)  # and the sequencer
    logic = Take(lut=windows + picks)
    return element * (chains * length) + total + tokens + late + control + logic


def fusemax_array(rows: int, cols: int, depth: int = 2, bits: int = 8, accumulator: int = 32) -> Take:
    """FuseMax's array with `depth` tiles in flight: elements, tokens that walk right, a maximum a column."""
    check_bits(bits)
    slot = index_bits(depth)
    sequencer = Take(
        lut=314 + 96 * (depth > 1) + 21.8 * depth,
        ff=114 + SIZE_BITS * (rows + cols > 2) + 32 * depth + 3 * slot + 2 * (depth > 1),
    )
    # A 48-bit operand is three DSP operands wide; exp's two products and the sum of exp * v have one.
    element = Take(
        lut=962 + 60 * (depth > 1) + 28.5 * depth,
        ff=depth * accumulator + bits + 3 * SCORE_BITS,
        dsp=uses_dsp(bits) + 9,
    )
    token = 2 * SIZE_BITS + 8 + slot
    column = Take(lut=SCORE_BITS * (3.14 + 1.63 * depth), ff=SCORE_BITS * (1 + depth) + 3)
    walk = Take(lut=14.1 * rows * cols, ff=rows * (cols - 1) * (token - 1) + slot)
    edges = skew(rows, bits) + skew(rows, token) + skew(cols, bits)
    return element * (rows * cols) + column * cols + walk + edges + sequencer
