"""Unfused attention forward in three launches: scores by tensor-core GEMM, three-pass softmax, weighted
values by GEMM.

The scores and the weights cross DRAM in FP16. V is kept transposed, [head][f][m], as the cascade AV[f,p] =
A[m,p] * V[f,m] has it. A causal mask is applied by the softmax; both GEMMs still compute the whole square.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from einsim.validation.gpu.case import KernelCase, Launch, Work, even
from einsim.validation.gpu.kernels.attention_fused import reference_rows, useful_flops
from einsim.validation.gpu.kernels.gemm_f16 import VARIANTS as TILINGS
from einsim.validation.gpu.kernels.gemm_f16 import enqueue, launch
from einsim.validation.gpu.kernels.gemm_f16 import kernel as gemm_kernel
from einsim.validation.gpu.kernels.linked import device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address, relative_error, sample

FAMILY = "attention-unfused"
TYPES = "uint64,uint64,int32,int32,int32"
THREADS = 256
VALUES_TILING = {64: "128x64x64s3", 128: "128x128x32s4"}  # the weighted-values GEMM is only `dim` wide
VARIANTS = ("128x128x32s4", "128x256x64s3")  # tiling of the scores GEMM
SHAPES = ((16, 1024), (32, 1024), (16, 2048), (32, 2048), (8, 4096), (16, 4096), (4, 8192), (1, 16384))
QUICK = ((4, 8192),)


def softmax_launch(rows: int, columns: int, causal: bool) -> Launch:
    """A block a row; a step is one 16-byte access of every thread in each of the three passes.

    Under a causal mask a row reads what it sees, half of all on average, and writes its zeros as well.
    """
    width = THREADS * 8
    per_pass, share, seen = -(-columns // width), 2 if causal else 1, 3 if causal else 4
    waits = -(-per_pass // (4 * share))
    return Launch(
        kernel="softmax_f16",
        runs=even(rows, per_pass),
        threads=THREADS,
        registers=32,
        shared_bytes=THREADS // 32 * 4,
        bytes_in_flight=64,
        waits=(waits, 2 * waits),
        tile={"m": width, "passes": 3},
        step=Work(
            # 26.5 instructions a value in the three passes, by ncu; three quarters of them under a causal
            # mask
            fma_ops=4 * width * seen // 4,
            sfu_ops=2 * width * seen // 4,
            alu_ops=41 * width * seen // 8,
            global_read_bytes=3 * width * 2 // share,
            global_write_bytes=width * 2,
        ),
        epilogue=Work(alu_ops=110 * THREADS, barriers=4),
        unique_read_bytes=rows * columns * 2 // share,
        unique_write_bytes=rows * columns * 2,
    )


def cases(quick: bool = False, shapes: Sequence[Any] = ()) -> tuple[KernelCase, ...]:
    """The cases of this family, of other shapes if given; with `quick`, one size of every variant."""
    return tuple(
        KernelCase(
            family=FAMILY,
            variant=f"{tiling}-d{dim}-{'causal' if causal else 'full'}",
            cascade="attention-3pass",
            sizes={"h": heads, "m": tokens, "p": tokens, "e": dim, "f": dim, "causal": int(causal)},
            launches=(
                launch(TILINGS[tiling], tokens, tokens, dim, batch=heads),
                softmax_launch(heads * tokens, tokens, causal),
                launch(TILINGS[VALUES_TILING[dim]], tokens, dim, tokens, batch=heads),
            ),
            useful_flops=useful_flops(heads, tokens, dim, causal),
            bits=16,
            summary="QK by GEMM, three-pass softmax, AV by GEMM; scores and weights through DRAM",
        )
        for tiling in VARIANTS
        for dim in (64, 128)
        for causal in (False, True)
        for heads, tokens in (shapes or (QUICK if quick else SHAPES))
        if not (causal and tiling != VARIANTS[0])
    )


@cache
def softmax_kernel() -> Any:
    """The compiled numba kernel (needs a GPU)."""
    from numba import cuda

    block = device_function("softmax_f16", "softmax_f16", TYPES, (("THREADS", THREADS),))

    @cuda.jit(f"void({TYPES})", launch_bounds=THREADS)
    def softmax(source, target, columns, length, causal):  # type: ignore[no-untyped-def]
        block(source, target, columns, length, causal)

    return softmax


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    sizes = case.sizes
    heads, tokens, dim, causal = sizes["h"], sizes["p"], sizes["e"], bool(sizes["causal"])
    scores_tiling, values_tiling = TILINGS[case.variant.split("-")[0]], TILINGS[VALUES_TILING[dim]]
    q, k = arena.normal((heads, tokens, dim), "float16"), arena.normal((heads, tokens, dim), "float16")
    v = arena.normal((heads, dim, tokens), "float16")
    scores, weights = (arena.output((heads, tokens, tokens), "float16") for _ in range(2))
    o = arena.output((heads, tokens, dim), "float16")
    softmax = softmax_kernel()

    def run(stream: Any) -> None:
        enqueue(scores_tiling, stream, q, k, scores, tokens, tokens, dim, batch=heads, alpha=dim**-0.5)
        softmax[heads * tokens, THREADS, stream](
            address(scores), address(weights), tokens, tokens, int(causal)
        )
        enqueue(values_tiling, stream, weights, v, o, tokens, dim, tokens, batch=heads)

    def check() -> float:
        if np.isnan(o.copy_to_host()).any():
            return float("nan")
        worst = 0.0
        for head in {0, heads - 1}:
            hosts = [x[head].copy_to_host() for x in (q, k, v, o)]
            rows = sample(48, tokens, head + 1)
            want = reference_rows(hosts[0], hosts[1], hosts[2].T, rows, causal)
            worst = max(worst, relative_error(hosts[3][rows], want))
        return worst

    def vendor() -> Any:
        """torch: matmul, softmax, matmul, the same three steps."""
        import torch

        tq, tk, tv = (torch.as_tensor(x, device="cuda") for x in (q, k, v))
        if causal:
            return None
        return lambda: (
            torch.softmax(torch.bmm(tq, tk.transpose(1, 2)) * dim**-0.5, dim=-1) @ tv.transpose(1, 2)
        )

    return Problem(
        launch=run,
        check=check,
        vendor=vendor,
        compiled=(gemm_kernel(scores_tiling, False), softmax, gemm_kernel(values_tiling, False)),
    )
