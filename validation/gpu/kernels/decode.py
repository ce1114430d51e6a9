"""Decode attention by linked CUDA C++: a block a head, fixed split with a combine, and stream-K."""

from __future__ import annotations

from functools import cache
from math import e, log2
from typing import Any

import numpy as np

from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels.decode import THREADS, TILE, UNROLL, fixed_splits, stream_grid
from einsim.validation.gpu.kernels.attention_fused import reference_rows, vendor_attention
from einsim.validation.gpu.kernels.linked import device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address, relative_error

SPLIT_TYPES = "uint64,uint64,uint64,uint64,int32,int32,float32"
HEADS_TYPES = "uint64,uint64,uint64,uint64,int32,float32"
COMBINE_TYPES = "uint64,uint64,int32"
STREAM_TYPES = "uint64,uint64,uint64,uint64,uint64,uint64,int32,int32,float32"


@cache
def kernels(dim: int) -> tuple[Any, Any, Any, Any]:
    """The compiled numba kernels: a block a head, split, combine, stream."""
    from numba import cuda

    macros = (("D", dim), ("THREADS", THREADS), ("UNROLL", UNROLL), ("TILE", TILE[dim]))
    heads_block = device_function("decode", "decode_heads", HEADS_TYPES, macros)
    split_block = device_function("decode", "decode_split", SPLIT_TYPES, macros)
    combine_block = device_function("decode", "decode_combine", COMBINE_TYPES, macros)
    stream_block = device_function("decode", "decode_stream", STREAM_TYPES, macros)

    @cuda.jit(f"void({HEADS_TYPES})", launch_bounds=THREADS)
    def whole(q, k, v, o, length, scale):  # type: ignore[no-untyped-def]
        heads_block(q, k, v, o, length, scale)

    @cuda.jit(f"void({SPLIT_TYPES})", launch_bounds=THREADS)
    def split(q, k, v, part, splits, length, scale):  # type: ignore[no-untyped-def]
        split_block(q, k, v, part, splits, length, scale)

    @cuda.jit(f"void({COMBINE_TYPES})", launch_bounds=THREADS)
    def combine(part, o, splits):  # type: ignore[no-untyped-def]
        combine_block(part, o, splits)

    @cuda.jit(f"void({STREAM_TYPES})", launch_bounds=THREADS)
    def stream(q, k, v, o, part, flags, heads, length, scale):  # type: ignore[no-untyped-def]
        stream_block(q, k, v, o, part, flags, heads, length, scale)

    return whole, split, combine, stream


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    heads, tokens, dim = case.sizes["h"], case.sizes["m"], case.sizes["e"]
    schedule, tiles, scale = case.variant.rsplit("-d", 1)[0], ceil_div(tokens, TILE[dim]), log2(e) * dim**-0.5
    q, o = arena.normal((heads, 1, dim), "float16"), arena.output((heads, 1, dim), "float16")
    k, v = (arena.normal((heads, tokens, dim), "float16") for _ in range(2))
    whole, split, combine, stream = kernels(dim)
    splits, grid = fixed_splits(heads, tiles, arena.sms), stream_grid(heads, tiles, arena.sms)
    part = arena.output((max(heads * splits, grid), dim + 2), "float32")
    flags = arena.zeros((grid,), "int32")

    def run(on: Any) -> None:
        inputs = (address(q), address(k), address(v))
        if schedule == "block-a-head":
            whole[heads, THREADS, on](*inputs, address(o), tokens, scale)
        elif schedule == "fixed-split":
            split[heads * splits, THREADS, on](*inputs, address(part), splits, tokens, scale)
            combine[heads, dim, on](address(part), address(o), splits)
        else:
            stream[grid, THREADS, on](
                *inputs, address(o), address(part), address(flags), heads, tokens, scale
            )

    def check() -> float:
        worst, got = 0.0, o.copy_to_host()
        if np.isnan(got).any() or flags.copy_to_host().any():
            return float("nan")
        for head in {0, heads // 2, heads - 1} if heads * tokens <= 2**20 else {heads - 1}:
            host_q, host_k, host_v = (x[head].copy_to_host() for x in (q, k, v))
            row = reference_rows(host_q, host_k, host_v, np.arange(1), False)
            worst = max(worst, relative_error(got[head], row))
        return worst

    used = {"block-a-head": (whole,), "fixed-split": (split, combine), "stream-k": (stream,)}[schedule]
    return Problem(launch=run, check=check, vendor=lambda: vendor_attention(q, k, v, False), compiled=used)
