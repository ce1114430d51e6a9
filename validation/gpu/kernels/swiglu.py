"""SwiGLU over FP16 by linked CUDA C++: gate * sigmoid(gate) * up."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels.swiglu import THREADS, UNROLL
from einsim.validation.gpu.kernels.linked import device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address, relative_error, sample

TYPES = "uint64,uint64,int32,int64"


@cache
def kernel() -> Any:
    """The compiled numba kernel (needs a GPU)."""
    from numba import cuda

    block = device_function("rows_f16", "swiglu16", TYPES, (("THREADS", THREADS), ("UNROLL", UNROLL)))

    @cuda.jit(f"void({TYPES})", launch_bounds=THREADS)
    def swiglu(x, y, width, pieces):  # type: ignore[no-untyped-def]
        block(x, y, width, pieces)

    return swiglu


def swiglu_f64(x: Any) -> Any:
    """Of rows that hold gates and then values, in float64."""
    gate, up = np.split(x.astype(np.float64), 2, axis=-1)
    return gate / (1.0 + np.exp(-gate)) * up


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    tokens, width = case.sizes["p"], case.sizes["s"]
    x, y = arena.normal((tokens, 2 * width), "float16"), arena.output((tokens, width), "float16")
    compiled, pieces = kernel(), tokens * width // 8

    def check() -> float:
        got, some = y.copy_to_host(), sample(64, tokens, 1)
        if np.isnan(got).any():
            return float("nan")
        return relative_error(got[some], swiglu_f64(x.copy_to_host()[some]))

    def vendor() -> Any:
        import torch

        tx = torch.as_tensor(x, device="cuda")
        gate, up = tx[:, :width], tx[:, width:]
        return lambda: torch.nn.functional.silu(gate) * up

    return Problem(
        launch=lambda stream: compiled[ceil_div(pieces, THREADS * UNROLL), THREADS, stream](
            address(x), address(y), width, pieces
        ),
        check=check,
        vendor=vendor,
        compiled=(compiled,),
    )
