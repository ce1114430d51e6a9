"""Layer normalisation over rows of FP32 as data: mean then variance (three reads), or both sums at once (two
reads).
"""

from __future__ import annotations

from collections.abc import Sequence

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, even
from einsim.sim.gpu.kernels.row_reduction import MERGE, SHARED_BYTES, THREADS, rounds, setup

FAMILY = "layernorm"
REGISTERS = {"two-pass": 40, "one-pass": 42}  # ptxas, sm_90a
# per value: reads of X, FMA-pipe operations, and everything else that is issued. By SASS (sm_90a): numba's
# indices are 64-bit and may be negative, and their arithmetic is most of it.
COSTS = {"two-pass": (3, 6, 57), "one-pass": (2, 6, 44)}


def launch(variant: str, rows: int, columns: int) -> Launch:
    """A block a row; a step is one value of every thread in every pass. Scale and bias come once a value,
    from L2.
    """
    reads, fma, alu = COSTS[variant]
    return Launch(
        kernel=f"layernorm_{variant}",
        runs=even(rows, ceil_div(columns, THREADS)),
        threads=THREADS,
        registers=REGISTERS[variant],
        shared_bytes=SHARED_BYTES,
        bytes_in_flight=16,
        # In the last pass a store may alias scale and bias, whose loads then wait for it: five waits a
        # round, not one.
        waits=(rounds(columns), (reads - 2 + 5) * rounds(columns)),
        shared_reads=2 * columns * 4,
        # of those, scale's and bias's: one for each of the four values, or for a single one
        shared_waits=4 * (columns // (4 * THREADS)) + ceil_div(columns % (4 * THREADS), THREADS),
        tile={"m": THREADS, "passes": reads},
        step=Work(
            fma_ops=fma * THREADS,
            alu_ops=alu * THREADS,
            global_read_bytes=(reads + 2) * THREADS * 4,
            global_write_bytes=THREADS * 4,
        ),
        prologue=setup(reads, columns),
        epilogue=MERGE + MERGE,
        unique_read_bytes=(rows + 2) * columns * 4,
        unique_write_bytes=rows * columns * 4,
    )


def cases(shapes: Sequence[tuple[int, int]]) -> tuple[KernelCase, ...]:
    """Every variant on every shape."""
    return tuple(
        KernelCase(
            family=FAMILY, variant=variant, cascade="layernorm", sizes={"p": rows, "m": columns},
            launches=(launch(variant, rows, columns),), useful_flops=8 * rows * columns, bits=32,
            summary="a block of 256 threads a row",
        )
        for variant in COSTS
        for rows, columns in shapes
    )  # fmt: skip
