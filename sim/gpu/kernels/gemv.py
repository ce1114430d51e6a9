"""FP16 matrix times vector as data, y[n] = W[n,k] x[k]: a warp a row, or a block a row."""

from __future__ import annotations

from collections.abc import Sequence

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, even, in_warps
from einsim.sim.gpu.kernels.decode import H200_SMS as SMS

FAMILY = "gemv"
THREADS, UNROLL = 256, 4
SPANS = {"warp-a-row": 32, "block-a-row": THREADS}  # threads that share a row
REGISTERS = 32  # ptxas, sm_90a


def launch(span: int, n: int, k: int) -> Launch:
    """One launch as data. By SASS: 153 instructions for four pieces of a thread, 32 on the FMA pipe; a warp
    passes over pieces that a row doesn't have. The vector comes from L1 again for every row.
    """
    rows = THREADS // span
    piece = span * UNROLL * 8  # values of a row in one step
    steps = ceil_div(k, piece)
    active = ceil_div(rows * in_warps(k // 8), steps)  # pieces of 8 values in a step
    vector = ceil_div(min(ceil_div(n, rows), SMS) * k * 2, ceil_div(n, rows))  # a block's part of it
    return Launch(
        kernel="gemv",
        runs=even(ceil_div(n, rows), steps),
        threads=THREADS,
        registers=REGISTERS,
        shared_bytes=THREADS // 32 * 4 if span > 32 else 0,
        bytes_in_flight=16 * UNROLL,
        tile={"n": rows, "k": piece},
        step=Work(
            fma_ops=8 * active,
            alu_ops=27 * active + 13 * THREADS,
            shared_read_bytes=ceil_div(rows * k * 2, steps),
            global_read_bytes=ceil_div(rows * k * 2 + vector, steps),
        ),
        epilogue=Work(
            alu_ops=44 * THREADS,
            shared_write_bytes=32 if span > 32 else 0,
            shared_read_bytes=THREADS * 4 if span > 32 else 0,
            global_write_bytes=rows * 2,
            barriers=int(span > 32),
        ),
        unique_read_bytes=(n + 1) * k * 2,
        unique_write_bytes=n * 2,
    )


def cases(shapes: Sequence[tuple[int, int]]) -> tuple[KernelCase, ...]:
    """Every variant on every shape: rows, columns."""
    return tuple(
        KernelCase(
            family=FAMILY, variant=variant, cascade="gemv", sizes={"n": n, "k": k},
            launches=(launch(span, n, k),), useful_flops=2 * n * k, bits=16,
            summary="16-byte loads, four in flight a thread",
        )
        for variant, span in SPANS.items()
        for n, k in shapes
    )  # fmt: skip
