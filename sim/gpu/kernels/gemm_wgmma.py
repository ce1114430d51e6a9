"""FP16 GEMM by warp-group products as data, Z[m,n] = A[m,k] * B[n,k]: TMA loads, wgmma multiplies, blocks
stay.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from einsim.sim.gpu.case import BlockRun, KernelCase, Launch, Work, ceil_div, merged
from einsim.sim.gpu.kernels.decode import H200_SMS as SMS
from einsim.sim.gpu.kernels.products import products

FAMILY = "gemm-wgmma"
BK = 64  # columns of a stage: 128 bytes, TMA's widest swizzle
RASTER = 8  # block rows that are walked together, so that neighbours in time share B in L2
ROW = 128  # bytes
SECTOR = 32  # bytes that a store of one value costs at L2, where rows begin at no multiple of 16 bytes
SLACK_BYTES = 1024 + 256  # to the next multiple of 1024, and barriers


class WarpGroupTiling(msgspec.Struct, frozen=True, kw_only=True):
    """A block's tile bm x bn, its stages, the warp groups that multiply, each bm / groups rows (one more
    group loads).

    own, spare: registers a thread that the multiplying groups take and the loading one keeps (0: as
    launched). residents: blocks an SM. registers: at launch; ptxas, sm_90a.
    """

    bm: int
    bn: int
    stages: int
    groups: int
    own: int = 232
    spare: int = 40
    residents: int = 1
    registers: int

    @property
    def threads(self) -> int:
        """Threads a block."""
        return 128 * (self.groups + 1)

    @property
    def shared_bytes(self) -> int:
        """Stages of A and B, and a warp's 16 rows of 64 results."""
        return self.stages * (self.bm + self.bn) * ROW + 4 * self.groups * 2048 + SLACK_BYTES


VARIANTS = {
    "128x256s4": WarpGroupTiling(bm=128, bn=256, stages=4, groups=2, registers=168),
    "256x128s4": WarpGroupTiling(bm=256, bn=128, stages=4, groups=2, registers=168),
    "128x128s6": WarpGroupTiling(bm=128, bn=128, stages=6, groups=2, registers=168),
    "64x128s4": WarpGroupTiling(
        bm=64, bn=128, stages=4, groups=1, own=0, spare=0, residents=2, registers=118
    ),
    "64x256s4": WarpGroupTiling(bm=64, bn=256, stages=4, groups=1, own=0, spare=0, registers=188),
}


def persistent(tiles: int, slots: int, steps: int) -> tuple[BlockRun, ...]:
    """Blocks that stay: as many as there are slots, which share the tiles out in turn, `steps` steps each."""
    blocks = min(tiles, slots)
    return merged([ceil_div(tiles - block, blocks) * steps for block in range(blocks)])


def results(bm: int, bn: int, n: int) -> Work:
    """A tile's results on their way out by shared memory, of a matrix with n columns."""
    return Work(
        alu_ops=bm * bn * 2,  # 1200 instructions a thread for 128 results, SASS
        shared_read_bytes=bm * bn * 2,
        shared_write_bytes=bm * bn * 2,
        global_write_bytes=bm * bn * (2 if n % 8 == 0 else SECTOR),
    )


def launch(tiling: WarpGroupTiling, m: int, n: int, k: int, sms: int = SMS) -> Launch:
    """One launch as data: a tile's results are written in its steps, while the next tile's operands come."""
    bm, bn, steps = tiling.bm, tiling.bn, ceil_div(k, BK)
    tiles, rows = ceil_div(m, bm) * ceil_div(n, bn), bm // 64 // tiling.groups
    stage = (bm + bn) * ROW
    return Launch(
        kernel="gemm_wgmma",
        runs=persistent(tiles, sms * tiling.residents, steps),
        threads=tiling.threads,
        registers=tiling.registers,
        shared_bytes=tiling.shared_bytes,
        stages=tiling.stages,
        products=True,
        bytes_in_flight=tiling.stages * stage // tiling.threads,
        tile={"m": bm, "n": bn, "k": BK, "group_m": RASTER},
        step=Work(
            wgmma_flops=2 * bm * bn * BK,
            alu_ops=128 * tiling.groups * 100,  # descriptors and barriers, SASS
            shared_read_bytes=tiling.groups * rows * (64 + bn) * ROW,
            shared_write_bytes=stage,
            global_read_bytes=stage,
        )
        + results(bm, bn, n).share(steps),
        unique_read_bytes=(m + n) * k * 2,
        unique_write_bytes=m * n * 2,
    )


def cases(shapes: Sequence[tuple[int, int, int]]) -> tuple[KernelCase, ...]:
    """Every variant on every shape."""
    summary = "one warp loads by TMA, warp groups multiply by wgmma, blocks stay for all tiles"
    return products(FAMILY, VARIANTS, launch, shapes, bits=16, summary=summary)
