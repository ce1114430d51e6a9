"""Layer normalisation over rows of FP32 in pure numba: mean then variance (three reads), or both sums at
once (two reads).
"""

from __future__ import annotations

from functools import cache
from math import sqrt
from typing import Any

import numpy as np
from numba import cuda, float32

from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.kernels.row_reduction import THREADS
from einsim.validation.gpu.kernels.problem import Arena, Problem, relative_error, sample
from einsim.validation.gpu.kernels.row_reduction import block_sum

EPSILON = 1e-5


@cache
def last_pass() -> Any:
    """Device function: Y = (X - mean) * inverse * scale + bias over one row, four values at a time."""

    @cuda.jit(device=True, fastmath=True)
    def write(x, scale, bias, y, row, columns, mean, inverse):  # type: ignore[no-untyped-def]
        m = cuda.threadIdx.x
        while m + 3 * THREADS < columns:
            a, b, c, d = x[row, m], x[row, m + THREADS], x[row, m + 2 * THREADS], x[row, m + 3 * THREADS]
            y[row, m] = (a - mean) * inverse * scale[m] + bias[m]
            y[row, m + THREADS] = (b - mean) * inverse * scale[m + THREADS] + bias[m + THREADS]
            y[row, m + 2 * THREADS] = (c - mean) * inverse * scale[m + 2 * THREADS] + bias[m + 2 * THREADS]
            y[row, m + 3 * THREADS] = (d - mean) * inverse * scale[m + 3 * THREADS] + bias[m + 3 * THREADS]
            m += 4 * THREADS
        while m < columns:
            y[row, m] = (x[row, m] - mean) * inverse * scale[m] + bias[m]
            m += THREADS

    return write


@cache
def two_pass() -> Any:
    """Mean, then the mean of squared distances, then the result."""
    total, write = block_sum(), last_pass()

    @cuda.jit(fastmath=True)
    def kernel(x, scale, bias, y):  # type: ignore[no-untyped-def]
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
        mean = total(part, scratch) / float32(columns)
        part = float32(0)
        m = cuda.threadIdx.x
        while m + 3 * THREADS < columns:
            a, b, c, d = (
                x[row, m] - mean,
                x[row, m + THREADS] - mean,
                x[row, m + 2 * THREADS] - mean,
                x[row, m + 3 * THREADS] - mean,
            )
            part += (a * a + b * b) + (c * c + d * d)
            m += 4 * THREADS
        while m < columns:
            a = x[row, m] - mean
            part += a * a
            m += THREADS
        inverse = float32(1) / sqrt(total(part, scratch) / float32(columns) + float32(EPSILON))
        write(x, scale, bias, y, row, columns, mean, inverse)

    return kernel


@cache
def one_pass() -> Any:
    """Sum and sum of squares together, then the result."""
    total, write = block_sum(), last_pass()

    @cuda.jit(fastmath=True)
    def kernel(x, scale, bias, y):  # type: ignore[no-untyped-def]
        scratch = cuda.shared.array(288, float32)
        row, columns = cuda.blockIdx.x, x.shape[1]
        part, squares = float32(0), float32(0)
        m = cuda.threadIdx.x
        while m + 3 * THREADS < columns:
            a, b, c, d = x[row, m], x[row, m + THREADS], x[row, m + 2 * THREADS], x[row, m + 3 * THREADS]
            part += (a + b) + (c + d)
            squares += (a * a + b * b) + (c * c + d * d)
            m += 4 * THREADS
        while m < columns:
            a = x[row, m]
            part += a
            squares += a * a
            m += THREADS
        mean = total(part, scratch) / float32(columns)
        variance = total(squares, scratch) / float32(columns) - mean * mean
        inverse = float32(1) / sqrt(variance + float32(EPSILON))
        write(x, scale, bias, y, row, columns, mean, inverse)

    return kernel


KERNELS = {"two-pass": two_pass, "one-pass": one_pass}


def layernorm_f64(x: Any, scale: Any, bias: Any) -> Any:
    """Row layer normalisation in float64."""
    x = x.astype(np.float64)
    return (x - x.mean(axis=1, keepdims=True)) / np.sqrt(
        x.var(axis=1, keepdims=True) + EPSILON
    ) * scale + bias


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    rows, columns = case.sizes["p"], case.sizes["m"]
    x, y = arena.normal((rows, columns), "float32", 3.0), arena.output((rows, columns), "float32")
    scale, bias = arena.normal((columns,), "float32"), arena.normal((columns,), "float32")
    compiled = KERNELS[case.variant]()

    def check() -> float:
        got, picks = y.copy_to_host(), sample(64, rows, 1)
        if np.isnan(got).any():
            return float("nan")
        return relative_error(
            got[picks], layernorm_f64(x.copy_to_host()[picks], scale.copy_to_host(), bias.copy_to_host())
        )

    def vendor() -> Any:
        import torch

        tx, ts, tb = (torch.as_tensor(array, device="cuda") for array in (x, scale, bias))
        return lambda: torch.nn.functional.layer_norm(tx, (columns,), ts, tb, EPSILON)

    return Problem(
        launch=lambda stream: compiled[rows, THREADS, stream](x, scale, bias, y),
        check=check,
        vendor=vendor,
        compiled=(compiled,),
    )
