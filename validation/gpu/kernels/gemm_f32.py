"""FP32 GEMM, Z[m,n] = A[m,k] * B[k,n], in pure numba with register tiles: shared memory twice buffered, no
tensor cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
import numpy as np
from numba import cuda, float32

from einsim.validation.gpu.case import KernelCase, Launch, Work, even
from einsim.validation.gpu.kernels.problem import Arena, Problem, relative_error, sample

FAMILY = "gemm-f32"
THREADS = 256  # 16 x 16
PAD = 4  # values added to a row of the transposed A tile against bank conflicts


class Tiling(msgspec.Struct, frozen=True, kw_only=True):
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
    "64x64x16": Tiling(bm=64, bn=64, bk=16, registers=93),
    "128x64x16": Tiling(bm=128, bn=64, bk=16, registers=125),
    "128x128x8": Tiling(bm=128, bn=128, bk=8, registers=128),
}
SHAPES = (
    (256, 256, 256), (512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (4096, 4096, 4096),
    (8192, 8192, 8192), (1024, 4096, 1024), (4096, 1024, 8192), (1536, 1536, 1536),
)  # fmt: skip
QUICK = ((2048, 2048, 2048),)


def launch(tiling: Tiling, m: int, n: int, k: int) -> Launch:
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


def cases(quick: bool = False, shapes: Sequence[Any] = ()) -> tuple[KernelCase, ...]:
    """The cases of this family, of other shapes if given; with `quick`, one size of every variant."""
    return tuple(
        KernelCase(
            family=FAMILY,
            variant=variant,
            cascade="gemm",
            sizes={"m": m, "n": n, "k": k},
            launches=(launch(tiling, m, n, k),),
            useful_flops=2 * m * n * k,
            bits=32,
            summary="A transposed in shared memory, next tile prefetched into registers",
        )
        for variant, tiling in VARIANTS.items()
        for m, n, k in (shapes or (QUICK if quick else SHAPES))
    )


@cache
def kernel(tiling: Tiling) -> Any:
    """The numba kernel of one tiling; m, n and k must be multiples of its tile."""
    BM, BN, BK = tiling.bm, tiling.bn, tiling.bk
    TM, TN, AL, BL = BM // 16, BN // 16, BM * BK // THREADS, BN * BK // THREADS
    AROW = BM + PAD

    @cuda.jit(fastmath=True, launch_bounds=(THREADS, 2))
    def gemm(a, b, c):  # type: ignore[no-untyped-def]
        left = cuda.shared.array((2, BK, AROW), float32, alignment=16)
        right = cuda.shared.array((2, BK, BN), float32, alignment=16)
        tid = cuda.threadIdx.x
        tx, ty = tid % 16, tid // 16
        left_at, right_at = (
            np.uint64(ty * 4),
            np.uint64(tx * 4),
        )  # unsigned: no wrap-around test, so that four loads become one
        m0, n0 = cuda.blockIdx.y * BM, cuda.blockIdx.x * BN
        acc = cuda.local.array((TM, TN), float32)
        fa, fb = cuda.local.array(TM, float32), cuda.local.array(TN, float32)
        na, nb = cuda.local.array(AL, float32), cuda.local.array(BL, float32)
        ar, ak, br, bc = tid // BK, tid % BK, tid // BN, tid % BN
        for i in range(TM):
            for j in range(TN):
                acc[i, j] = float32(0)
        for i in range(AL):
            left[0, ak, ar + i * (THREADS // BK)] = a[m0 + ar + i * (THREADS // BK), ak]
        for i in range(BL):
            right[0, br + i * (THREADS // BN), bc] = b[br + i * (THREADS // BN), n0 + bc]
        cuda.syncthreads()
        steps = a.shape[1] // BK
        for step in range(steps):
            now = step & 1
            k0 = (step + 1) * BK
            if step + 1 < steps:
                for i in range(AL):
                    na[i] = a[m0 + ar + i * (THREADS // BK), k0 + ak]
                for i in range(BL):
                    nb[i] = b[k0 + br + i * (THREADS // BN), n0 + bc]
            for k in range(BK):
                for i in range(TM):
                    fa[i] = left[np.uint64(now), np.uint64(k), left_at + np.uint64((i // 4) * 64 + i % 4)]
                for j in range(TN):
                    fb[j] = right[np.uint64(now), np.uint64(k), right_at + np.uint64((j // 4) * 64 + j % 4)]
                for i in range(TM):
                    for j in range(TN):
                        acc[i, j] += fa[i] * fb[j]
            if step + 1 < steps:
                for i in range(AL):
                    left[1 - now, ak, ar + i * (THREADS // BK)] = na[i]
                for i in range(BL):
                    right[1 - now, br + i * (THREADS // BN), bc] = nb[i]
            cuda.syncthreads()
        for i in range(TM):
            for j in range(TN):
                c[m0 + (i // 4) * 64 + ty * 4 + i % 4, n0 + (j // 4) * 64 + tx * 4 + j % 4] = acc[i, j]

    return gemm


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    tiling, (m, n, k) = VARIANTS[case.variant], (case.sizes[rank] for rank in "mnk")
    a, b = arena.normal((m, k), "float32"), arena.normal((k, n), "float32", k**-0.5)
    c, compiled = arena.output((m, n), "float32"), kernel(tiling)

    def check() -> float:
        rows, columns = sample(64, m, 1), sample(64, n, 2)
        got = c.copy_to_host()
        if np.isnan(got).any():
            return float("nan")
        want = a.copy_to_host()[rows].astype(np.float64) @ b.copy_to_host()[:, columns].astype(np.float64)
        return relative_error(got[np.ix_(rows, columns)], want)

    def vendor() -> Any:
        """CuBLAS in true FP32 (no TF32)."""
        import torch

        ta, tb = torch.as_tensor(a, device="cuda"), torch.as_tensor(b, device="cuda")
        return lambda: torch.mm(ta, tb)

    return Problem(
        launch=lambda stream: compiled[(n // tiling.bn, m // tiling.bm), THREADS, stream](a, b, c),
        check=check,
        vendor=vendor,
        compiled=(compiled,),
    )
