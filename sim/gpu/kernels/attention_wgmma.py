"""Fused one-pass attention by warp-group products as data, full and causal, head dim 64 and 128."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from einsim.sim.gpu.case import BlockRun, KernelCase, Launch, Work, ceil_div, even
from einsim.sim.gpu.kernels.attention_fused import useful_flops

FAMILY = "attention-wgmma"
SLACK_BYTES = 1024 + 256  # to the next multiple of 1024, and barriers


class WarpGroupBlocking(msgspec.Struct, frozen=True, kw_only=True):
    """64 query rows for each of `groups` warp groups, bn keys a step, `stages` of K and of V; one more group
    loads.

    turns: the groups issue their products in turn. own, spare: registers a thread that they take and the
    loading group keeps. registers: at launch; ptxas, sm_90a.
    """

    groups: int
    bn: int
    stages: int
    turns: bool
    dims: tuple[int, ...] = (64, 128)
    own: int = 240
    spare: int = 24
    registers: int = 168

    @property
    def bm(self) -> int:
        """Query rows a block."""
        return 64 * self.groups

    @property
    def threads(self) -> int:
        """Threads a block."""
        return 128 * (self.groups + 1)

    def shared_bytes(self, dim: int) -> int:
        """Q, and the stages of K and V."""
        return (self.bm + 2 * self.stages * self.bn) * dim * 2 + SLACK_BYTES


VARIANTS = {
    "128x128s2": WarpGroupBlocking(groups=2, bn=128, stages=2, turns=False),
    "128x128s2t": WarpGroupBlocking(groups=2, bn=128, stages=2, turns=True),
    "192x128s2": WarpGroupBlocking(
        groups=3, bn=128, stages=2, turns=False, dims=(64,), own=160, spare=32, registers=128
    ),
}


def launch(
    blocking: WarpGroupBlocking, heads: int, tokens: int, dim: int, causal: bool, share: int = 1
) -> Launch:
    """One launch as data; `share` query heads read one key head."""
    bm, bn = blocking.bm, blocking.bn
    blocks = ceil_div(tokens, bm)
    if causal:  # heaviest query blocks first, all heads of one query block side by side
        runs = tuple(
            BlockRun(blocks=heads, steps=ceil_div(min(tokens, q * bm + bm), bn))
            for q in reversed(range(blocks))
        )
    else:
        runs = even(heads * blocks, ceil_div(tokens, bn))
    tile_bytes, q_bytes = bn * dim * 2, bm * dim * 2
    return Launch(
        kernel="attention_wgmma_causal" if causal else "attention_wgmma",
        runs=runs,
        threads=blocking.threads,
        registers=blocking.registers,
        shared_bytes=blocking.shared_bytes(dim),
        stages=blocking.stages,
        products=True,
        in_turn=True,
        bytes_in_flight=blocking.stages * 2 * tile_bytes // blocking.threads,
        tile={"p": bm, "m": bn},
        prologue=Work(shared_write_bytes=q_bytes, global_read_bytes=q_bytes, barriers=1),
        step=Work(
            wgmma_flops=4 * bm * bn * dim,
            # SASS: 430 instructions a thread of a group for its 64 scores, an FMA and an exponential each
            fma_ops=bm * bn,
            sfu_ops=bm * bn,
            alu_ops=bm * bn * 47 // 10,
            shared_read_bytes=blocking.groups * 2 * tile_bytes + q_bytes,
            shared_write_bytes=2 * tile_bytes,
            global_read_bytes=2 * tile_bytes,
        ),
        epilogue=Work(
            fma_ops=bm * dim,
            alu_ops=2 * bm * dim,
            shared_read_bytes=q_bytes,
            shared_write_bytes=q_bytes,
            global_write_bytes=q_bytes,
        ),
        unique_read_bytes=(heads + 2 * heads // share) * tokens * dim * 2,
        unique_write_bytes=heads * tokens * dim * 2,
    )


def cases(shapes: Sequence[tuple[int, int, int]]) -> tuple[KernelCase, ...]:
    """Every variant on every shape: query heads, query heads a key head, tokens."""
    return tuple(
        KernelCase(
            family=FAMILY,
            variant=f"{variant}-d{dim}-{'causal' if causal else 'full'}",
            cascade="attention-1pass",
            sizes={
                "h": heads,
                "g": share,
                "m": tokens,
                "p": tokens,
                "e": dim,
                "f": dim,
                "causal": int(causal),
            },
            launches=(launch(blocking, heads, tokens, dim, causal, share),),
            useful_flops=useful_flops(heads, tokens, dim, causal),
            bits=16,
            summary="K and V by TMA; values of one tile beside exponentials of the next",
        )
        for variant, blocking in VARIANTS.items()
        for dim in blocking.dims
        for causal in (False, True)
        for heads, share, tokens in shapes
    )
