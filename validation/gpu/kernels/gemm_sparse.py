"""2:4 sparse FP16 GEMM, Z[m,n] = A[m,k] * B[n,k] with two of every four A values along k kept, by linked
mma.sp m16n8k32.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from einsim.validation.gpu.case import KernelCase, Launch, Work, ceil_div, even
from einsim.validation.gpu.kernels.gemm_f16 import GROUP, Tiling, hot_requests
from einsim.validation.gpu.kernels.linked import allow_shared, device_function
from einsim.validation.gpu.kernels.problem import Arena, Array, Problem, address, relative_error, sample

FAMILY = "gemm-sparse"
TYPES = "uint64,uint64,uint64,uint64,int32,int32,int32"
BK = 64  # dense columns of a stage: two mma.sp of 32

VARIANTS = {
    "128x128x64s4": Tiling(bm=128, bn=128, bk=BK, stages=4, wm=64, wn=64, registers=254),
    "256x128x64s3": Tiling(bm=256, bn=128, bk=BK, stages=3, wm=64, wn=64, registers=252),
    "128x256x64s3": Tiling(bm=128, bn=256, bk=BK, stages=3, wm=64, wn=64, registers=254),
    "64x64x64s4": Tiling(bm=64, bn=64, bk=BK, stages=4, wm=32, wn=32, registers=126),
}
SHAPES = (
    (512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (4096, 4096, 4096), (8192, 8192, 8192),
    (2048, 4096, 4096), (4096, 11008, 4096), (4096, 4096, 11008), (8192, 1280, 8192), (512, 8192, 8192),
    (2304, 2304, 2304), (5120, 5120, 5120),
)  # fmt: skip
QUICK = ((4096, 4096, 4096),)


def stage_bytes(tiling: Tiling) -> int:
    """Compressed A (half of k), dense B, and one metadata word a lane for each 16 rows."""
    return tiling.bm * BK + tiling.bn * BK * 2 + tiling.bm * 8


def shared_bytes(tiling: Tiling) -> int:
    """Shared memory a block."""
    return max(tiling.stages * stage_bytes(tiling), tiling.bm * (tiling.bn * 2 + 16))


def launch(tiling: Tiling, m: int, n: int, k: int) -> Launch:
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


def cases(quick: bool = False, shapes: Sequence[Any] = ()) -> tuple[KernelCase, ...]:
    """The cases of this family, of other shapes if given; with `quick`, one size of every variant."""
    return tuple(
        KernelCase(
            family=FAMILY,
            variant=variant,
            cascade="gemm-2-4",
            sizes={"m": m, "n": n, "k": k},
            launches=(launch(tiling, m, n, k),),
            useful_flops=m * n * k,
            bits=16,
            summary="A as k/2 values and 2-bit indices; B dense; useful FLOPs count kept values only",
        )
        for variant, tiling in VARIANTS.items()
        for m, n, k in (shapes or (QUICK if quick else SHAPES))
    )


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
