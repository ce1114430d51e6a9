"""2:4 sparse FP16 GEMM, Z[m,n] = A[m,k] * B[n,k], by TMA and linked wgmma.mma_async.sp."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels.gemm_sparse_wgmma import BK, VARIANTS, SparseWarpGroupTiling
from einsim.sim.gpu.kernels.gemm_wgmma import RASTER
from einsim.validation.gpu.kernels.gemm_sparse import dense, pack, prune, run_seed
from einsim.validation.gpu.kernels.linked import allow_shared, device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address, relative_error, sample
from einsim.validation.gpu.kernels.tensor_map import tensor_map

TYPES = "uint64,uint64,uint64,uint64,int32,int32,int32"


@cache
def kernel(tiling: SparseWarpGroupTiling) -> Any:
    """The compiled numba kernel (needs a GPU of sm_90)."""
    from numba import cuda

    macros = {
        "NAME": "gemm_sparse_wgmma", "BM": tiling.bm, "BN": tiling.bn, "STAGES": tiling.stages,
        "GROUPS": tiling.groups, "RASTER": RASTER, "SPARE": tiling.spare, "OWN": tiling.own,
    }  # fmt: skip
    block = device_function(
        "gemm_sparse_wgmma", "gemm_sparse_wgmma", TYPES, tuple(macros.items()), ("hopper",)
    )

    @cuda.jit(f"void({TYPES})", launch_bounds=(tiling.threads, 1))
    def gemm(a, meta, b, c, m, n, k):  # type: ignore[no-untyped-def]
        block(a, meta, b, c, m, n, k)

    allow_shared(gemm, tiling.shared_bytes)
    return gemm


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU of sm_90)."""
    tiling, (m, n, k) = VARIANTS[case.variant], (case.sizes[rank] for rank in "mnk")
    values, indices = prune(run_seed(), m, k)
    a, b = arena.put(values), arena.normal((n, k), "float16", k**-0.5)
    meta = arena.put(np.ascontiguousarray(pack(indices).transpose(1, 0, 2)))  # a step's words side by side
    c = arena.output((m, n), "float16")
    a_map = tensor_map(arena, a, (BK // 2, tiling.bm), row_bytes=64)
    b_map = tensor_map(arena, b, (BK, tiling.bn))
    compiled, grid = kernel(tiling), min(ceil_div(m, tiling.bm) * ceil_div(n, tiling.bn), arena.sms)

    def run(stream: Any) -> None:
        compiled[grid, tiling.threads, stream, tiling.shared_bytes](
            address(a_map), address(meta), address(b_map), address(c), m, n, k
        )

    def check() -> float:
        rows, columns = sample(64, m, 1), sample(64, n, 2)
        left = dense(values[rows], indices[rows]).astype(np.float64)
        right, got = b.copy_to_host()[columns].astype(np.float64), c.copy_to_host()
        if np.isnan(got).any():
            return float("nan")
        return relative_error(got[np.ix_(rows, columns)], left @ right.T)

    def vendor() -> Any:
        """CuSPARSELt through torch, on the same pruned A; it takes columns in eights only."""
        import torch

        if n % 8:
            return None

        full = torch.as_tensor(dense(values, indices), device="cuda")
        left, right = torch.sparse.to_sparse_semi_structured(full), torch.as_tensor(b, device="cuda")
        return lambda: torch.mm(left, right.T)

    return Problem(launch=run, check=check, vendor=vendor, compiled=(compiled,))
