"""Softmax over rows of FP32 in pure numba: three passes, online (two passes), and online with the row kept
in shared memory.
"""

from __future__ import annotations

from functools import cache
from math import exp
from typing import Any

import numpy as np
from numba import cuda, float32

from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.kernels.row_reduction import THREADS
from einsim.validation.gpu.kernels.problem import Arena, Problem, relative_error, sample
from einsim.validation.gpu.kernels.row_reduction import block_max, block_sum

LOW = -1e30


@cache
def last_pass() -> Any:
    """Device function: Y = exp(X - high) * inverse over one row, four values at a time."""

    @cuda.jit(device=True, fastmath=True)
    def write(x, y, row, columns, high, inverse):  # type: ignore[no-untyped-def]
        m = cuda.threadIdx.x
        while m + 3 * THREADS < columns:
            a, b, c, d = x[row, m], x[row, m + THREADS], x[row, m + 2 * THREADS], x[row, m + 3 * THREADS]
            y[row, m] = exp(a - high) * inverse
            y[row, m + THREADS] = exp(b - high) * inverse
            y[row, m + 2 * THREADS] = exp(c - high) * inverse
            y[row, m + 3 * THREADS] = exp(d - high) * inverse
            m += 4 * THREADS
        while m < columns:
            y[row, m] = exp(x[row, m] - high) * inverse
            m += THREADS

    return write


@cache
def three_pass() -> Any:
    """M = max, D = sum exp(X - M), Y = exp(X - M) / D: X is read three times."""
    total, top, write = block_sum(), block_max(), last_pass()

    @cuda.jit(fastmath=True)
    def kernel(x, y):  # type: ignore[no-untyped-def]
        scratch = cuda.shared.array(288, float32)
        row, columns = cuda.blockIdx.x, x.shape[1]
        high = float32(LOW)
        m = cuda.threadIdx.x
        while m + 3 * THREADS < columns:
            a, b, c, d = x[row, m], x[row, m + THREADS], x[row, m + 2 * THREADS], x[row, m + 3 * THREADS]
            high = max(high, max(max(a, b), max(c, d)))
            m += 4 * THREADS
        while m < columns:
            high = max(high, x[row, m])
            m += THREADS
        high = top(high, scratch)
        part = float32(0)
        m = cuda.threadIdx.x
        while m + 3 * THREADS < columns:
            a, b, c, d = x[row, m], x[row, m + THREADS], x[row, m + 2 * THREADS], x[row, m + 3 * THREADS]
            part += (exp(a - high) + exp(b - high)) + (exp(c - high) + exp(d - high))
            m += 4 * THREADS
        while m < columns:
            part += exp(x[row, m] - high)
            m += THREADS
        write(x, y, row, columns, high, float32(1) / total(part, scratch))

    return kernel


@cache
def online() -> Any:
    """The running maximum and sum in one pass, four values at a time, then the result: X is read twice."""
    total, top, write = block_sum(), block_max(), last_pass()

    @cuda.jit(fastmath=True)
    def kernel(x, y):  # type: ignore[no-untyped-def]
        scratch = cuda.shared.array(288, float32)
        row, columns = cuda.blockIdx.x, x.shape[1]
        high, part = float32(LOW), float32(0)
        m = cuda.threadIdx.x
        while m + 3 * THREADS < columns:
            a, b, c, d = x[row, m], x[row, m + THREADS], x[row, m + 2 * THREADS], x[row, m + 3 * THREADS]
            new = max(high, max(max(a, b), max(c, d)))
            part = part * exp(high - new) + (exp(a - new) + exp(b - new)) + (exp(c - new) + exp(d - new))
            high = new
            m += 4 * THREADS
        while m < columns:
            a = x[row, m]
            new = max(high, a)
            part = part * exp(high - new) + exp(a - new)
            high = new
            m += THREADS
        whole = top(high, scratch)
        write(x, y, row, columns, whole, float32(1) / total(part * exp(high - whole), scratch))

    return kernel


@cache
def resident() -> Any:
    """Online with the row kept in dynamic shared memory: X is read once."""
    total, top = block_sum(), block_max()

    @cuda.jit(fastmath=True)
    def kernel(x, y):  # type: ignore[no-untyped-def]
        scratch = cuda.shared.array(288, float32)
        kept = cuda.shared.array(0, float32)
        row, columns = cuda.blockIdx.x, x.shape[1]
        high = float32(LOW)
        m = cuda.threadIdx.x
        while m + 3 * THREADS < columns:
            a, b, c, d = x[row, m], x[row, m + THREADS], x[row, m + 2 * THREADS], x[row, m + 3 * THREADS]
            kept[m] = a
            kept[m + THREADS] = b
            kept[m + 2 * THREADS] = c
            kept[m + 3 * THREADS] = d
            high = max(high, max(max(a, b), max(c, d)))
            m += 4 * THREADS
        while m < columns:
            a = x[row, m]
            kept[m] = a
            high = max(high, a)
            m += THREADS
        high = top(high, scratch)
        part = float32(0)
        for m in range(cuda.threadIdx.x, columns, THREADS):
            a = exp(kept[m] - high)
            kept[m] = a
            part += a
        inverse = float32(1) / total(part, scratch)
        for m in range(cuda.threadIdx.x, columns, THREADS):
            y[row, m] = kept[m] * inverse

    return kernel


KERNELS = {"3-pass": three_pass, "online": online, "resident": resident}


def softmax_f64(x: Any) -> Any:
    """Row softmax in float64."""
    x = x.astype(np.float64)
    weights = np.exp(x - x.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    rows, columns = case.sizes["p"], case.sizes["m"]
    x, y = arena.normal((rows, columns), "float32", 2.0), arena.output((rows, columns), "float32")
    compiled = KERNELS[case.variant]()
    dynamic = columns * 4 if case.variant == "resident" else 0

    def check() -> float:
        got, picks = y.copy_to_host(), sample(64, rows, 1)
        if np.isnan(got).any():
            return float("nan")
        return relative_error(got[picks], softmax_f64(x.copy_to_host()[picks]))

    def vendor() -> Any:
        import torch

        tx = torch.as_tensor(x, device="cuda")
        return lambda: torch.softmax(tx, dim=1)

    return Problem(
        launch=lambda stream: compiled[rows, THREADS, stream, dynamic](x, y),
        check=check,
        vendor=vendor,
        compiled=(compiled,),
    )
