"""FP32 GEMM, Z[m,n] = A[m,k] * B[k,n], in pure numba with register tiles: shared memory twice buffered, no
tensor cores.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float32

from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.kernels.gemm_f32 import PAD, THREADS, VARIANTS
from einsim.sim.gpu.kernels.gemm_f32 import RegisterTiling as Tiling  # its name in the text that was hashed
from einsim.validation.gpu.kernels.problem import Arena, Problem, relative_error, sample


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
