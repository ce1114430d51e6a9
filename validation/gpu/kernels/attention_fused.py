"""Fused one-pass attention forward (FlashAttention-like) on tensor cores, full and causal, head dim 64 and
128.
"""

from __future__ import annotations

from functools import cache
from math import e, log2
from typing import Any

import numpy as np

from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.kernels.attention_fused import VARIANTS, shared_bytes
from einsim.validation.gpu.kernels.linked import allow_shared, device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address, relative_error, sample

TYPES = "uint64,uint64,uint64,uint64,int32,int32,float32"


@cache
def kernel(variant: str, dim: int, causal: bool) -> Any:
    """The compiled numba kernel (needs a GPU)."""
    from numba import cuda

    blocking = VARIANTS[variant]
    macros = {
        "NAME": "attention",
        "D": dim,
        "BM": blocking.bm,
        "BN": blocking.bn,
        "ROWS": blocking.rows,
        "CAUSAL": int(causal),
    }
    file = "attention_pipelined" if blocking.pipelined else "attention"
    block = device_function(file, "attention", TYPES, tuple(macros.items()))

    @cuda.jit(f"void({TYPES})", launch_bounds=blocking.threads)
    def attention(q, k, v, o, heads, tokens, scale):  # type: ignore[no-untyped-def]
        block(q, k, v, o, heads, tokens, scale)

    allow_shared(attention, shared_bytes(blocking, dim))
    return attention


def reference_rows(q: Any, k: Any, v: Any, rows: Any, causal: bool) -> Any:
    """Attention of some rows of one head in float64; q, k, v are [tokens][dim] host arrays."""
    scores = q[rows].astype(np.float64) @ k.astype(np.float64).T / np.sqrt(q.shape[1])
    if causal:
        scores[np.arange(k.shape[0])[None, :] > rows[:, None]] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights @ v.astype(np.float64) / weights.sum(axis=1, keepdims=True)


def check_heads(q: Any, k: Any, v: Any, o: Any, heads: int, causal: bool) -> float:
    """Worst relative error over the first and the last head, 48 rows each; q, k, v, o are
    [heads][tokens][dim] on the device.
    """
    worst = 0.0
    if np.isnan(o.copy_to_host()).any():
        return float("nan")
    for head in {0, heads - 1}:
        host_q, host_k, host_v, got = (x[head].copy_to_host() for x in (q, k, v, o))
        rows = sample(48, got.shape[0], head + 1)
        worst = max(worst, relative_error(got[rows], reference_rows(host_q, host_k, host_v, rows, causal)))
    return worst


def vendor_attention(q: Any, k: Any, v: Any, causal: bool) -> Any:
    """Torch's scaled_dot_product_attention on the same buffers."""
    import torch

    tensors = [torch.as_tensor(x, device="cuda").unsqueeze(0) for x in (q, k, v)]
    return lambda: torch.nn.functional.scaled_dot_product_attention(*tensors, is_causal=causal)


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    variant, sizes = case.variant.rsplit("-", 2)[0], case.sizes
    heads, tokens, dim, causal = sizes["h"], sizes["p"], sizes["e"], bool(sizes["causal"])
    blocking = VARIANTS[variant]
    q, k, v = (arena.normal((heads, tokens, dim), "float16") for _ in range(3))
    o = arena.output((heads, tokens, dim), "float16")
    compiled, grid = kernel(variant, dim, causal), heads * (tokens // blocking.bm)

    def run(stream: Any) -> None:
        compiled[grid, blocking.threads, stream, shared_bytes(blocking, dim)](
            address(q), address(k), address(v), address(o), heads, tokens, log2(e) * dim**-0.5
        )

    return Problem(
        launch=run,
        check=lambda: check_heads(q, k, v, o, heads, causal),
        vendor=lambda: vendor_attention(q, k, v, causal),
        compiled=(compiled,),
    )
