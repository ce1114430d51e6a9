"""Causal linear attention with a decay over FP32 as data, in chunks (Qin et al., Lightning Attention-2, arXiv
2401.04658): a block walks one head's tokens for a slice of the values' columns.
"""

from __future__ import annotations

from collections.abc import Sequence

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, even

FAMILY = "linear-attention"
THREADS, CHUNK = 128, 32
SLICE = {64: 32, 128: 16}  # columns of the values a block, as shared memory allows
REGISTERS = {64: 95, 128: 128}  # ptxas, sm_90a
# Instructions by SASS (64-bit indices that may be negative are most of them): beside four FMAs on one value,
# and of a value that is moved to shared memory; beside the loops over a row's values, of four scores, of four
# results and of four values of the state
BESIDE = 48
MOVED, SCORES, RESULTS, STATES = 50, 138, 197, 76


def launch(heads: int, tokens: int, dim: int) -> Launch:
    """A step is a chunk: scores, results of the state and of the scores, and the next state."""
    width, row = SLICE[dim], dim + 1
    products = CHUNK * CHUNK * dim + CHUNK * width * (dim + CHUNK) + dim * width * CHUNK
    moved = CHUNK * (2 * dim + width)
    return Launch(
        kernel="linear_attention",
        runs=even(heads * (dim // width), ceil_div(tokens, CHUNK)),
        threads=THREADS,
        registers=REGISTERS[dim],
        shared_bytes=4 * (2 * CHUNK * row + CHUNK * width + CHUNK * (CHUNK + 1) + dim * width + CHUNK + 6),
        bytes_in_flight=8,
        tile={"p": CHUNK, "f": width},
        prologue=Work(alu_ops=600 * 32, barriers=1),
        step=Work(
            fma_ops=products + dim * width,
            alu_ops=products // 4 * BESIDE
            + MOVED * moved
            + (SCORES * CHUNK * CHUNK + RESULTS * CHUNK * width + STATES * dim * width) // 4,
            shared_read_bytes=products // 4 * 5 * 4 + 8 * dim * width,
            shared_write_bytes=4 * (moved + CHUNK * CHUNK + dim * width),
            global_read_bytes=4 * moved,
            global_write_bytes=4 * CHUNK * width,
            barriers=4,
        ),
        unique_read_bytes=heads * 3 * tokens * dim * 4,
        unique_write_bytes=heads * tokens * dim * 4,
    )


def cases(shapes: Sequence[tuple[int, int, int]]) -> tuple[KernelCase, ...]:
    """Heads (batch included), tokens, head dim (64 or 128)."""
    return tuple(
        KernelCase(
            family=FAMILY, variant=f"chunked-d{dim}", cascade="linear-attention",
            sizes={"h": heads, "p": tokens, "e": dim, "f": dim},
            launches=(launch(heads, tokens, dim),), useful_flops=4 * heads * tokens * dim * dim, bits=32,
            summary="chunks of 32 tokens, the state in shared memory",
        )
        for heads, tokens, dim in shapes
    )  # fmt: skip
