"""Every register of an output-stationary array, every cycle, as waves: what to hold beside the RTL's.

The array of `einsim.sim.arrays.step_output`, tile by tile: A's row r and B's column c reach element (r, c)
r + c cycles after the tile's start; their products add up in an accumulator that the first one clears.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from einsim.sim.arrays.gemm import ArraySpec, Gemm
from einsim.sim.arrays.schedule import COL0, COLS, ROW0, ROWS, START, schedule
from einsim.sim.arrays.systolic import elapsed
from einsim.sim.trace.vcd import PS_PER_CYCLE, Signal, write_vcd
from einsim.specs.arrays import Ints
from einsim.specs.errors import RuleError

MOST_SAMPLES: Final = 4_000_000  # element-cycles; about 100 MB of waves
OPERAND_BITS, ACCUMULATOR_BITS = 28, 32  # as in `einsim.sim.arrays.stepped`


def write_array_waves(spec: ArraySpec, a: Ints, b: Ints, path: Path) -> None:
    """Write out = a @ b, a [m, k] and b [k, n], as a VCD with a scope for each element that is used.

    RuleError for another dataflow than output-stationary or for more than MOST_SAMPLES element-cycles.
    """
    gemm = Gemm(m=a.shape[0], n=b.shape[1], k=a.shape[1])
    cycles = elapsed(spec, gemm)
    rows, cols = min(spec.rows, gemm.m), min(spec.cols, gemm.n)
    if spec.dataflow != "output-stationary":
        raise RuleError(
            "waves of an array are for output-stationary ones", got=spec.dataflow, at=("dataflow",)
        )
    if rows * cols * cycles > MOST_SAMPLES:
        rule = f"waves hold at most {MOST_SAMPLES} element-cycles; choose a smaller product"
        raise RuleError(rule, got=rows * cols * cycles)
    left, top, real, sums = registers(spec, a, b)
    signals = [Signal(scope=("array",), name="cycle", bits=32, changes=_changes(np.arange(cycles)))]
    for r in range(rows):
        for c in range(cols):
            scope = ("array", f"row_{r}", f"col_{c}")
            for name, bits, values in (
                ("a", OPERAND_BITS, left),
                ("b", OPERAND_BITS, top),
                ("real", 1, real),
                ("sum", ACCUMULATOR_BITS, sums),
            ):
                signals.append(Signal(scope=scope, name=name, bits=bits, changes=_changes(values[:, r, c])))
    title = f"{gemm.m} x {gemm.n} x {gemm.k} on {spec.rows} x {spec.cols}, {spec.convention}"
    write_vcd(signals, path, end=cycles * PS_PER_CYCLE, comment=title)


def registers(spec: ArraySpec, a: Ints, b: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """(a, b, real, sum) of every element in every cycle, int64 [cycles, rows, cols] of the used elements.

    a and b are on the element's input wires, `real` says that both belong to the matrices, sum is the
    accumulator after the cycle, without wrapping.
    """
    gemm = Gemm(m=a.shape[0], n=b.shape[1], k=a.shape[1])
    table = schedule(spec, gemm)
    cycles = elapsed(spec, gemm)
    rows, cols = min(spec.rows, gemm.m), min(spec.cols, gemm.n)
    whole = np.zeros((4, cycles + rows + cols, rows, cols), np.int64)
    left, top, real, sums = whole
    for tile in table:
        for r, c in np.ndindex(rows, cols):
            at = slice(tile[START] + r + c, tile[START] + r + c + gemm.k)
            if c < tile[COLS]:
                top[at, r, c] = b[:, tile[COL0] + c]
            if r < tile[ROWS]:
                left[at, r, c], real[at, r, c] = a[tile[ROW0] + r], c < tile[COLS]
                sums[at, r, c] = np.cumsum(left[at, r, c] * top[at, r, c])
                sums[at.stop :, r, c] = sums[at.stop - 1, r, c]
    return left[:cycles], top[:cycles], real[:cycles], sums[:cycles]


def _changes(values: Ints) -> tuple[tuple[int, int], ...]:
    """(ps, value) where a value differs from the cycle before."""
    kept = np.flatnonzero(np.diff(values, prepend=values[0] + 1))
    return tuple((int(cycle) * PS_PER_CYCLE, int(values[cycle])) for cycle in kept)
