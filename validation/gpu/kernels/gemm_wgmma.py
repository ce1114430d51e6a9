"""FP16 GEMM, Z[m,n] = A[m,k] * B[n,k], by TMA and linked wgmma in blocks that stay."""

from __future__ import annotations

from functools import cache
from typing import Any

from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels.gemm_wgmma import BK, RASTER, SUM_THREADS, VARIANTS, WarpGroupTiling, splits
from einsim.validation.gpu.kernels.gemm_f16 import off, vendors
from einsim.validation.gpu.kernels.linked import allow_shared, device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address
from einsim.validation.gpu.kernels.tensor_map import tensor_map

TYPES = "uint64,uint64,uint64,int32,int32,int32,int32"
SUM_TYPES = "uint64,uint64,int32,int64"


@cache
def kernel(tiling: WarpGroupTiling) -> Any:
    """The compiled numba kernel (needs a GPU of sm_90)."""
    from numba import cuda

    block = device_function("gemm_wgmma", "gemm_wgmma", TYPES, _macros(tiling), ("hopper",))

    @cuda.jit(f"void({TYPES})", launch_bounds=(tiling.threads, tiling.residents))
    def gemm(a, b, c, m, n, k, splits):  # type: ignore[no-untyped-def]
        block(a, b, c, m, n, k, splits)

    allow_shared(gemm, tiling.shared_bytes)
    return gemm


@cache
def sum_kernel(tiling: WarpGroupTiling) -> Any:
    """The compiled numba kernel that adds the sums of runs of k (needs a GPU of sm_90)."""
    from numba import cuda

    block = device_function("gemm_wgmma", "split_sum", SUM_TYPES, _macros(tiling), ("hopper",))

    @cuda.jit(f"void({SUM_TYPES})", launch_bounds=SUM_THREADS)
    def add(sums, c, splits, values):  # type: ignore[no-untyped-def]
        block(sums, c, splits, values)

    return add


def _macros(tiling: WarpGroupTiling) -> tuple[tuple[str, int | str], ...]:
    return (
        ("NAME", "gemm_wgmma"), ("BM", tiling.bm), ("BN", tiling.bn), ("STAGES", tiling.stages),
        ("GROUPS", tiling.groups), ("RASTER", RASTER), ("SPARE", tiling.spare), ("OWN", tiling.own),
        ("SPLIT", int(tiling.split)),
    )  # fmt: skip


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers for one problem; A and B are N(0, 1/k) so that results are of order one."""
    tiling, (m, n, k) = VARIANTS[case.variant], (case.sizes[rank] for rank in "mnk")
    a, b = arena.normal((m, k), "float16"), arena.normal((n, k), "float16", k**-0.5)
    c, count = arena.output((m, n), "float16"), splits(tiling, m, n, k, arena.sms)
    maps = tensor_map(arena, a, (BK, tiling.bm)), tensor_map(arena, b, (BK, tiling.bn))
    items = ceil_div(m, tiling.bm) * ceil_div(n, tiling.bn) * count
    grid, compiled = min(items, arena.sms * tiling.residents), [kernel(tiling)]
    target = arena.output((count, m, n), "float32") if tiling.split else c
    if tiling.split:
        compiled.append(sum_kernel(tiling))

    def run(stream: Any) -> None:
        compiled[0][grid, tiling.threads, stream, tiling.shared_bytes](
            address(maps[0]), address(maps[1]), address(target), m, n, k, count
        )
        for add in compiled[1:]:
            add[ceil_div(m * n, SUM_THREADS), SUM_THREADS, stream](address(target), address(c), count, m * n)

    return Problem(
        launch=run, check=lambda: off(a, b, c), vendor=lambda: vendors(a, b), compiled=tuple(compiled)
    )
