"""Rotary position embedding of FP16 heads by linked CUDA C++; pairs are halves of a head apart."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels.rope import THREADS
from einsim.validation.gpu.kernels.linked import device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address, relative_error, sample

TYPES = "uint64,uint64,uint64,uint64,int32,int64"
BASE = 10000.0  # of the angles' frequencies


@cache
def kernel(dim: int) -> Any:
    """The compiled numba kernel (needs a GPU)."""
    from numba import cuda

    block = device_function("rows_f16", "rope16", TYPES, (("THREADS", THREADS), ("D", dim)))

    @cuda.jit(f"void({TYPES})", launch_bounds=THREADS)
    def rope(x, cosines, sines, y, heads, pieces):  # type: ignore[no-untyped-def]
        block(x, cosines, sines, y, heads, pieces)

    return rope


def angles(tokens: int, dim: int) -> Any:
    """Of each token and pair, in float64."""
    return np.arange(tokens)[:, None] * BASE ** (-np.arange(0, dim, 2) / dim)


def rope_f64(x: Any, turned: Any) -> Any:
    """Of heads [tokens][heads][dim] by the angles of their tokens, in float64."""
    first, second = np.split(x.astype(np.float64), 2, axis=-1)
    cos, sin = np.cos(turned)[:, None, :], np.sin(turned)[:, None, :]
    return np.concatenate((first * cos - second * sin, second * cos + first * sin), axis=-1)


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    tokens, heads, dim = (case.sizes[rank] for rank in ("p", "h", "e"))
    turned = angles(tokens, dim)
    cosines, sines = (arena.put(f(turned).astype(np.float32)) for f in (np.cos, np.sin))
    x, y = arena.normal((tokens, heads, dim), "float16"), arena.output((tokens, heads, dim), "float16")
    compiled, pieces = kernel(dim), tokens * heads * dim // 16

    def check() -> float:
        got, some = y.copy_to_host(), sample(64, tokens, 1)
        if np.isnan(got).any():
            return float("nan")
        return relative_error(got[some], rope_f64(x.copy_to_host()[some], turned[some]))

    return Problem(
        launch=lambda stream: compiled[ceil_div(pieces, THREADS), THREADS, stream](
            address(x), address(cosines), address(sines), address(y), heads, pieces
        ),
        check=check,
        compiled=(compiled,),
    )
