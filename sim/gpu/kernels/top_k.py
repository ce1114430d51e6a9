"""The k largest of every row of FP32 as data, in order: a block a row, which it keeps in shared memory."""

from __future__ import annotations

from collections.abc import Sequence

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, even

FAMILY = "top-k"
THREADS = 128
COLUMNS = 11264  # at most: 44 KiB of row and the scratch stay within the 48 KiB that need no opt-in
REGISTERS = 46  # ptxas, sm_90a
SCRATCH_BYTES = (2 * THREADS + 63) * 4
# of a thread, by SASS: instructions of a column that is read, of a value that is found (31 comparisons of 8,
# and 17 of each that a warp does once), and of a column that the owner of a found value reads again
COLUMN, FOUND, UNIFORM, AGAIN = 27, 403, 552, 17


def launch(rows: int, columns: int, k: int) -> Launch:
    """A step finds one value: a barrier, four entries a thread of one warp, a barrier, 32 entries by all of
    them, a barrier, and the owner's columns again.
    """
    own = ceil_div(columns, THREADS)
    return Launch(
        kernel="top_k",
        runs=even(rows, k),
        threads=THREADS,
        registers=REGISTERS,
        shared_bytes=columns * 4 + SCRATCH_BYTES,
        bytes_in_flight=4,
        waits=(own, 0),
        tile={"m": columns},
        prologue=Work(
            alu_ops=COLUMN * own * THREADS,
            shared_write_bytes=columns * 4,
            global_read_bytes=columns * 4,
        ),
        step=Work(
            alu_ops=(FOUND + AGAIN * own) * THREADS,  # the others wait for the owner
            uniform_ops=UNIFORM * THREADS,
            shared_write_bytes=8 * THREADS,
            shared_read_bytes=8 * THREADS + 2 * 31 * 128 * THREADS // 32 + own * 128,
            global_write_bytes=8,
            barriers=3,
        ),
        unique_read_bytes=rows * columns * 4,
        unique_write_bytes=rows * k * 8,
    )


def cases(shapes: Sequence[tuple[int, int, int]]) -> tuple[KernelCase, ...]:
    """Rows, columns, values of each."""
    return tuple(
        KernelCase(
            family=FAMILY, variant="kept", cascade="top-k", sizes={"p": rows, "m": columns, "k": k},
            launches=(launch(rows, columns, k),), useful_flops=rows * columns, bits=32,
            summary="a block of 128 threads a row, one value after the other",
        )
        for rows, columns, k in shapes
    )  # fmt: skip
