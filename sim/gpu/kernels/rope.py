"""Rotary position embedding of FP16 heads as data: a thread turns 8 pairs, halves of a head apart."""

from __future__ import annotations

from collections.abc import Sequence

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, even

FAMILY = "rope"
THREADS = 256
REGISTERS = 34  # ptxas, sm_90a
DIMS = (64, 128)


def launch(tokens: int, heads: int, dim: int) -> Launch:
    """One launch as data. By SASS: 216 instructions a thread, 32 of them on the FMA pipe. Cosines and sines
    are read by every head of a token, from L1 after the first.
    """
    blocks = ceil_div(tokens * heads * dim // 16, THREADS)
    return Launch(
        kernel="rope16",
        runs=even(blocks, 1),
        threads=THREADS,
        registers=REGISTERS,
        bytes_in_flight=96,
        tile={"pairs": THREADS * 8},
        step=Work(
            fma_ops=32 * THREADS,
            alu_ops=184 * THREADS,
            shared_read_bytes=64 * THREADS,
            global_read_bytes=32 * THREADS + ceil_div(tokens * dim * 4, blocks),
            global_write_bytes=32 * THREADS,
        ),
        unique_read_bytes=tokens * heads * dim * 2 + tokens * dim * 4,
        unique_write_bytes=tokens * heads * dim * 2,
    )


def cases(shapes: Sequence[tuple[int, int, int]]) -> tuple[KernelCase, ...]:
    """Tokens, heads (of queries and keys together) and head dim."""
    return tuple(
        KernelCase(
            family=FAMILY, variant=f"pairs-d{dim}", cascade="rope", sizes={"p": tokens, "h": heads, "e": dim},
            launches=(launch(tokens, heads, dim),), useful_flops=3 * tokens * heads * dim, bits=16,
            summary="16-byte accesses, angles as FP32 cosines and sines",
        )
        for tokens, heads, dim in shapes
    )  # fmt: skip
