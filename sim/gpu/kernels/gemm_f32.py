"""FP32 GEMM as data, Z[m,n] = A[m,k] * B[k,n]: register tiles, two buffers in shared memory."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from einsim.sim.gpu.case import KernelCase, Launch, Work, even
from einsim.sim.gpu.kernels.products import products

FAMILY = "gemm-f32"
THREADS = 256  # 16 x 16
PAD = 4  # values added to a row of the transposed A tile against bank conflicts


class RegisterTiling(msgspec.Struct, frozen=True, kw_only=True):
    """A block's tile bm x bn x bk; a thread owns (bm/16) x (bn/16) results. registers: ptxas, sm_90a."""

    bm: int
    bn: int
    bk: int
    registers: int

    @property
    def shared_bytes(self) -> int:
        """Shared memory a block."""
        return 2 * self.bk * (self.bm + PAD + self.bn) * 4


VARIANTS = {
    "64x64x16": RegisterTiling(bm=64, bn=64, bk=16, registers=93),
    "128x64x16": RegisterTiling(bm=128, bn=64, bk=16, registers=125),
    "128x128x8": RegisterTiling(bm=128, bn=128, bk=8, registers=128),
}


def launch(tiling: RegisterTiling, m: int, n: int, k: int) -> Launch:
    """One launch as data."""
    bm, bn, bk = tiling.bm, tiling.bn, tiling.bk
    tm, tn = bm // 16, bn // 16
    loads = (bm + bn) * bk
    return Launch(
        kernel="gemm_f32",
        runs=even((m // bm) * (n // bn), k // bk),
        threads=THREADS,
        registers=tiling.registers,
        shared_bytes=tiling.shared_bytes,
        stages=2,
        bytes_in_flight=loads * 4 // THREADS,
        tile={"m": bm, "n": bn, "k": bk},
        step=Work(
            fma_ops=bm * bn * bk,
            alu_ops=2 * loads + THREADS * bk * (tm + tn) // 4,
            shared_read_bytes=THREADS * bk * (tm + tn) * 4,
            shared_write_bytes=loads * 4,
            global_read_bytes=loads * 4,
            barriers=1,
        ),
        epilogue=Work(alu_ops=bm * bn, global_write_bytes=bm * bn * 4),
        unique_read_bytes=(m + n) * k * 4,
        unique_write_bytes=m * n * 4,
    )


def cases(shapes: Sequence[tuple[int, int, int]]) -> tuple[KernelCase, ...]:
    """Every variant on every shape."""
    summary = "A transposed in shared memory, next tile prefetched into registers"
    return products(FAMILY, VARIANTS, launch, shapes, bits=32, summary=summary)
