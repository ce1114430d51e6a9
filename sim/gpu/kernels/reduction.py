"""Sum reductions of FP32 as data: every row of a matrix, and a whole vector in two launches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, even
from einsim.sim.gpu.kernels.row_reduction import MERGE, SHARED_BYTES, THREADS

FAMILY = "reduction"
REGISTERS = {"sum_rows": 32, "sum_stripes": 30}  # ptxas, sm_90a
SETUP = {"sum_rows": 44, "sum_stripes": 65}  # instructions a thread beside loop and merge, by ncu
BLOCKS = 1056  # of the vector's first launch: eight for each of 132 SMs


def pass_launch(kernel: str, blocks: int, values: int, reads: int) -> Launch:
    """`blocks` blocks that each sum `values` values; a step is four of every thread."""
    return Launch(
        kernel=kernel,
        runs=even(blocks, ceil_div(values, 4 * THREADS)),
        threads=THREADS,
        registers=REGISTERS[kernel],
        shared_bytes=SHARED_BYTES,
        bytes_in_flight=16,
        tile={"m": 4 * THREADS},
        step=Work(fma_ops=4 * THREADS, alu_ops=47 * THREADS, global_read_bytes=16 * THREADS),
        prologue=Work(alu_ops=SETUP[kernel] * THREADS),
        epilogue=MERGE + Work(global_write_bytes=4),
        unique_read_bytes=reads * 4,
        unique_write_bytes=blocks * 4,
    )


def cases(shapes: Mapping[str, Sequence[tuple[int, int]]]) -> tuple[KernelCase, ...]:
    """Every variant on its shapes."""

    def parts(variant: str, rows: int, columns: int) -> tuple[Launch, ...]:
        if variant == "rows":
            return (pass_launch("sum_rows", rows, columns, rows * columns),)
        blocks = min(BLOCKS, ceil_div(columns, 4 * THREADS))
        return (
            pass_launch("sum_stripes", blocks, ceil_div(columns, blocks), columns),
            pass_launch("sum_stripes", 1, blocks, blocks),
        )

    return tuple(
        KernelCase(
            family=FAMILY,
            variant=variant,
            cascade="reduction",
            sizes={"p": rows, "m": columns},
            launches=parts(variant, rows, columns),
            useful_flops=rows * columns,
            bits=32,
            summary="four loads in flight a thread",
        )
        for variant, shapes in shapes.items()
        for rows, columns in shapes
    )
