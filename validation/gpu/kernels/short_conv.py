"""Causal depthwise convolution of a few taps over FP32 in pure numba, alone or between two gates; a thread a
channel and SPAN tokens. It runs in numba's simulator too.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float32

from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels.short_conv import SPAN, THREADS
from einsim.validation.gpu.kernels.problem import Arena, Problem, relative_error, sample


@cache
def plain(taps: int) -> Any:
    """y[b,p,d] = sum over r of w[d,r] x[b,p-r,d], four tokens' loads in flight; taps: 1 to 4."""

    @cuda.jit(fastmath=True)
    def kernel(x, w, y):  # type: ignore[no-untyped-def]
        c, first, b = cuda.blockIdx.x * THREADS + cuda.threadIdx.x, cuda.blockIdx.y * SPAN, cuda.blockIdx.z
        if c < x.shape[2]:
            w0 = w[c, 0]
            w1 = w[c, 1] if taps > 1 else float32(0)
            w2 = w[c, 2] if taps > 2 else float32(0)
            w3 = w[c, 3] if taps > 3 else float32(0)
            one = x[b, first - 1, c] if first > 0 else float32(0)
            two = x[b, first - 2, c] if first > 0 else float32(0)
            three = x[b, first - 3, c] if first > 0 else float32(0)
            p, last = first, min(first + SPAN, x.shape[1])
            while p + 3 < last:
                s, t, u, v = x[b, p, c], x[b, p + 1, c], x[b, p + 2, c], x[b, p + 3, c]
                y[b, p, c] = w0 * s + w1 * one + w2 * two + w3 * three
                y[b, p + 1, c] = w0 * t + w1 * s + w2 * one + w3 * two
                y[b, p + 2, c] = w0 * u + w1 * t + w2 * s + w3 * one
                y[b, p + 3, c] = w0 * v + w1 * u + w2 * t + w3 * s
                one, two, three = v, u, t
                p += 4
            while p < last:
                s = x[b, p, c]
                y[b, p, c] = w0 * s + w1 * one + w2 * two + w3 * three
                one, two, three = s, one, two
                p += 1

    return kernel


@cache
def gated(taps: int) -> Any:
    """The same of x * before, and its result times after."""

    @cuda.jit(fastmath=True)
    def kernel(before, x, after, w, y):  # type: ignore[no-untyped-def]
        c, first, b = cuda.blockIdx.x * THREADS + cuda.threadIdx.x, cuda.blockIdx.y * SPAN, cuda.blockIdx.z
        if c < x.shape[2]:
            w0 = w[c, 0]
            w1 = w[c, 1] if taps > 1 else float32(0)
            w2 = w[c, 2] if taps > 2 else float32(0)
            w3 = w[c, 3] if taps > 3 else float32(0)
            one = x[b, first - 1, c] * before[b, first - 1, c] if first > 0 else float32(0)
            two = x[b, first - 2, c] * before[b, first - 2, c] if first > 0 else float32(0)
            three = x[b, first - 3, c] * before[b, first - 3, c] if first > 0 else float32(0)
            p, last = first, min(first + SPAN, x.shape[1])
            while p + 1 < last:
                s, t = x[b, p, c], x[b, p + 1, c]
                i, j = before[b, p, c], before[b, p + 1, c]
                m, n = after[b, p, c], after[b, p + 1, c]
                s *= i
                t *= j
                y[b, p, c] = (w0 * s + w1 * one + w2 * two + w3 * three) * m
                y[b, p + 1, c] = (w0 * t + w1 * s + w2 * one + w3 * two) * n
                one, two, three = t, s, one
                p += 2
            while p < last:
                s = x[b, p, c] * before[b, p, c]
                y[b, p, c] = (w0 * s + w1 * one + w2 * two + w3 * three) * after[b, p, c]
                one, two, three = s, one, two
                p += 1

    return kernel


def short_conv_f64(x: Any, w: Any, before: Any = None, after: Any = None) -> Any:
    """Of x [b][p][d] with taps w [d][r] in float64."""
    x = x.astype(np.float64) * (1.0 if before is None else before.astype(np.float64))
    y = np.zeros_like(x)
    for r in range(w.shape[1]):
        y[:, r:] += x[:, : x.shape[1] - r] * w[:, r].astype(np.float64)
    return y if after is None else y * after.astype(np.float64)


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    batch, tokens, channels, taps = (case.sizes[rank] for rank in "bpdr")
    inside = case.variant == "gated"
    x, w = arena.normal((batch, tokens, channels), "float32"), arena.normal((channels, taps), "float32")
    gates = tuple(arena.normal((batch, tokens, channels), "float32") for _ in range(2 * inside))
    y = arena.output((batch, tokens, channels), "float32")
    compiled = gated(taps) if inside else plain(taps)
    arrays = (gates[0], x, gates[1], w, y) if inside else (x, w, y)
    grid = ceil_div(channels, THREADS), ceil_div(tokens, SPAN), batch

    def check() -> float:
        got, some = y.copy_to_host(), sample(16, channels, 1)
        if np.isnan(got).any():
            return float("nan")
        hosts = [array.copy_to_host()[:, :, some] for array in (x, *gates)]
        return relative_error(got[:, :, some], short_conv_f64(hosts[0], w.copy_to_host()[some], *hosts[1:]))

    def vendor() -> Any:
        import torch

        if inside:
            return None
        tx = torch.as_tensor(x, device="cuda").transpose(1, 2).contiguous()
        tw = torch.as_tensor(w, device="cuda").flip(1)[:, None, :].contiguous()
        return lambda: torch.nn.functional.conv1d(tx, tw, padding=taps - 1, groups=channels)

    return Problem(
        launch=lambda stream: compiled[grid, THREADS, stream](*arrays),
        check=check,
        vendor=vendor,
        compiled=(compiled,),
    )
