"""2:4 sparse FP16 GEMM as data, Z[m,n] = A[m,k] * B[n,k] with two of every four A values along k kept."""

from __future__ import annotations

from collections.abc import Sequence

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, even
from einsim.sim.gpu.kernels.gemm_f16 import GROUP, GemmTiling, hot_requests
from einsim.sim.gpu.kernels.products import products

FAMILY = "gemm-sparse"
BK = 64  # dense columns of a stage: two mma.sp of 32
VARIANTS = {
    "128x128x64s4": GemmTiling(bm=128, bn=128, bk=BK, stages=4, wm=64, wn=64, registers=254),
    "256x128x64s3": GemmTiling(bm=256, bn=128, bk=BK, stages=3, wm=64, wn=64, registers=252),
    "128x256x64s3": GemmTiling(bm=128, bn=256, bk=BK, stages=3, wm=64, wn=64, registers=254),
    "64x64x64s4": GemmTiling(bm=64, bn=64, bk=BK, stages=4, wm=32, wn=32, registers=126),
}


def stage_bytes(tiling: GemmTiling) -> int:
    """Compressed A (half of k), dense B, and one metadata word a lane for each 16 rows."""
    return tiling.bm * BK + tiling.bn * BK * 2 + tiling.bm * 8


def shared_bytes(tiling: GemmTiling) -> int:
    """Shared memory a block."""
    return max(tiling.stages * stage_bytes(tiling), tiling.bm * (tiling.bn * 2 + 16))


def launch(tiling: GemmTiling, m: int, n: int, k: int) -> Launch:
    """One launch as data."""
    bm, bn = tiling.bm, tiling.bn
    stage = stage_bytes(tiling)
    fragments = tiling.warps * (tiling.wm * BK + tiling.wn * BK * 2)
    return Launch(
        kernel="gemm_sparse",
        runs=even(ceil_div(m, bm) * ceil_div(n, bn), k // BK),
        threads=tiling.threads,
        registers=tiling.registers,
        shared_bytes=shared_bytes(tiling),
        stages=tiling.stages,
        bytes_in_flight=(tiling.stages - 1) * stage // tiling.threads,
        tile={"m": bm, "n": bn, "k": BK, "warp_m": tiling.wm, "warp_n": tiling.wn, "group_m": GROUP},
        step=Work(
            sparse_tensor_flops=2 * bm * bn * BK,
            alu_ops=stage // 16 + fragments // 16,
            shared_read_bytes=fragments + tiling.warps * (tiling.wm // 16) * 128,
            shared_write_bytes=stage,
            global_read_bytes=stage,
            barriers=1,
        ),
        epilogue=Work(
            alu_ops=bm * bn,
            shared_read_bytes=bm * bn * 2,
            shared_write_bytes=bm * bn * 2,
            global_write_bytes=bm * bn * 2,
            barriers=2,
        ),
        hot_requests=hot_requests(m, n, k, tiling),
        unique_read_bytes=m * k + m * k // 8 + n * k * 2,
        unique_write_bytes=m * n * 2,
    )


def cases(shapes: Sequence[tuple[int, int, int]]) -> tuple[KernelCase, ...]:
    """Every variant on every shape."""
    summary = "A as k/2 values and 2-bit indices; B dense; useful FLOPs count kept values only"
    return products(FAMILY, VARIANTS, launch, shapes, bits=16, summary=summary, sparse=True)
