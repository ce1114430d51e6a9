"""FP16 tensor-core GEMM, Z[m,n] = A[m,k] * B[n,k], by linked mma.sync m16n8k16 in several tilings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
import numpy as np

from einsim.validation.gpu.case import KernelCase, Launch, Work, ceil_div, even
from einsim.validation.gpu.kernels.linked import allow_shared, device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address, relative_error, sample

FAMILY = "gemm-f16"
GROUP = 8  # block rows that are walked together, so that neighbours in time share B in L2
TYPES = "uint64,uint64,uint64,int32,int32,int32,uint64,uint64,uint64,float32"


class Tiling(msgspec.Struct, frozen=True, kw_only=True):
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
    "128x128x32s4": Tiling(bm=128, bn=128, bk=32, stages=4, wm=64, wn=64, registers=250),
    "128x256x64s3": Tiling(bm=128, bn=256, bk=64, stages=3, wm=64, wn=64, registers=254),
    "128x256x32s4": Tiling(bm=128, bn=256, bk=32, stages=4, wm=64, wn=64, registers=242),
    "256x128x64s3": Tiling(bm=256, bn=128, bk=64, stages=3, wm=64, wn=64, registers=254),
    "128x128x64s3": Tiling(bm=128, bn=128, bk=64, stages=3, wm=64, wn=64, registers=254),
    "128x64x64s3": Tiling(bm=128, bn=64, bk=64, stages=3, wm=64, wn=32, registers=166),
    "64x64x64s4": Tiling(bm=64, bn=64, bk=64, stages=4, wm=32, wn=32, registers=112),
}

# m, n, k: squares, transformer projections (4096/5120/8192 wide models), tall, wide, deep, and sizes that
# leave partial waves.
SHAPES = (
    (512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (3072, 3072, 3072), (4096, 4096, 4096),
    (6144, 6144, 6144), (8192, 8192, 8192), (2048, 4096, 4096), (4096, 11008, 4096), (4096, 4096, 11008),
    (8192, 1280, 8192), (512, 8192, 8192), (256, 4096, 16384), (16384, 2048, 1024), (1000, 3000, 2048),
    (2304, 2304, 2304), (5120, 5120, 5120), (128, 16384, 4096),
)  # fmt: skip
QUICK = ((4096, 4096, 4096),)


def launch(tiling: Tiling, m: int, n: int, k: int, *, batch: int = 1, activation: bool = False) -> Launch:
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


def hot_requests(m: int, n: int, k: int, tiling: Tiling, batch: int = 1) -> int:
    """Requests of 128 bytes for a last row: a warp's 16-byte loads of rows beyond the matrix are one each."""
    across, down = ceil_div(n, tiling.bn), ceil_div(m, tiling.bm)
    rows = (down * tiling.bm - m) * across + (across * tiling.bn - n) * down
    return batch * rows * k * 2 // (32 * 16)


def cases(quick: bool = False, shapes: Sequence[Any] = ()) -> tuple[KernelCase, ...]:
    """Every variant on every shape (or on others, if given) whose k is a multiple of its tile's."""
    return tuple(
        KernelCase(
            family=FAMILY,
            variant=variant,
            cascade="gemm",
            sizes={"m": m, "n": n, "k": k},
            launches=(launch(tiling, m, n, k),),
            useful_flops=2 * m * n * k,
            bits=16,
            summary="cp.async stages, XOR-swizzled shared memory, ldmatrix, fragments double-buffered",
        )
        for variant, tiling in VARIANTS.items()
        for m, n, k in (shapes or (QUICK if quick else SHAPES))
        if not (variant == "64x64x64s4" and m * n * k > 4096**3)
    )


@cache
def kernel(tiling: Tiling, activation: bool) -> Any:
    """The compiled numba kernel (needs a GPU)."""
    from numba import cuda

    macros = {
        "NAME": "gemm_f16", "BM": tiling.bm, "BN": tiling.bn, "BK": tiling.bk, "STAGES": tiling.stages,
        "WM": tiling.wm, "WN": tiling.wn, "GROUP": GROUP, "ACT": int(activation),
    }  # fmt: skip
    block = device_function("gemm_f16", "gemm_f16", TYPES, tuple(macros.items()))

    @cuda.jit(f"void({TYPES})", launch_bounds=tiling.threads)
    def gemm(a, b, c, m, n, k, a_batch, b_batch, c_batch, alpha):  # type: ignore[no-untyped-def]
        block(a, b, c, m, n, k, a_batch, b_batch, c_batch, alpha)

    allow_shared(gemm, tiling.shared_bytes)
    return gemm


def enqueue(
    tiling: Tiling, stream: Any, a: Any, b: Any, c: Any, m: int, n: int, k: int, *,
    batch: int = 1, alpha: float = 1.0, activation: bool = False,
) -> None:  # fmt: skip
    """Launch C = act(alpha A B^T) for a batch of contiguous matrices."""
    grid = (ceil_div(m, tiling.bm) * ceil_div(n, tiling.bn), batch)
    kernel(tiling, activation)[grid, tiling.threads, stream, tiling.shared_bytes](
        address(a), address(b), address(c), m, n, k, m * k, n * k, m * n, alpha
    )


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers for one problem; A and B are N(0, 1/k) so that results are of order one."""
    tiling, (m, n, k) = VARIANTS[case.variant], (case.sizes[rank] for rank in "mnk")
    a, b = arena.normal((m, k), "float16"), arena.normal((n, k), "float16", k**-0.5)
    c = arena.output((m, n), "float16")

    def check() -> float:
        rows, columns = sample(64, m, 1), sample(64, n, 2)
        left, right = a.copy_to_host()[rows].astype(np.float64), b.copy_to_host()[columns].astype(np.float64)
        got = c.copy_to_host()
        if np.isnan(got).any():
            return float("nan")
        return relative_error(got[np.ix_(rows, columns)], left @ right.T)

    def vendor() -> Any:
        import torch

        left, right = torch.as_tensor(a, device="cuda"), torch.as_tensor(b, device="cuda")
        return lambda: torch.mm(left, right.T)

    return Problem(
        launch=lambda stream: enqueue(tiling, stream, a, b, c, m, n, k),
        check=check,
        vendor=vendor,
        compiled=(kernel(tiling, False),),
    )
