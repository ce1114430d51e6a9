"""FP16 tensor-core GEMM as data, Z[m,n] = A[m,k] * B[n,k], in several tilings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, even
from einsim.sim.gpu.kernels.products import products

FAMILY = "gemm-f16"
GROUP = 8  # block rows that are walked together, so that neighbours in time share B in L2


class GemmTiling(msgspec.Struct, frozen=True, kw_only=True):
    """A block's tile bm x bn x bk, its warps' tiles wm x wn, and the cp.async stages. registers: ptxas,
    sm_90a.
    """

    bm: int
    bn: int
    bk: int
    stages: int
    wm: int
    wn: int
    registers: int

    @property
    def warps(self) -> int:
        """Warps a block."""
        return (self.bm // self.wm) * (self.bn // self.wn)

    @property
    def threads(self) -> int:
        """Threads a block."""
        return 32 * self.warps

    @property
    def shared_bytes(self) -> int:
        """Stages of A and B, or the padded output tile that reuses them."""
        return max(self.stages * (self.bm + self.bn) * self.bk * 2, self.bm * (self.bn * 2 + 16))


VARIANTS = {
    "128x128x32s4": GemmTiling(bm=128, bn=128, bk=32, stages=4, wm=64, wn=64, registers=250),
    "128x256x64s3": GemmTiling(bm=128, bn=256, bk=64, stages=3, wm=64, wn=64, registers=254),
    "128x256x32s4": GemmTiling(bm=128, bn=256, bk=32, stages=4, wm=64, wn=64, registers=242),
    "256x128x64s3": GemmTiling(bm=256, bn=128, bk=64, stages=3, wm=64, wn=64, registers=254),
    "128x128x64s3": GemmTiling(bm=128, bn=128, bk=64, stages=3, wm=64, wn=64, registers=254),
    "128x64x64s3": GemmTiling(bm=128, bn=64, bk=64, stages=3, wm=64, wn=32, registers=166),
    "64x64x64s4": GemmTiling(bm=64, bn=64, bk=64, stages=4, wm=32, wn=32, registers=112),
}


def launch(tiling: GemmTiling, m: int, n: int, k: int, *, batch: int = 1, activation: bool = False) -> Launch:
    """One batched GEMM launch as data."""
    bm, bn, bk = tiling.bm, tiling.bn, tiling.bk
    copies, fragments = (bm + bn) * bk // 8, tiling.warps * (tiling.wm + tiling.wn) * bk // 8
    return Launch(
        kernel="gemm_f16_gelu" if activation else "gemm_f16",
        runs=even(ceil_div(m, bm) * ceil_div(n, bn) * batch, k // bk),
        threads=tiling.threads,
        registers=tiling.registers,
        shared_bytes=tiling.shared_bytes,
        stages=tiling.stages,
        bytes_in_flight=(tiling.stages - 1) * (bm + bn) * bk * 2 // tiling.threads,
        tile={"m": bm, "n": bn, "k": bk, "warp_m": tiling.wm, "warp_n": tiling.wn, "group_m": GROUP},
        step=Work(
            tensor_flops=2 * bm * bn * bk,
            alu_ops=copies + fragments,
            shared_read_bytes=tiling.warps * (tiling.wm + tiling.wn) * bk * 2,
            shared_write_bytes=(bm + bn) * bk * 2,
            global_read_bytes=(bm + bn) * bk * 2,
            barriers=1,
        ),
        epilogue=Work(
            fma_ops=bm * bn * (5 if activation else 1),
            sfu_ops=2 * bm * bn if activation else 0,
            alu_ops=bm * bn,
            shared_read_bytes=bm * bn * 2,
            shared_write_bytes=bm * bn * 2,
            global_write_bytes=bm * bn * 2,
            barriers=2,
        ),
        hot_requests=hot_requests(m, n, k, tiling, batch),
        unique_read_bytes=batch * (m + n) * k * 2,
        unique_write_bytes=batch * m * n * 2,
    )


def hot_requests(m: int, n: int, k: int, tiling: GemmTiling, batch: int = 1) -> int:
    """Requests of 128 bytes for a last row: a warp's 16-byte loads of rows beyond the matrix are one each."""
    across, down = ceil_div(n, tiling.bn), ceil_div(m, tiling.bm)
    rows = (down * tiling.bm - m) * across + (across * tiling.bn - n) * down
    return batch * rows * k * 2 // (32 * 16)


def cases(shapes: Sequence[tuple[int, int, int]]) -> tuple[KernelCase, ...]:
    """Every variant on every shape, but for the smallest tiles on large ones."""
    summary = "cp.async stages, XOR-swizzled shared memory, ldmatrix, fragments double-buffered"
    return tuple(
        case
        for case in products(FAMILY, VARIANTS, launch, shapes, bits=16, summary=summary)
        if not (case.variant == "64x64x64s4" and math.prod(case.sizes.values()) > 4096**3)
    )
