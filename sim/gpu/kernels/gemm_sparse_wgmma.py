"""2:4 sparse FP16 GEMM by warp-group products as data, A kept to two of every four values along k."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div
from einsim.sim.gpu.kernels.decode import H200_SMS as SMS
from einsim.sim.gpu.kernels.gemm_wgmma import RASTER, SLACK_BYTES, edge_rows, persistent, results
from einsim.sim.gpu.kernels.products import products

FAMILY = "gemm-sparse-wgmma"
BK = 64  # dense columns of a stage: 128 bytes of B, 64 of A's values, 8 of its metadata a row
META_BYTES = 1024  # of a stage: 8 for each of 128 rows


class SparseWarpGroupTiling(msgspec.Struct, frozen=True, kw_only=True):
    """A block's tile bm x bn and its stages; a warp group multiplies 64 rows, one more loads.

    own, spare: registers a thread of the multiplying groups and the loading one. registers: at launch;
    ptxas, sm_90a.
    """

    bm: int
    bn: int
    stages: int
    own: int = 232
    spare: int = 40
    registers: int = 168

    @property
    def groups(self) -> int:
        """Warp groups that multiply."""
        return self.bm // 64

    @property
    def threads(self) -> int:
        """Threads a block."""
        return 128 * (self.groups + 1)

    @property
    def stage_bytes(self) -> int:
        """One stage: B, A's values, metadata."""
        return self.bn * 128 + self.bm * 64 + META_BYTES

    @property
    def shared_bytes(self) -> int:
        """All stages, and a warp's 16 rows of 64 results."""
        return self.stages * self.stage_bytes + 4 * self.groups * 2048 + SLACK_BYTES


VARIANTS = {
    "128x256s4": SparseWarpGroupTiling(bm=128, bn=256, stages=4),
    "128x128s6": SparseWarpGroupTiling(bm=128, bn=128, stages=6),
}


def launch(tiling: SparseWarpGroupTiling, m: int, n: int, k: int, sms: int = SMS) -> Launch:
    """One launch as data, as gemm_wgmma's."""
    bm, bn, steps = tiling.bm, tiling.bn, k // BK
    read = bm * (64 + 8) + bn * 128
    return Launch(
        kernel="gemm_sparse_wgmma",
        runs=persistent(ceil_div(m, bm) * ceil_div(n, bn), sms, steps),
        threads=tiling.threads,
        registers=tiling.registers,
        shared_bytes=tiling.shared_bytes,
        stages=tiling.stages,
        products=True,
        bytes_in_flight=tiling.stages * read // tiling.threads,
        tile={"m": bm, "n": bn, "k": BK, "group_m": RASTER},
        step=Work(
            sparse_wgmma_flops=2 * bm * bn * BK,
            alu_ops=128 * tiling.groups * 100,
            shared_read_bytes=tiling.groups * (64 * 72 + bn * 128),
            shared_write_bytes=read,
            global_read_bytes=read,
        )
        + results(bm, bn, n).share(steps),
        edge_rows=edge_rows(m, n, bm, bn) * steps,
        unique_read_bytes=m * k + m * k // 8 + n * k * 2,
        unique_write_bytes=m * n * 2,
    )


def cases(shapes: Sequence[tuple[int, int, int]]) -> tuple[KernelCase, ...]:
    """Every variant on every shape."""
    summary = "A as k/2 values and 2-bit indices; TMA loads, wgmma.mma_async.sp multiplies"
    return products(FAMILY, VARIANTS, launch, shapes, bits=16, summary=summary, sparse=True)
