"""RMSNorm over rows of FP16 by linked CUDA C++, y = x / sqrt(mean(x^2) + epsilon) * weight."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.kernels.rmsnorm import THREADS, pieces
from einsim.validation.gpu.kernels.linked import device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address, relative_error, sample

TYPES = "uint64,uint64,uint64,int32,float32"
EPSILON = 1e-5


@cache
def kernel(kept: int) -> Any:
    """The compiled numba kernel (needs a GPU); a thread keeps so many 16-byte pieces."""
    from numba import cuda

    macros = (("THREADS", THREADS), ("PIECES", kept))
    block = device_function("rows_f16", "rmsnorm16", TYPES, macros)

    @cuda.jit(f"void({TYPES})", launch_bounds=THREADS)
    def rmsnorm(x, weight, y, columns, epsilon):  # type: ignore[no-untyped-def]
        block(x, weight, y, columns, epsilon)

    return rmsnorm


def rmsnorm_f64(x: Any, weight: Any) -> Any:
    """Of some rows, in float64."""
    x = x.astype(np.float64)
    return x / np.sqrt((x * x).mean(axis=1, keepdims=True) + EPSILON) * weight.astype(np.float64)


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    rows, columns = case.sizes["p"], case.sizes["d"]
    x, weight = arena.normal((rows, columns), "float16"), arena.normal((columns,), "float16")
    y, compiled = arena.output((rows, columns), "float16"), kernel(pieces(columns))

    def check() -> float:
        got, some = y.copy_to_host(), sample(64, rows, 1)
        if np.isnan(got).any():
            return float("nan")
        return relative_error(got[some], rmsnorm_f64(x.copy_to_host()[some], weight.copy_to_host()))

    def vendor() -> Any:
        import torch

        tx, tw = (torch.as_tensor(array, device="cuda") for array in (x, weight))
        return lambda: torch.nn.functional.rms_norm(tx, (columns,), tw, EPSILON)

    return Problem(
        launch=lambda stream: compiled[rows, THREADS, stream](
            address(x), address(weight), address(y), columns, EPSILON
        ),
        check=check,
        vendor=vendor,
        compiled=(compiled,),
    )
