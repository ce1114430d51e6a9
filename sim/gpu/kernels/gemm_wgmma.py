"""FP16 GEMM by warp-group products as data, Z[m,n] = A[m,k] * B[n,k]: TMA loads, wgmma multiplies, blocks
stay.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from einsim.sim.gpu.case import BlockRun, KernelCase, Launch, Work, ceil_div, even, merged
from einsim.sim.gpu.kernels.decode import H200_SMS as SMS
from einsim.sim.gpu.kernels.decode import shares
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
    launched). residents: blocks an SM. registers: at launch; ptxas, sm_90a. split: a tile's k is shared out
    among blocks where tiles are fewer than blocks.
    """

    bm: int
    bn: int
    stages: int
    groups: int
    own: int = 232
    spare: int = 40
    residents: int = 1
    registers: int
    split: bool = False

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
    "128x256s4k": WarpGroupTiling(bm=128, bn=256, stages=4, groups=2, registers=168, split=True),
    "128x128s6k": WarpGroupTiling(bm=128, bn=128, stages=6, groups=2, registers=168, split=True),
    "64x256s4k": WarpGroupTiling(
        bm=64, bn=256, stages=4, groups=1, own=0, spare=0, registers=161, split=True
    ),
}
SUM_THREADS, SUM_REGISTERS = 256, 20
MOST_SPLITS, LEAST_STEPS = 16, 4  # of a tile; of a split


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


def splits(tiling: WarpGroupTiling, m: int, n: int, k: int, sms: int = SMS) -> int:
    """Blocks that share a tile's k: as many as there are free ones, each of a few steps at least."""
    tiles = ceil_div(m, tiling.bm) * ceil_div(n, tiling.bn)
    most = min(MOST_SPLITS, sms * tiling.residents // tiles, ceil_div(k, BK) // LEAST_STEPS)
    return max(1, most) if tiling.split else 1


def split_launches(tiling: WarpGroupTiling, m: int, n: int, k: int, sms: int = SMS) -> tuple[Launch, ...]:
    """Products of runs of k, whose sums cross memory in FP32, and the launch that adds them."""
    count, steps, values = splits(tiling, m, n, k, sms), ceil_div(k, BK), m * n
    tiles = ceil_div(m, tiling.bm) * ceil_div(n, tiling.bn)
    whole = launch(tiling, m, n, k, sms)
    sums = Work(alu_ops=tiling.bm * tiling.bn * 3, global_write_bytes=tiling.bm * tiling.bn * 4)
    parts = msgspec.structs.replace(
        whole,
        kernel="gemm_wgmma_split",
        runs=merged(shares(steps, count) * tiles),
        tile={**whole.tile, "split": count},
        step=products_work(tiling),
        epilogue=sums,
        unique_write_bytes=count * values * 4,
    )
    add = Launch(
        kernel="split_sum",
        runs=even(ceil_div(values, SUM_THREADS), 1),
        threads=SUM_THREADS,
        registers=SUM_REGISTERS,
        bytes_in_flight=4 * min(count, 4),
        tile={"split": count},
        step=Work(
            fma_ops=count * SUM_THREADS,
            alu_ops=(30 + 6 * count) * SUM_THREADS,
            global_read_bytes=4 * count * SUM_THREADS,
            global_write_bytes=2 * SUM_THREADS,
        ),
        unique_read_bytes=count * values * 4,
        unique_write_bytes=values * 2,
    )
    return parts, add


def products_work(tiling: WarpGroupTiling) -> Work:
    """A step: 64 columns of a tile's operands come and are multiplied."""
    bm, bn, rows = tiling.bm, tiling.bn, tiling.bm // 64 // tiling.groups
    stage = (bm + bn) * ROW
    return Work(
        wgmma_flops=2 * bm * bn * BK,
        alu_ops=128 * tiling.groups * 100,  # descriptors and barriers, SASS
        shared_read_bytes=tiling.groups * rows * (64 + bn) * ROW,
        shared_write_bytes=stage,
        global_read_bytes=stage,
    )


def launch(tiling: WarpGroupTiling, m: int, n: int, k: int, sms: int = SMS) -> Launch:
    """One launch as data: a tile's results are written in its steps, while the next tile's operands come."""
    bm, bn, steps = tiling.bm, tiling.bn, ceil_div(k, BK)
    tiles, stage = ceil_div(m, bm) * ceil_div(n, bn), (bm + bn) * ROW
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
        step=products_work(tiling) + results(bm, bn, n).share(steps),
        edge_rows=edge_rows(m, n, bm, bn) * steps,
        unique_read_bytes=(m + n) * k * 2,
        unique_write_bytes=m * n * 2,
    )


def edge_rows(m: int, n: int, bm: int, bn: int) -> int:
    """Rows of all tiles' operands that lie beyond the matrices, in one step."""
    down, across = ceil_div(m, bm), ceil_div(n, bn)
    return (down * bm - m) * across + (across * bn - n) * down


def cases(shapes: Sequence[tuple[int, int, int]]) -> tuple[KernelCase, ...]:
    """Every variant on every shape, those that share a tile's k where more than one block can."""
    summary = "one warp loads by TMA, warp groups multiply by wgmma, blocks stay for all tiles"
    whole = {name: tiling for name, tiling in VARIANTS.items() if not tiling.split}
    found = products(FAMILY, whole, launch, shapes, bits=16, summary=summary)
    return found + tuple(
        KernelCase(
            family=FAMILY, variant=name, cascade="gemm", sizes={"m": m, "n": n, "k": k},
            launches=split_launches(tiling, m, n, k), useful_flops=2 * m * n * k, bits=16,
            summary="blocks share a tile's k, by TMA and wgmma; their sums are added by a second launch",
        )
        for name, tiling in VARIANTS.items()
        for m, n, k in shapes
        if splits(tiling, m, n, k) > 1
    )  # fmt: skip
