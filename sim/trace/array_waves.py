"""Every register of an output-stationary array, every cycle, as waves: what to hold beside the RTL's.

The same array as `einsim.sim.arrays.step_output`, stepped whole rows and columns at a time in numpy: row r's
operands enter r cycles late, column c's c cycles late; each element forwards A to its right and B below
through one register each and adds their product to its accumulator, which a tile's first operands clear.
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
    # What stands at the edges: value and one bit (real) of A, with first; value and one bit of B.
    west = np.zeros((3, cycles, rows), np.int64)
    north = np.zeros((2, cycles, cols), np.int64)
    for tile in table:
        for r in range(tile[ROWS]):
            at = slice(tile[START] + r, tile[START] + r + gemm.k)
            west[0, at, r], west[1, at, r] = a[tile[ROW0] + r], 1
            west[2, tile[START] + r, r] = 1
        for c in range(tile[COLS]):
            at = slice(tile[START] + c, tile[START] + c + gemm.k)
            north[0, at, c], north[1, at, c] = b[:, tile[COL0] + c], 1
    out = np.zeros((4, cycles, rows, cols), np.int64)
    across = np.zeros((3, rows, cols), np.int64)
    down = np.zeros((2, rows, cols), np.int64)
    total = np.zeros((rows, cols), np.int64)
    for cycle in range(cycles):
        across[:, :, 1:] = across[:, :, :-1].copy()
        down[:, 1:, :] = down[:, :-1, :].copy()
        across[:, :, 0], down[:, 0, :] = west[:, cycle], north[:, cycle]
        total = np.where(across[2] == 1, 0, total) + across[0] * down[0]
        out[0, cycle], out[1, cycle] = across[0], down[0]
        out[2, cycle], out[3, cycle] = across[1] & down[1], total
    return out[0], out[1], out[2], out[3]


def _changes(values: Ints) -> tuple[tuple[int, int], ...]:
    """(ps, value) where a value differs from the cycle before."""
    kept = np.flatnonzero(np.diff(values, prepend=values[0] + 1))
    return tuple((int(cycle) * PS_PER_CYCLE, int(values[cycle])) for cycle in kept)
