"""FP16 tensor-core GEMM, Z[m,n] = A[m,k] * B[n,k], by linked mma.sync m16n8k16 in several tilings."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels.gemm_f16 import GROUP, VARIANTS
from einsim.sim.gpu.kernels.gemm_f16 import GemmTiling as Tiling  # its name in the text that was hashed
from einsim.validation.gpu.kernels.linked import allow_shared, device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address, relative_error, sample

TYPES = "uint64,uint64,uint64,int32,int32,int32,uint64,uint64,uint64,float32"


@cache
def kernel(tiling: Tiling, activation: bool) -> Any:
    """The compiled numba kernel (needs a GPU)."""
    from numba import cuda

    macros = {
        "NAME": "gemm_f16", "BM": tiling.bm, "BN": tiling.bn, "BK": tiling.bk, "STAGES": tiling.stages,
        "WM": tiling.wm, "WN": tiling.wn, "GROUP": GROUP, "ACT": int(activation),
    }  # fmt: skip
    block = device_function("gemm_f16", "gemm_f16", TYPES, tuple(macros.items()))

    @cuda.jit(f"void({TYPES})", launch_bounds=tiling.threads)
    def gemm(a, b, c, m, n, k, a_batch, b_batch, c_batch, alpha):  # type: ignore[no-untyped-def]
        block(a, b, c, m, n, k, a_batch, b_batch, c_batch, alpha)

    allow_shared(gemm, tiling.shared_bytes)
    return gemm


def enqueue(
    tiling: Tiling, stream: Any, a: Any, b: Any, c: Any, m: int, n: int, k: int, *,
    batch: int = 1, alpha: float = 1.0, activation: bool = False,
) -> None:  # fmt: skip
    """Launch C = act(alpha A B^T) for a batch of contiguous matrices."""
    grid = (ceil_div(m, tiling.bm) * ceil_div(n, tiling.bn), batch)
    kernel(tiling, activation)[grid, tiling.threads, stream, tiling.shared_bytes](
        address(a), address(b), address(c), m, n, k, m * k, n * k, m * n, alpha
    )


def off(a: Any, b: Any, c: Any) -> float:
    """Error of a sample of c [m, n] = a [m, k] * b [n, k] against float64; NaN where anything is."""
    rows, columns = sample(64, a.shape[0], 1), sample(64, b.shape[0], 2)
    left, right = a.copy_to_host()[rows].astype(np.float64), b.copy_to_host()[columns].astype(np.float64)
    got = c.copy_to_host()
    if np.isnan(got).any():
        return float("nan")
    return relative_error(got[np.ix_(rows, columns)], left @ right.T)


def vendors(a: Any, b: Any) -> Any:
    """The same product by torch, ready to be called."""
    import torch

    left, right = torch.as_tensor(a, device="cuda"), torch.as_tensor(b, device="cuda")
    return lambda: torch.mm(left, right.T)


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers for one problem; A and B are N(0, 1/k) so that results are of order one."""
    tiling, (m, n, k) = VARIANTS[case.variant], (case.sizes[rank] for rank in "mnk")
    a, b = arena.normal((m, k), "float16"), arena.normal((n, k), "float16", k**-0.5)
    c = arena.output((m, n), "float16")

    return Problem(
        launch=lambda stream: enqueue(tiling, stream, a, b, c, m, n, k),
        check=lambda: off(a, b, c),
        vendor=lambda: vendors(a, b),
        compiled=(kernel(tiling, False),),
    )
