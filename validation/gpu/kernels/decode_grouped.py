"""Decode attention with several query heads a key head by linked CUDA C++, split along the keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import e, log2
from typing import Any

import numpy as np

from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels.decode import TILE
from einsim.sim.gpu.kernels.decode_grouped import BLOCKS_AN_SM, THREADS, UNROLL, splits
from einsim.validation.gpu.kernels.attention_fused import reference_rows
from einsim.validation.gpu.kernels.decode import kernels as decode_kernels
from einsim.validation.gpu.kernels.linked import device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address, relative_error

TYPES = "uint64,uint64,uint64,uint64,int32,int32,float32"


@cache
def kernel(dim: int, share: int) -> Any:
    """The compiled numba kernel (needs a GPU)."""
    from numba import cuda

    macros = (("D", dim), ("SHARE", share), ("THREADS", THREADS), ("UNROLL", UNROLL), ("TILE", TILE[dim]))
    block = device_function("decode_grouped", "decode_grouped", TYPES, macros)

    @cuda.jit(f"void({TYPES})", launch_bounds=(THREADS, BLOCKS_AN_SM[share]))
    def grouped(q, k, v, part, splits, length, scale):  # type: ignore[no-untyped-def]
        block(q, k, v, part, splits, length, scale)

    return grouped


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launches and check of one case (needs a GPU)."""
    heads, share, tokens, dim = (case.sizes[rank] for rank in ("h", "g", "m", "e"))
    count = splits(heads // share, share, ceil_div(tokens, TILE[dim]), arena.sms)
    grouped, combine = kernel(dim, share), decode_kernels(dim)[2]

    def launches(stream: Any, q: Any, k: Any, v: Any, part: Any, o: Any) -> None:
        grouped[heads // share * count, THREADS, stream](
            address(q), address(k), address(v), address(part), count, tokens, log2(e) * dim**-0.5
        )
        combine[heads, dim, stream](address(part), address(o), count)

    return bind_grouped(case, arena, count, launches, (grouped, combine))


def bind_grouped(
    case: KernelCase, arena: Arena, count: int, launches: Callable[..., None], compiled: tuple[Any, ...]
) -> Problem:
    """Queries, shared keys and values and partial results of `count` splits, for launches(stream, q, k, v,
    part, o).
    """
    heads, share, tokens, dim = (case.sizes[rank] for rank in ("h", "g", "m", "e"))
    key_heads = heads // share
    q, o = arena.normal((heads, 1, dim), "float16"), arena.output((heads, 1, dim), "float16")
    k, v = (arena.normal((key_heads, tokens, dim), "float16") for _ in range(2))
    part = arena.output((heads * count, dim + 2), "float32")

    def check() -> float:
        worst, got = 0.0, o.copy_to_host()
        if np.isnan(got).any():
            return float("nan")
        for head in {0, heads // 2, heads - 1} if heads * tokens <= 2**20 else {heads - 1}:
            host_q, host_k, host_v = (
                x[at].copy_to_host() for x, at in ((q, head), (k, head // share), (v, head // share))
            )
            row = reference_rows(host_q, host_k, host_v, np.arange(1), False)
            worst = max(worst, relative_error(got[head], row))
        return worst

    def vendor() -> Any:
        import torch

        tensors = [torch.as_tensor(x, device="cuda").unsqueeze(0) for x in (q, k, v)]
        return lambda: torch.nn.functional.scaled_dot_product_attention(*tensors, enable_gqa=True)

    return Problem(
        launch=lambda stream: launches(stream, q, k, v, part, o),
        check=check,
        vendor=vendor,
        compiled=compiled,
    )
