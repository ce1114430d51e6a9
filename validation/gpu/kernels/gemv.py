"""FP16 matrix times vector by linked CUDA C++, y[n] = W[n,k] x[k]."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels.gemv import SPANS, THREADS, UNROLL
from einsim.validation.gpu.kernels.linked import device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address, relative_error, sample

TYPES = "uint64,uint64,uint64,int32,int32"


@cache
def kernel(span: int) -> Any:
    """The compiled numba kernel (needs a GPU); so many threads share a row."""
    from numba import cuda

    macros = (("THREADS", THREADS), ("UNROLL", UNROLL), ("SPAN", span))
    block = device_function("gemv", "gemv", TYPES, macros)

    @cuda.jit(f"void({TYPES})", launch_bounds=THREADS)
    def product(w, x, y, rows, columns):  # type: ignore[no-untyped-def]
        block(w, x, y, rows, columns)

    return product


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    span, n, k = SPANS[case.variant], case.sizes["n"], case.sizes["k"]
    w, x = arena.normal((n, k), "float16", k**-0.5), arena.normal((k,), "float16")
    y, compiled = arena.output((n,), "float16"), kernel(span)

    def check() -> float:
        got, some = y.copy_to_host(), sample(256, n, 1)
        if np.isnan(got).any():
            return float("nan")
        right = x.copy_to_host().astype(np.float64)
        return relative_error(got[some], w.copy_to_host()[some].astype(np.float64) @ right)

    def vendor() -> Any:
        import torch

        tw, tx = (torch.as_tensor(array, device="cuda") for array in (w, x))
        return lambda: torch.mv(tw, tx)

    return Problem(
        launch=lambda stream: compiled[ceil_div(n, THREADS // span), THREADS, stream](
            address(w), address(x), address(y), n, k
        ),
        check=check,
        vendor=vendor,
        compiled=(compiled,),
    )
