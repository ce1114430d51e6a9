"""Fused one-pass attention forward (FlashAttention-like) on tensor cores, full and causal, head dim 64 and
128.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import e, log2
from typing import Any

import msgspec
import numpy as np

from einsim.validation.gpu.case import KernelCase, Launch, Run, Work, even
from einsim.validation.gpu.kernels.linked import allow_shared, device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address, relative_error, sample

FAMILY = "attention-fused"
TYPES = "uint64,uint64,uint64,uint64,int32,int32,float32"


class Blocking(msgspec.Struct, frozen=True, kw_only=True):
    """bm query rows a block, bn keys a step, `rows` query rows a warp. registers: ptxas, sm_90a.

    pipelined: the next tile's scores are computed during this tile's softmax (attention_pipelined.cu, else
    attention.cu).
    """

    pipelined: bool = False
    bm: int
    bn: int
    rows: int
    registers: dict[int, tuple[int, int]]  # by head dim: full, causal

    @property
    def threads(self) -> int:
        """Threads a block."""
        return 32 * self.bm // self.rows


VARIANTS = {
    "128x64r32": Blocking(bm=128, bn=64, rows=32, registers={64: (227, 233), 128: (255, 255)}),
    "128x128r32": Blocking(bm=128, bn=128, rows=32, registers={64: (255, 255)}),
    "128x64r16": Blocking(bm=128, bn=64, rows=16, registers={64: (127, 125), 128: (170, 174)}),
    "pipelined-128x64r32": Blocking(pipelined=True, bm=128, bn=64, rows=32, registers={64: (255, 255)}),
    "pipelined-128x32r32": Blocking(
        pipelined=True, bm=128, bn=32, rows=32, registers={64: (224, 235), 128: (255, 255)}
    ),
    "pipelined-256x32r32": Blocking(
        pipelined=True, bm=256, bn=32, rows=32, registers={64: (228, 229), 128: (255, 255)}
    ),
}
# heads (batch included), tokens: 2k to 16k tokens, few and many heads
SHAPES = (
    (32, 1024), (16, 2048), (64, 2048), (32, 4096), (8, 4096), (16, 8192), (4, 8192), (40, 8192),
    (8, 16384), (2, 32768),
)  # fmt: skip
QUICK = ((16, 8192),)


def shared_bytes(blocking: Blocking, dim: int) -> int:
    """Q, and two stages of K and V."""
    return (blocking.bm + 4 * blocking.bn) * dim * 2


def launch(blocking: Blocking, heads: int, tokens: int, dim: int, causal: bool) -> Launch:
    """One launch as data."""
    bm, bn, warps = blocking.bm, blocking.bn, blocking.bm // blocking.rows
    blocks = tokens // bm
    if causal:  # heaviest query blocks first, all heads of one query block side by side
        runs = tuple(Run(blocks=heads, steps=-(-(q * bm + bm) // bn)) for q in reversed(range(blocks)))
    else:
        runs = even(heads * blocks, tokens // bn)
    tile_bytes = bn * dim * 2
    held = blocking.pipelined and dim == 64 and bn == 32  # Q's fragments stay in registers
    fragments = ((0 if held else bm) + 2 * warps * bn) * dim * 2
    return Launch(
        kernel="attention_causal" if causal else "attention",
        runs=runs,
        threads=blocking.threads,
        registers=blocking.registers[dim][causal],
        shared_bytes=shared_bytes(blocking, dim),
        stages=2,
        in_turn=True,
        bytes_in_flight=2 * tile_bytes // blocking.threads,
        tile={"p": bm, "m": bn, "warp_p": blocking.rows},
        prologue=Work(
            alu_ops=bm * dim // 8, shared_write_bytes=bm * dim * 2, global_read_bytes=bm * dim * 2, barriers=1
        ),
        step=Work(
            tensor_flops=4 * bm * bn * dim,
            fma_ops=bm
            * bn,  # scale and shift of every score; the output is rescaled in a few early steps only
            sfu_ops=bm * bn,
            alu_ops=2 * bm * bn + bm * bn // 2 + 2 * tile_bytes // 16 + fragments // 16,
            shared_read_bytes=fragments,
            shared_write_bytes=2 * tile_bytes,
            global_read_bytes=2 * tile_bytes,
            barriers=1 if blocking.pipelined else 2,
        ),
        epilogue=Work(
            fma_ops=bm * dim,
            alu_ops=bm * dim,
            shared_read_bytes=bm * dim * 2,
            shared_write_bytes=bm * dim * 2,
            global_write_bytes=bm * dim * 2,
        ),
        unique_read_bytes=3 * heads * tokens * dim * 2,
        unique_write_bytes=heads * tokens * dim * 2,
    )


def useful_flops(heads: int, tokens: int, dim: int, causal: bool) -> int:
    """Two products over the pairs that the mask leaves."""
    return 4 * heads * dim * (tokens * (tokens + 1) // 2 if causal else tokens * tokens)


def cases(quick: bool = False, shapes: Sequence[Any] = ()) -> tuple[KernelCase, ...]:
    """The cases of this family, of other shapes if given; with `quick`, one size of every variant."""
    return tuple(
        KernelCase(
            family=FAMILY,
            variant=f"{variant}-d{dim}-{'causal' if causal else 'full'}",
            cascade="attention-1pass",
            sizes={"h": heads, "m": tokens, "p": tokens, "e": dim, "f": dim, "causal": int(causal)},
            launches=(launch(blocking, heads, tokens, dim, causal),),
            useful_flops=useful_flops(heads, tokens, dim, causal),
            bits=16,
            summary="scores, maximum, sum and output in registers; K and V double-buffered by cp.async",
        )
        for variant, blocking in VARIANTS.items()
        for dim in blocking.registers
        for causal in (False, True)
        for heads, tokens in (shapes or (QUICK if quick else SHAPES))
    )


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
