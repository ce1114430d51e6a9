"""The k largest of every row of FP32 in pure numba, in order and with their places: a block a row, which it
keeps in shared memory. It runs in numba's simulator too.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float32, int32

from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.kernels.top_k import THREADS
from einsim.validation.gpu.kernels.problem import Arena, Problem, relative_error

LOW = -3e38  # below every value that is taken


@cache
def kernel() -> Any:
    """Each thread keeps the best of its own columns; of equal values the first column wins. The thread that
    owned a winner looks for its next best.
    """
    entries, owners = THREADS + 32, THREADS + 31

    @cuda.jit
    def top_k(x, values, places, k):  # type: ignore[no-untyped-def]
        highs = cuda.shared.array(entries, float32)
        at = cuda.shared.array(owners, int32)
        kept = cuda.shared.array(0, float32)
        row, tid, columns = cuda.blockIdx.x, cuda.threadIdx.x, x.shape[1]
        high, place = float32(LOW), int32(tid)
        for m in range(tid, columns, THREADS):
            a = x[row, m]
            kept[m] = a
            if a > high:
                high, place = a, int32(m)
        for i in range(k):
            highs[tid] = high
            at[tid] = place
            cuda.syncthreads()
            if tid < 32:
                best, where = highs[tid], at[tid]
                for j in range(1, THREADS // 32):
                    a, m = highs[tid + 32 * j], at[tid + 32 * j]
                    if a > best or (a == best and m < where):
                        best, where = a, m
                highs[tid] = best
                at[tid] = where
            cuda.syncthreads()
            best, where = highs[0], at[0]
            for j in range(1, 32):
                a, m = highs[j], at[j]
                if a > best or (a == best and m < where):
                    best, where = a, m
            if tid == 0:
                values[row, i] = best
                places[row, i] = where
            cuda.syncthreads()
            if where % THREADS == tid:
                kept[where] = float32(LOW)
                high, place = float32(LOW), int32(tid)
                for m in range(tid, columns, THREADS):
                    if kept[m] > high:
                        high, place = kept[m], int32(m)

    return top_k


def top_k_f64(x: Any, k: int) -> Any:
    """The k largest of each row in order, and their columns; of equal values the first column first."""
    places = np.argsort(-x.astype(np.float64), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(x.astype(np.float64), places, axis=1), places


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    rows, columns, k = (case.sizes[rank] for rank in "pmk")
    x, values = arena.normal((rows, columns), "float32"), arena.output((rows, k), "float32")
    places = arena.output((rows, k), "int32")
    compiled = kernel()

    def check() -> float:
        want, where = top_k_f64(x.copy_to_host(), k)
        wrong = (places.copy_to_host() != where).any()
        return float("nan") if wrong else relative_error(values.copy_to_host(), want)

    def vendor() -> Any:
        import torch

        tx = torch.as_tensor(x, device="cuda")
        return lambda: torch.topk(tx, k, dim=1)

    return Problem(
        launch=lambda stream: compiled[rows, THREADS, stream, columns * 4](x, values, places, k),
        check=check,
        vendor=vendor,
        compiled=(compiled,),
    )
