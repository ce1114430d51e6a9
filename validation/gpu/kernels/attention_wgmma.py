"""Fused one-pass attention forward by TMA and linked wgmma, full and causal, head dim 64 and 128, grouped
keys.
"""

from __future__ import annotations

from functools import cache
from math import e, log2
from typing import Any

import numpy as np

from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels.attention_wgmma import VARIANTS
from einsim.validation.gpu.kernels.attention_fused import reference_rows
from einsim.validation.gpu.kernels.linked import allow_shared, device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address, relative_error, sample
from einsim.validation.gpu.kernels.tensor_map import tensor_map

TYPES = "uint64,uint64,uint64,uint64,int32,int32,int32,int32,float32"
HALF = 64  # columns of a box


@cache
def kernel(variant: str, dim: int, causal: bool) -> Any:
    """The compiled numba kernel (needs a GPU of sm_90)."""
    from numba import cuda

    blocking = VARIANTS[variant]
    macros = {
        "NAME": "attention_wgmma", "D": dim, "BN": blocking.bn, "STAGES": blocking.stages,
        "GROUPS": blocking.groups,
        "CAUSAL": int(causal), "TURNS": int(blocking.turns), "SPARE": blocking.spare, "OWN": blocking.own,
    }  # fmt: skip
    block = device_function("attention_wgmma", "attention_wgmma", TYPES, tuple(macros.items()), ("hopper",))

    @cuda.jit(f"void({TYPES})", launch_bounds=(blocking.threads, 1))
    def attention(q, k, v, o, heads, share, rows, keys, scale):  # type: ignore[no-untyped-def]
        block(q, k, v, o, heads, share, rows, keys, scale)

    allow_shared(attention, blocking.shared_bytes(dim))
    return attention


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU of sm_90)."""
    variant, sizes = case.variant.rsplit("-", 2)[0], case.sizes
    heads, share, tokens, dim, causal = sizes["h"], sizes["g"], sizes["p"], sizes["e"], bool(sizes["causal"])
    blocking = VARIANTS[variant]
    q, o = arena.normal((heads, tokens, dim), "float16"), arena.output((heads, tokens, dim), "float16")
    k, v = (arena.normal((heads // share, tokens, dim), "float16") for _ in range(2))
    q_map = tensor_map(arena, q, (HALF, blocking.bm, 1))
    k_map, v_map = (tensor_map(arena, x, (HALF, blocking.bn, 1)) for x in (k, v))
    compiled, grid, scale = (
        kernel(variant, dim, causal),
        heads * ceil_div(tokens, blocking.bm),
        log2(e) * dim**-0.5,
    )

    def run(stream: Any) -> None:
        compiled[grid, blocking.threads, stream, blocking.shared_bytes(dim)](
            address(q_map), address(k_map), address(v_map), address(o), heads, share, tokens, tokens, scale
        )

    def check() -> float:
        worst = 0.0
        if np.isnan(o.copy_to_host()).any():
            return float("nan")
        for head in {0, heads - 1}:
            host_q, host_k, host_v = (
                x[at].copy_to_host() for x, at in ((q, head), (k, head // share), (v, head // share))
            )
            rows = sample(48, tokens, head + 1)
            reference = reference_rows(host_q, host_k, host_v, rows, causal)
            worst = max(worst, relative_error(o[head].copy_to_host()[rows], reference))
        return worst

    def vendor() -> Any:
        import torch

        tensors = [torch.as_tensor(x, device="cuda").unsqueeze(0) for x in (q, k, v)]
        attend = torch.nn.functional.scaled_dot_product_attention
        return lambda: attend(*tensors, is_causal=causal, enable_gqa=share > 1)

    return Problem(launch=run, check=check, vendor=vendor, compiled=(compiled,))
