"""RMSNorm over rows of FP16 as data: a block a row, which its threads keep in registers."""

from __future__ import annotations

from collections.abc import Sequence

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, even, in_warps
from einsim.sim.gpu.kernels.decode import H200_SMS as SMS

FAMILY = "rmsnorm"
THREADS = 256
PIECE = 8  # values of 16 bytes
REGISTERS = {1: 32, 2: 32, 4: 32, 8: 48}  # by the pieces that a thread keeps; ptxas, sm_90a
COLUMNS = max(REGISTERS) * THREADS * PIECE  # at most


def pieces(columns: int) -> int:
    """The 16-byte pieces that a thread keeps: a power of two that holds the row."""
    return next((count for count in REGISTERS if count * THREADS * PIECE >= columns), max(REGISTERS))


def launch(rows: int, columns: int) -> Launch:
    """One launch as data; a step is one piece of every thread. By SASS: 77 instructions a piece, 24 of them
    on the FMA pipe, and 158 beside; 27 and 8 of them also where a thread has no piece (it adds zeros).
    """
    count = pieces(columns)
    moved, active = ceil_div(columns * 2, count), ceil_div(in_warps(columns // PIECE), count)
    return Launch(
        kernel="rmsnorm16",
        runs=even(rows, count),
        threads=THREADS,
        registers=REGISTERS[count],
        shared_bytes=THREADS // 32 * 4,
        bytes_in_flight=16 * count,
        tile={"d": THREADS * PIECE},
        step=Work(
            fma_ops=8 * THREADS + 16 * active,
            alu_ops=19 * THREADS + 34 * active,
            shared_read_bytes=moved,  # the weights, from L1; once an SM from L2
            global_read_bytes=moved + ceil_div(min(rows, SMS) * moved, rows),
            global_write_bytes=moved,
        ),
        epilogue=Work(
            alu_ops=158 * THREADS, shared_write_bytes=32, shared_read_bytes=THREADS * 4, barriers=1
        ),
        unique_read_bytes=(rows + 1) * columns * 2,
        unique_write_bytes=rows * columns * 2,
    )


def cases(shapes: Sequence[tuple[int, int]]) -> tuple[KernelCase, ...]:
    """Rows and columns."""
    return tuple(
        KernelCase(
            family=FAMILY, variant="kept", cascade="rmsnorm", sizes={"p": rows, "d": columns},
            launches=(launch(rows, columns),), useful_flops=4 * rows * columns, bits=16,
            summary="a block of 256 threads a row, read once",
        )
        for rows, columns in shapes
    )  # fmt: skip
