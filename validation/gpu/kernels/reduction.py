"""Sum reductions of FP32 in pure numba: every row of a matrix, and a whole vector in two launches."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float32

from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.kernels.row_reduction import THREADS
from einsim.validation.gpu.kernels.problem import Arena, Problem
from einsim.validation.gpu.kernels.row_reduction import block_sum


@cache
def sum_rows() -> Any:
    """Y[p] = sum over m of X[p, m], a block a row."""
    total = block_sum()

    @cuda.jit(fastmath=True)
    def kernel(x, y):  # type: ignore[no-untyped-def]
        scratch = cuda.shared.array(288, float32)
        row, columns = cuda.blockIdx.x, x.shape[1]
        part = float32(0)
        m = cuda.threadIdx.x
        while m + 3 * THREADS < columns:
            part += (x[row, m] + x[row, m + THREADS]) + (x[row, m + 2 * THREADS] + x[row, m + 3 * THREADS])
            m += 4 * THREADS
        while m < columns:
            part += x[row, m]
            m += THREADS
        part = total(part, scratch)
        if cuda.threadIdx.x == 0:
            y[row] = part

    return kernel


@cache
def sum_stripes() -> Any:
    """y[block] = the sum of the block's grid-strided share of a vector."""
    total = block_sum()

    @cuda.jit(fastmath=True)
    def kernel(x, y):  # type: ignore[no-untyped-def]
        scratch = cuda.shared.array(288, float32)
        part = float32(0)
        m, step = cuda.blockIdx.x * 4 * THREADS + cuda.threadIdx.x, cuda.gridDim.x * 4 * THREADS
        while m + 3 * THREADS < x.size:
            part += (x[m] + x[m + THREADS]) + (x[m + 2 * THREADS] + x[m + 3 * THREADS])
            m += step
        for i in range(4):
            if m + i * THREADS < x.size:
                part += x[m + i * THREADS]
        part = total(part, scratch)
        if cuda.threadIdx.x == 0:
            y[cuda.blockIdx.x] = part

    return kernel


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    rows, columns = case.sizes["p"], case.sizes["m"]
    if case.variant == "rows":
        x, y = arena.normal((rows, columns), "float32"), arena.output((rows,), "float32")
        compiled = sum_rows()

        def run(stream: Any) -> None:
            compiled[rows, THREADS, stream](x, y)
    else:
        x, y, blocks = (
            arena.normal((columns,), "float32"),
            arena.output((1,), "float32"),
            case.launches[0].grid,
        )
        part, compiled = arena.output((blocks,), "float32"), sum_stripes()

        def run(stream: Any) -> None:
            compiled[blocks, THREADS, stream](x, part)
            compiled[1, THREADS, stream](part, y)

    def check() -> float:
        """Against float64, relative to the sums of magnitudes (random signs nearly cancel)."""
        host = x.copy_to_host().reshape(rows, columns)
        want = host.sum(axis=1, dtype=np.float64)
        return float(np.abs(y.copy_to_host() - want).max() / np.abs(host).sum(axis=1, dtype=np.float64).max())

    def vendor() -> Any:
        import torch

        tx = torch.as_tensor(x, device="cuda")
        return (lambda: tx.sum(dim=1)) if case.variant == "rows" else tx.sum

    return Problem(launch=run, check=check, vendor=vendor, compiled=(compiled,))
