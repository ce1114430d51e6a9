"""Decode attention with several query heads a key head by `mma.sync` as data: the queries of a key head are
the rows of a product, split along the keys, then a combine.
"""

from __future__ import annotations

from collections.abc import Sequence

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, merged
from einsim.sim.gpu.kernels.decode import H200_SMS as SMS
from einsim.sim.gpu.kernels.decode import shares
from einsim.sim.gpu.kernels.decode_grouped import DecodeShape, combine, filling, grouped

FAMILY = "decode-tensor"
THREADS = 128
ROWS = 64  # keys of a tile
QUERIES = 16  # rows of a product, of which a key head's queries are the first
STAGES = {64: 4, 128: 3}
BLOCKS_AN_SM = {64: 3, 128: 2}  # as shared memory allows
REGISTERS = {(1, 64): 96, (1, 128): 170, (2, 64): 96, (2, 128): 153}  # by halves of the rows; ptxas, sm_90a
OTHER_REGISTERS = {(8, 64): 98, (16, 128): 154}  # by query heads a key head, where they differ
ISSUED = {64: 307, 128: 383}  # instructions of a thread and tile beside products and exponentials, SASS
SECOND_HALF = 70  # more where queries are in both halves of the rows


def shared_bytes(dim: int) -> int:
    """Stages of keys and values."""
    return STAGES[dim] * 2 * ROWS * dim * 2


def splits(key_heads: int, tiles: int, dim: int, sms: int) -> int:
    """Splits a key head: the fewest that fill the last wave within 85 % of the best filling."""
    return filling(key_heads, sms * BLOCKS_AN_SM[dim], tiles)


def launches(heads: int, share: int, tokens: int, dim: int, sms: int = SMS) -> tuple[Launch, ...]:
    """The two launches as data; a step is a tile of keys and values."""
    tiles, slot, key_heads = ceil_div(tokens, ROWS), (dim + 2) * 4, heads // share
    count, halves = splits(key_heads, tiles, dim, sms), 1 + (share > QUERIES // 2)
    tile_bytes = ROWS * dim * 2
    main = Launch(
        kernel="decode_tensor",
        runs=merged(shares(tiles, count) * key_heads),
        threads=THREADS,
        registers=OTHER_REGISTERS.get((share, dim), REGISTERS[halves, dim]),
        shared_bytes=shared_bytes(dim),
        stages=STAGES[dim],
        bytes_in_flight=(STAGES[dim] - 1) * 2 * tile_bytes // THREADS,
        tile={"m": ROWS, "g": share},
        prologue=Work(global_read_bytes=share * dim * 2),
        step=Work(
            tensor_flops=2 * 2 * QUERIES * ROWS * dim,
            fma_ops=THREADS * halves * dim // 4,
            sfu_ops=THREADS * halves * 5,
            alu_ops=THREADS * (ISSUED[dim] + SECOND_HALF * (halves - 1)),
            shared_read_bytes=2 * tile_bytes,
            shared_write_bytes=2 * tile_bytes,
            global_read_bytes=2 * tile_bytes,
            barriers=1,
        ),
        epilogue=Work(
            fma_ops=8 * share * dim,
            alu_ops=30 * share * dim,
            sfu_ops=4 * share * dim,
            shared_write_bytes=4 * share * slot,
            shared_read_bytes=4 * share * dim * 12,
            global_write_bytes=share * slot,
            barriers=2,
        ),
        unique_read_bytes=(2 * tokens * key_heads + heads) * dim * 2,
        unique_write_bytes=heads * count * slot,
    )
    return main, combine(heads, count, dim)


def cases(shapes: Sequence[DecodeShape]) -> tuple[KernelCase, ...]:
    """Cases of some shapes."""
    summary = "tiles of 64 keys by cp.async, the queries of a key head as rows of mma.sync"
    return grouped(FAMILY, "tensor", launches, shapes, summary)
