"""Unfused attention forward as data: scores by tensor-core GEMM, three-pass softmax, weighted values by GEMM.

The scores and the weights cross DRAM in FP16. A causal mask is applied by the softmax; both GEMMs still
compute the whole square.
"""

from __future__ import annotations

from collections.abc import Sequence

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, even, in_warps
from einsim.sim.gpu.kernels.attention_fused import useful_flops
from einsim.sim.gpu.kernels.gemm_f16 import VARIANTS as TILINGS
from einsim.sim.gpu.kernels.gemm_f16 import launch

FAMILY = "attention-unfused"
THREADS = 256
VALUES_TILING = {64: "128x64x64s3", 128: "128x128x32s4"}  # the weighted-values GEMM is only `dim` wide
VARIANTS = ("128x128x32s4", "128x256x64s3")  # tiling of the scores GEMM


def softmax_launch(rows: int, columns: int, causal: bool) -> Launch:
    """A block a row; a step is one 16-byte access of every thread in each of the three passes.

    Under a causal mask a row reads what it sees, half of all on average, and writes its zeros as well.
    """
    width = THREADS * 8
    per_pass, share, seen = -(-columns // width), 2 if causal else 1, 3 if causal else 4
    waits, values = -(-per_pass // (4 * share)), ceil_div(8 * in_warps(columns // 8), per_pass)
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
            fma_ops=4 * values * seen // 4,
            sfu_ops=2 * values * seen // 4,
            alu_ops=41 * values * seen // 8,
            global_read_bytes=3 * values * 2 // share,
            global_write_bytes=values * 2,
        ),
        epilogue=Work(alu_ops=110 * THREADS, barriers=4),
        unique_read_bytes=rows * columns * 2 // share,
        unique_write_bytes=rows * columns * 2,
    )


def cases(shapes: Sequence[tuple[int, ...]]) -> tuple[KernelCase, ...]:
    """Every variant on every shape, (query heads, tokens) or (query heads, query heads a key head, tokens);
    under a causal mask the first tiling only. Query heads that share keys are one head of so many more rows.
    """

    def sizes(heads: int, share: int, tokens: int) -> dict[str, int]:
        return {"h": heads, **({"g": share} if share > 1 else {}), "m": tokens, "p": tokens}

    return tuple(
        KernelCase(
            family=FAMILY,
            variant=f"{tiling}-d{dim}-{'causal' if causal else 'full'}",
            cascade="attention-3pass",
            sizes={**sizes(heads, share, tokens), "e": dim, "f": dim, "causal": int(causal)},
            launches=(
                launch(TILINGS[tiling], share * tokens, tokens, dim, batch=heads // share),
                softmax_launch(heads * tokens, tokens, causal),
                launch(TILINGS[VALUES_TILING[dim]], share * tokens, dim, tokens, batch=heads // share),
            ),
            useful_flops=useful_flops(heads, tokens, dim, causal),
            bits=16,
            summary="QK by GEMM, three-pass softmax, AV by GEMM; scores and weights through DRAM",
        )
        for tiling in VARIANTS
        for dim in (64, 128)
        for causal in (False, True)
        for heads, share, tokens in ((s[0], s[1] if len(s) > 2 else 1, s[-1]) for s in shapes)
        if not (causal and tiling != VARIANTS[0])
    )
