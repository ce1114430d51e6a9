"""Row reductions shared by reduction, softmax and layernorm: a block a row, partial results merged through
shared memory.

Two barriers: every thread leaves its partial, 32 threads add eight each, all read the 32 sums. It runs in
numba's simulator too.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from numba import cuda


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
