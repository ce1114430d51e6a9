"""Unfused attention forward in three launches: scores by tensor-core GEMM, three-pass softmax, weighted
values by GEMM.

The scores and the weights cross DRAM in FP16. V is kept transposed, [head][f][m], as the cascade AV[f,p] =
A[m,p] * V[f,m] has it. A causal mask is applied by the softmax; both GEMMs still compute the whole square.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.kernels.attention_unfused import THREADS, VALUES_TILING
from einsim.sim.gpu.kernels.gemm_f16 import VARIANTS as TILINGS
from einsim.validation.gpu.kernels.attention_fused import reference_rows
from einsim.validation.gpu.kernels.gemm_f16 import enqueue
from einsim.validation.gpu.kernels.gemm_f16 import kernel as gemm_kernel
from einsim.validation.gpu.kernels.linked import device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address, relative_error, sample

TYPES = "uint64,uint64,int32,int32,int32"


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
    share = sizes.get("g", 1)  # query heads a key head, which are rows of one product
    key_heads, rows = heads // share, share * tokens
    scores_tiling, values_tiling = TILINGS[case.variant.split("-")[0]], TILINGS[VALUES_TILING[dim]]
    q, k = arena.normal((heads, tokens, dim), "float16"), arena.normal((key_heads, tokens, dim), "float16")
    v = arena.normal((key_heads, dim, tokens), "float16")
    scores, weights = (arena.output((heads, tokens, tokens), "float16") for _ in range(2))
    o = arena.output((heads, tokens, dim), "float16")
    softmax = softmax_kernel()

    def run(stream: Any) -> None:
        enqueue(scores_tiling, stream, q, k, scores, rows, tokens, dim, batch=key_heads, alpha=dim**-0.5)
        softmax[heads * tokens, THREADS, stream](
            address(scores), address(weights), tokens, tokens, int(causal)
        )
        enqueue(values_tiling, stream, weights, v, o, rows, dim, tokens, batch=key_heads)

    def check() -> float:
        if np.isnan(o.copy_to_host()).any():
            return float("nan")
        worst = 0.0
        for head in {0, heads - 1}:
            key_head = head // share
            hosts = [x[at].copy_to_host() for x, at in ((q, head), (k, key_head), (v, key_head), (o, head))]
            some = sample(48, tokens, head + 1)
            want = reference_rows(hosts[0], hosts[1], hosts[2].T, some, causal)
            worst = max(worst, relative_error(hosts[3][some], want))
        return worst

    def vendor() -> Any:
        """torch: matmul, softmax, matmul, the same three steps."""
        import torch

        tq, tk, tv = (torch.as_tensor(x, device="cuda") for x in (q, k, v))
        if causal or share > 1:
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
