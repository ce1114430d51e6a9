"""2:4 sparse FP16 GEMM, Z[m,n] = A[m,k] * B[n,k] with two of every four A values along k kept, by linked
mma.sp m16n8k32.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np

from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels.gemm_f16 import GROUP
from einsim.sim.gpu.kernels.gemm_f16 import GemmTiling as Tiling  # its name in the text that was hashed
from einsim.sim.gpu.kernels.gemm_sparse import VARIANTS, shared_bytes
from einsim.validation.gpu.kernels.linked import allow_shared, device_function
from einsim.validation.gpu.kernels.problem import Arena, Array, Problem, address, relative_error, sample

TYPES = "uint64,uint64,uint64,uint64,int32,int32,int32"


def pack(indices: Array) -> Array:
    """Metadata words [m/16][k/64][32] from the kept positions [m][k/4][2] (ascending, 0..3).

    Each group of four is 4 bits, the first kept index in the low two. For one mma.sp of 32 columns, lane 4g
    gives columns 0..15 and lane 4g+1 columns 16..31, row g in the low half of the word and row g+8 in the
    high half; lanes 4g+2 and 4g+3 do the same for the next 32 columns, which the second mma.sp selects (PTX
    ISA, sparse mma.m16n8k32 metadata for .f16).
    """
    rows, groups, _ = indices.shape
    nibbles = (indices[..., 0] | (indices[..., 1] << 2)).astype(np.uint32)  # [m][k/4]
    quads = nibbles.reshape(rows, groups // 4, 4)
    halves = (quads << (4 * np.arange(4, dtype=np.uint32))).sum(axis=-1, dtype=np.uint32)  # [m][k/16]
    tiles = halves.reshape(rows // 16, 2, 8, groups // 16, 4)  # [m/16][high][g][k/64][quarter of 64 columns]
    words = tiles[:, 0] | (tiles[:, 1] << np.uint32(16))  # [m/16][g][k/64][quarter]
    return np.ascontiguousarray(words.transpose(0, 2, 1, 3)).reshape(rows // 16, groups // 16, 32)


@lru_cache(maxsize=1)
def prune(seed: int, m: int, k: int) -> tuple[Array, Array]:
    """Random kept values [m][k/2] float16 and their positions [m][k/4][2], ascending."""
    rng = np.random.default_rng(seed)
    pairs = np.array([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)], dtype=np.uint8)
    values = rng.standard_normal((m, k // 2), dtype=np.float32).astype(np.float16)
    return values, pairs[rng.integers(0, 6, (m, k // 4), dtype=np.uint8)]


def dense(values: Array, indices: Array) -> Array:
    """A with its zeros, [rows][k], from the kept values [rows][k/2] and their positions [rows][k/4][2]."""
    rows, groups, _ = indices.shape
    out = np.zeros((rows * groups, 4), dtype=values.dtype)
    at = np.arange(rows * groups)
    kept, positions = values.reshape(-1, 2), indices.reshape(-1, 2)
    for slot in range(2):
        out[at, positions[:, slot]] = kept[:, slot]
    return out.reshape(rows, groups * 4)


@lru_cache(maxsize=1)
def run_seed() -> int:
    """One fresh seed a process: all buffers of a run share A's values, so that the host prunes a size only
    once.
    """
    return int(np.random.default_rng().integers(2**62))


@cache
def kernel(tiling: Tiling) -> Any:
    """The compiled numba kernel (needs a GPU)."""
    from numba import cuda

    macros = {
        "NAME": "gemm_sparse",
        "BM": tiling.bm,
        "BN": tiling.bn,
        "STAGES": tiling.stages,
        "WM": tiling.wm,
        "WN": tiling.wn,
        "GROUP": GROUP,
    }
    block = device_function("gemm_sparse", "gemm_sparse", TYPES, tuple(macros.items()))

    @cuda.jit(f"void({TYPES})", launch_bounds=tiling.threads)
    def gemm(a, meta, b, c, m, n, k):  # type: ignore[no-untyped-def]
        block(a, meta, b, c, m, n, k)

    allow_shared(gemm, shared_bytes(tiling))
    return gemm


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    tiling, (m, n, k) = VARIANTS[case.variant], (case.sizes[rank] for rank in "mnk")
    values, indices = prune(run_seed(), m, k)
    a, meta = arena.put(values), arena.put(pack(indices))
    b, c = arena.normal((n, k), "float16", k**-0.5), arena.output((m, n), "float16")
    compiled, grid = kernel(tiling), ceil_div(m, tiling.bm) * ceil_div(n, tiling.bn)

    def run(stream: Any) -> None:
        compiled[grid, tiling.threads, stream, shared_bytes(tiling)](
            address(a), address(meta), address(b), address(c), m, n, k
        )

    def check() -> float:
        rows, columns = sample(64, m, 1), sample(64, n, 2)
        left, right = (
            dense(values[rows], indices[rows]).astype(np.float64),
            b.copy_to_host()[columns].astype(np.float64),
        )
        got = c.copy_to_host()
        if np.isnan(got).any():
            return float("nan")
        return relative_error(got[np.ix_(rows, columns)], left @ right.T)

    def vendor() -> Any:
        """CuSPARSELt through torch, on the same pruned A."""
        import torch

        full = torch.as_tensor(dense(values, indices), device="cuda")
        left, right = torch.sparse.to_sparse_semi_structured(full), torch.as_tensor(b, device="cuda")
        return lambda: torch.mm(left, right.T)

    return Problem(launch=run, check=check, vendor=vendor, compiled=(compiled,))
