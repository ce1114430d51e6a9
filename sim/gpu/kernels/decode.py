"""Decode attention as data, one query row a head, by three schedules: a block a head, fixed split with a
combine, and stream-K.

Stream-K is LeanAttention's (arXiv 2405.10480): every block takes an equal run of KV tiles over all heads; a
tile is 256 rows for head dim 64 and 128 for 128, and there are two blocks an SM when the work allows.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from einsim.sim.gpu.case import BlockRun, KernelCase, Launch, Work, ceil_div, even, merged

FAMILY = "decode"
THREADS = 256
UNROLL = 4  # rows of K and of V in flight a thread
TILE = {64: 256, 128: 128}  # rows, as in LeanAttention
BLOCKS_AN_SM = 2
REGISTERS = 64  # ptxas, sm_90a
# Round trips to L2 from a block's partial result to the reading of it: a fence, the flag's store, a poll of
# it (every 64 ns and a trip), the flag's reset and a second fence. Assumed: eight trips a fence. Then one
# trip for every partial result that is merged.
FENCES = 20
SCHEDULES = ("block-a-head", "fixed-split", "stream-k")
H200_SMS = 132  # NVIDIA H100/H200 SXM5; the grids of fixed split and stream-K depend on it


def fixed_splits(heads: int, tiles: int, sms: int) -> int:
    """Splits a head, by FlashDecoding's rule: the fewest that fill the last wave within 85 % of the best
    filling up to 128.
    """
    slots = sms * BLOCKS_AN_SM
    if heads >= 0.8 * slots:
        return 1
    counts = range(1, min(128, slots, tiles) + 1)
    filling = [heads * s / slots / ceil_div(heads * s, slots) for s in counts]
    return next(s for s, full in zip(counts, filling, strict=True) if full >= 0.85 * max(filling))


def stream_grid(heads: int, tiles: int, sms: int) -> int:
    """Blocks of stream-K: two an SM, and never more than there are tiles."""
    return min(BLOCKS_AN_SM * sms, heads * tiles)


def shares(total: int, blocks: int) -> list[int]:
    """Tiles of every block when `total` is dealt in equal runs, as the kernel deals them."""
    return [(b + 1) * total // blocks - b * total // blocks for b in range(blocks)]


def tile_work(dim: int) -> Work:
    """One KV tile: a dot product and an accumulation a row, reduced over dim/8 lanes by shuffles."""
    rows, lanes = TILE[dim], dim // 8
    reduction = rows * lanes * 2 * (lanes.bit_length() - 1)
    return Work(
        fma_ops=2 * rows * dim,
        sfu_ops=rows * lanes,
        alu_ops=2 * rows * dim + reduction + 4 * rows * lanes,
        global_read_bytes=2 * rows * dim * 2,
    )


def merge_work(dim: int) -> Work:
    """The merge of the block's lane groups: shuffles, then one exchange through shared memory."""
    groups, warps = THREADS // (dim // 8), THREADS // 32
    return Work(
        fma_ops=9 * THREADS * 2,
        alu_ops=10 * THREADS * 2,
        sfu_ops=2 * groups + warps,
        shared_write_bytes=warps * (dim + 2) * 4,
        shared_read_bytes=THREADS * warps * 12,
        barriers=2,
    )


def launches(schedule: str, heads: int, tokens: int, dim: int, sms: int) -> tuple[Launch, ...]:
    """The launches of one schedule on a device of `sms` SMs."""
    tiles, slot = ceil_div(tokens, TILE[dim]), (dim + 2) * 4
    reads, writes = heads * (2 * tokens + 1) * dim * 2, heads * dim * 2
    shared = THREADS // 32 * (dim + 2) * 4

    def main(kernel: str, runs: tuple[BlockRun, ...], end: Work, written: int, read: int = 0) -> Launch:
        return Launch(
            kernel=kernel,
            runs=runs,
            threads=THREADS,
            registers=REGISTERS,
            shared_bytes=shared,
            bytes_in_flight=2 * UNROLL * 16,
            tile={"m": TILE[dim]},
            step=tile_work(dim),
            epilogue=merge_work(dim) + end,
            unique_read_bytes=reads + read,
            unique_write_bytes=written,
        )

    if schedule == "block-a-head":
        return (main("decode_heads", even(heads, tiles), Work(global_write_bytes=dim * 2), writes),)
    if schedule == "stream-k":
        grid = stream_grid(heads, tiles, sms)
        partial = max(0, grid - heads) * slot
        written = slot + (ceil_div(heads, grid) - 1) * dim * 2  # of all heads that end in it
        end = Work(global_write_bytes=written, global_read_bytes=slot, barriers=1)
        stream = main("decode_stream", merged(shares(heads * tiles, grid)), end, writes + partial, partial)
        others = max(0, ceil_div(grid, heads) - 1)
        return (msgspec.structs.replace(stream, after_waits=FENCES + others if others else 0),)
    splits = fixed_splits(heads, tiles, sms)
    partial = heads * splits * slot
    combine = Launch(
        kernel="decode_combine",
        runs=even(heads, splits),
        threads=dim,
        registers=32,
        bytes_in_flight=4,
        tile={"split": splits},
        step=Work(fma_ops=2 * dim, sfu_ops=dim, alu_ops=dim, global_read_bytes=slot + 4),
        epilogue=Work(global_write_bytes=dim * 2),
        unique_read_bytes=partial,
        unique_write_bytes=writes,
    )
    runs = merged(shares(tiles, splits) * heads)
    return (main("decode_split", runs, Work(global_write_bytes=slot), partial), combine)


def cases(shapes: Sequence[tuple[int, int]], sms: int = H200_SMS) -> tuple[KernelCase, ...]:
    """Every variant on every shape."""
    return tuple(
        KernelCase(
            family=FAMILY,
            variant=f"{schedule}-d{dim}",
            cascade="attention-decode",
            sizes={"h": heads, "m": tokens, "p": 1, "e": dim, "f": dim},
            launches=launches(schedule, heads, tokens, dim, sms),
            useful_flops=4 * heads * tokens * dim,
            bits=16,
            summary="16-byte loads, four rows of K and V in flight a thread, online softmax a lane group",
        )
        for schedule in SCHEDULES
        for dim in (64, 128)
        for heads, tokens in shapes
    )
