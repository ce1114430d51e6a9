"""Decode attention with several query heads a key head as data: split along the keys, then a combine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, even, merged
from einsim.sim.gpu.kernels.decode import H200_SMS as SMS
from einsim.sim.gpu.kernels.decode import TILE, shares

DecodeShape = tuple[int, int, int, int]
"""Query heads (batch included), query heads a key head, context tokens, head dim."""

FAMILY = "decode-grouped"
THREADS, UNROLL = 256, 2
REGISTERS = {(2, 64): 79, (2, 128): 80, (4, 64): 128, (4, 128): 128, (8, 64): 248, (8, 128): 251}  # ptxas
BLOCKS_AN_SM = {2: 3, 4: 2, 8: 1}  # as registers allow
SPLITS = 128  # at most


def splits(key_heads: int, share: int, tiles: int, sms: int) -> int:
    """Splits a key head: the fewest that fill the last wave within 85 % of the best filling."""
    return filling(key_heads, sms * BLOCKS_AN_SM[share], tiles)


def filling(key_heads: int, slots: int, tiles: int) -> int:
    """The fewest splits a key head that fill the last wave of `slots` blocks within 85 % of the best."""
    if key_heads >= 0.8 * slots:
        return 1
    counts = range(1, min(SPLITS, slots, tiles) + 1)
    full = [key_heads * s / slots / ceil_div(key_heads * s, slots) for s in counts]
    return next(s for s, share in zip(counts, full, strict=True) if share >= 0.85 * max(full))


def launches(heads: int, share: int, tokens: int, dim: int, sms: int = SMS) -> tuple[Launch, ...]:
    """The two launches as data. By SASS a thread has 56 instructions for two rows and 71 more for each
    query head (67 with heads of 64), 32 of them FMAs; four exponentials of which three are for what is new.
    """
    tiles, slot, key_heads = ceil_div(tokens, TILE[dim]), (dim + 2) * 4, heads // share
    count, lanes = splits(key_heads, share, tiles, sms), dim // 8
    partial = heads * count * slot
    pairs = TILE[dim] * lanes // UNROLL  # threads' turns of two rows a tile
    warps = THREADS // 32
    main = Launch(
        kernel="decode_grouped",
        runs=merged(shares(tiles, count) * key_heads),
        threads=THREADS,
        registers=REGISTERS[share, dim],
        shared_bytes=warps * (dim + 2) * 4,
        bytes_in_flight=2 * UNROLL * 16,
        tile={"m": TILE[dim], "g": share},
        prologue=Work(global_read_bytes=share * dim * 2),
        step=Work(
            fma_ops=32 * share * pairs,
            sfu_ops=3 * share * pairs,
            alu_ops=(56 + (36 if dim == 128 else 32) * share) * pairs,
            global_read_bytes=2 * TILE[dim] * dim * 2,
        ),
        epilogue=Work(
            fma_ops=9 * THREADS * 2,
            alu_ops=22 * THREADS * 2,
            sfu_ops=3 * THREADS,
            shared_write_bytes=warps * (dim + 2) * 4,
            shared_read_bytes=THREADS * warps * 12,
            global_write_bytes=slot,
            barriers=2,
        ).times(share),
        unique_read_bytes=(2 * tokens * key_heads + heads) * dim * 2,
        unique_write_bytes=partial,
    )
    return main, combine(heads, count, dim)


def combine(heads: int, count: int, dim: int) -> Launch:
    """The launch that joins the splits of every head."""
    partial = heads * count * (dim + 2) * 4
    return Launch(
        kernel="decode_combine",
        runs=even(heads, count),
        threads=dim,
        registers=32,
        bytes_in_flight=4,
        tile={"split": count},
        step=Work(fma_ops=2 * dim, sfu_ops=dim, alu_ops=dim, global_read_bytes=(dim + 2) * 4 + 4),
        epilogue=Work(global_write_bytes=dim * 2),
        unique_read_bytes=partial,
        unique_write_bytes=heads * dim * 2,
    )


def cases(shapes: Sequence[DecodeShape]) -> tuple[KernelCase, ...]:
    """Cases of some shapes."""
    return grouped(
        FAMILY, "split", launches, shapes, "a block reads its keys once for all query heads that share them"
    )


def grouped(
    family: str, variant: str, launches: Callable[[int, int, int, int], tuple[Launch, ...]],
    shapes: Sequence[DecodeShape], summary: str,
) -> tuple[KernelCase, ...]:  # fmt: skip
    """Cases of a family that decodes with several query heads a key head."""
    return tuple(
        KernelCase(
            family=family, variant=f"{variant}-d{dim}", cascade="attention-decode",
            sizes={"h": heads, "g": share, "m": tokens, "p": 1, "e": dim, "f": dim},
            launches=launches(heads, share, tokens, dim), useful_flops=4 * heads * tokens * dim, bits=16,
            summary=summary,
        )
        for heads, share, tokens, dim in shapes
    )  # fmt: skip
