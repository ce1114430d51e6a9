"""SwiGLU over FP16 as data: gate * sigmoid(gate) * up, of rows of gates and then as many values."""

from __future__ import annotations

from collections.abc import Sequence

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, even

FAMILY = "swiglu"
THREADS, UNROLL = 256, 2
REGISTERS = 32  # ptxas, sm_90a


def launch(tokens: int, width: int) -> Launch:
    """One launch as data. By SASS: 371 instructions a thread, 64 on the FMA pipe and 32 special functions."""
    values = THREADS * UNROLL * 8
    return Launch(
        kernel="swiglu16",
        runs=even(ceil_div(tokens * width, values), 1),
        threads=THREADS,
        registers=REGISTERS,
        bytes_in_flight=32 * UNROLL,
        tile={"values": values},
        step=Work(
            fma_ops=64 * THREADS,
            sfu_ops=32 * THREADS,
            alu_ops=275 * THREADS,
            global_read_bytes=4 * values,
            global_write_bytes=2 * values,
        ),
        unique_read_bytes=tokens * width * 4,
        unique_write_bytes=tokens * width * 2,
    )


def cases(shapes: Sequence[tuple[int, int]]) -> tuple[KernelCase, ...]:
    """Tokens and hidden width."""
    return tuple(
        KernelCase(
            family=FAMILY, variant="packed", cascade="swiglu", sizes={"p": tokens, "s": width},
            launches=(launch(tokens, width),), useful_flops=5 * tokens * width, bits=16,
            summary="two pieces of gates and of values in flight a thread",
        )
        for tokens, width in shapes
    )  # fmt: skip
