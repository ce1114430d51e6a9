"""Softmax over rows of FP32 as data: three passes, online (two passes), and online with the row kept in
shared memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, even
from einsim.sim.gpu.kernels.row_reduction import MERGE, SHARED_BYTES, THREADS, rounds, setup

FAMILY = "softmax"
REGISTERS = {"3-pass": 32, "online": 32, "resident": 31}  # ptxas, sm_90a
RESIDENT_COLUMNS = 11264  # 44 KiB of row and the scratch stay within the 48 KiB that need no opt-in
# per value: global reads, FMA-pipe operations (subtract, scale, add), exponentials, and everything else that
# is issued. By SASS (sm_90a): numba's indices are 64-bit and may be negative, and their arithmetic is most
# of it.
COSTS = {"3-pass": (3, 6, 2, 44), "online": (2, 8, 3, 31), "resident": (1, 4, 1, 55)}


def launch(variant: str, rows: int, columns: int) -> Launch:
    """A block a row; a step is one value of every thread in every pass."""
    reads, fma, sfu, alu = COSTS[variant]
    resident = columns * 4 if variant == "resident" else 0
    return Launch(
        kernel=f"softmax_{variant}",
        runs=even(rows, ceil_div(columns, THREADS)),
        threads=THREADS,
        registers=REGISTERS[variant],
        shared_bytes=SHARED_BYTES + resident,
        bytes_in_flight=16,
        waits=(rounds(columns), (reads - 1) * rounds(columns)),
        tile={"m": THREADS, "passes": reads},
        step=Work(
            fma_ops=fma * THREADS,
            sfu_ops=sfu * THREADS,
            alu_ops=alu * THREADS,
            shared_write_bytes=2 * THREADS * 4 if resident else 0,
            shared_read_bytes=2 * THREADS * 4 if resident else 0,
            global_read_bytes=reads * THREADS * 4,
            global_write_bytes=THREADS * 4,
        ),
        prologue=setup({"3-pass": 3, "online": 2, "resident": 3}[variant], columns),
        epilogue=MERGE + MERGE,
        unique_read_bytes=rows * columns * 4,
        unique_write_bytes=rows * columns * 4,
    )


def cases(shapes: Sequence[tuple[int, int]]) -> tuple[KernelCase, ...]:
    """Every variant on every shape, the resident one where a row fits."""
    return tuple(
        KernelCase(
            family=FAMILY,
            variant=variant,
            cascade="softmax",
            sizes={"p": rows, "m": columns},
            launches=(launch(variant, rows, columns),),
            useful_flops=5 * rows * columns,
            bits=32,
            summary="a block of 256 threads a row, four loads in flight a thread",
        )
        for variant in COSTS
        for rows, columns in shapes
        if variant != "resident" or columns <= RESIDENT_COLUMNS
    )
