"""Fused one-pass attention forward (FlashAttention-like) as data, full and causal, head dim 64 and 128."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from einsim.sim.gpu.case import BlockRun, KernelCase, Launch, Work, even

FAMILY = "attention-fused"


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


def shared_bytes(blocking: Blocking, dim: int) -> int:
    """Q, and two stages of K and V."""
    return (blocking.bm + 4 * blocking.bn) * dim * 2


def launch(blocking: Blocking, heads: int, tokens: int, dim: int, causal: bool) -> Launch:
    """One launch as data."""
    bm, bn, warps = blocking.bm, blocking.bn, blocking.bm // blocking.rows
    blocks = tokens // bm
    if causal:  # heaviest query blocks first, all heads of one query block side by side
        runs = tuple(BlockRun(blocks=heads, steps=-(-(q * bm + bm) // bn)) for q in reversed(range(blocks)))
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


def cases(shapes: Sequence[tuple[int, int]]) -> tuple[KernelCase, ...]:
    """Every variant on every shape."""
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
        for heads, tokens in shapes
    )
