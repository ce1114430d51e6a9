"""Row reductions shared by reduction, softmax and layernorm: a block a row, partial results merged through
shared memory.

Two barriers: every thread leaves its partial, 32 threads add eight each, all read the 32 sums. It runs in
numba's simulator too.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from numba import cuda

from einsim.validation.gpu.case import Work, ceil_div

THREADS = 256
SHARED_BYTES = (THREADS + 32) * 4
# The 32 sums are read by everyone as eight broadcasts of 16 bytes, each of which takes a warp one wavefront
# of 128 bytes.
MERGE = Work(
    alu_ops=THREADS * (1 + 32 + 8) + 32 * 8,
    shared_write_bytes=THREADS * 4 + 32 * 4,
    shared_read_bytes=THREADS * 4 + THREADS // 32 * 8 * 128,
    barriers=3,
)


def setup(passes: int, columns: int) -> Work:
    """What every thread issues once a row beside its loops' bodies.

    As counted by ncu on an H100: 40 instructions at the start and 40 for the loop of every pass. Threads that
    four loads at a time don't serve to the end take single values: 8 more for each, and 40 to get there if
    they were in the first loop.
    """
    rest = columns % (4 * THREADS)
    once_more = max(0, rest - 3 * THREADS)  # threads for which the rest is four values
    share = 1.0 - once_more / THREADS if rest else 0.0
    singles = 3 if once_more else ceil_div(rest, THREADS)
    tail = share * passes * (8 * singles + (40 if columns > rest or once_more else 0))
    return Work(alu_ops=round(THREADS * (40 + 40 * passes + tail)))


def rounds(columns: int) -> int:
    """How often a thread waits in one pass over a row: four loads at a time, then one."""
    return columns // (4 * THREADS) + ceil_div(columns % (4 * THREADS), THREADS)


@cache
def block_sum() -> Any:
    """Device function (value, scratch[288]) -> the sum over the block, to every thread."""

    @cuda.jit(device=True)
    def merge(value, scratch):  # type: ignore[no-untyped-def]
        tid = cuda.threadIdx.x
        cuda.syncthreads()
        scratch[tid] = value
        cuda.syncthreads()
        if tid < 32:
            part = scratch[tid]
            for i in range(1, 8):
                part += scratch[tid + 32 * i]
            scratch[256 + tid] = part
        cuda.syncthreads()
        total = scratch[256]
        for i in range(1, 32):
            total += scratch[256 + i]
        return total

    return merge


@cache
def block_max() -> Any:
    """Device function (value, scratch[288]) -> the maximum over the block, to every thread."""

    @cuda.jit(device=True)
    def merge(value, scratch):  # type: ignore[no-untyped-def]
        tid = cuda.threadIdx.x
        cuda.syncthreads()
        scratch[tid] = value
        cuda.syncthreads()
        if tid < 32:
            part = scratch[tid]
            for i in range(1, 8):
                part = max(part, scratch[tid + 32 * i])
            scratch[256 + tid] = part
        cuda.syncthreads()
        top = scratch[256]
        for i in range(1, 32):
            top = max(top, scratch[256 + i])
        return top

    return merge
