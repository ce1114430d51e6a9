"""Feed-forward layer, two FP16 GEMMs around a GELU: as three launches, and with the GELU in the first
GEMM's epilogue.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels.ffn import THREADS, TILING, UNROLL
from einsim.validation.gpu.kernels.gemm_f16 import enqueue
from einsim.validation.gpu.kernels.gemm_f16 import kernel as gemm_kernel
from einsim.validation.gpu.kernels.linked import device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address, relative_error, sample

TYPES = "uint64,uint64,int64"


@cache
def gelu_kernel() -> Any:
    """The compiled numba kernel (needs a GPU)."""
    from numba import cuda

    block = device_function("elementwise", "gelu16", TYPES, (("UNROLL", UNROLL),))

    @cuda.jit(f"void({TYPES})", launch_bounds=THREADS)
    def gelu(source, target, chunks):  # type: ignore[no-untyped-def]
        block(source, target, chunks)

    return gelu


def gelu_f64(x: Any) -> Any:
    """GELU in its tanh form, float64."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    tokens, width, hidden = (case.sizes[rank] for rank in ("m", "d", "s"))
    fused = case.variant == "fused"
    x = arena.normal((tokens, width), "float16")
    up, down = (
        arena.normal((hidden, width), "float16", width**-0.5),
        arena.normal((width, hidden), "float16", hidden**-0.5),
    )
    middle, y = arena.output((tokens, hidden), "float16"), arena.output((tokens, width), "float16")
    raw = middle if fused else arena.output((tokens, hidden), "float16")
    gelu, chunks = gelu_kernel(), tokens * hidden // 8

    def run(stream: Any) -> None:
        enqueue(TILING, stream, x, up, raw, tokens, hidden, width, activation=fused)
        if not fused:
            gelu[ceil_div(chunks, THREADS * UNROLL), THREADS, stream](address(raw), address(middle), chunks)
        enqueue(TILING, stream, middle, down, y, tokens, width, hidden)

    def check() -> float:
        got = y.copy_to_host()
        if np.isnan(got).any():
            return float("nan")
        rows, columns = sample(8, tokens, 1), sample(64, width, 2)
        inner = gelu_f64(x.copy_to_host()[rows].astype(np.float64) @ up.copy_to_host().astype(np.float64).T)
        return relative_error(
            got[np.ix_(rows, columns)], inner @ down.copy_to_host()[columns].astype(np.float64).T
        )

    def vendor() -> Any:
        import torch

        tx, tu, td = (torch.as_tensor(array, device="cuda") for array in (x, up, down))
        return lambda: torch.nn.functional.gelu(tx @ tu.T, approximate="tanh") @ td.T

    gemm, gemm_gelu = gemm_kernel(TILING, False), gemm_kernel(TILING, True)
    return Problem(
        launch=run, check=check, vendor=vendor, compiled=(gemm_gelu, gemm) if fused else (gemm, gelu, gemm)
    )
