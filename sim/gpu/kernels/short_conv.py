"""Causal depthwise convolution of a few taps over FP32 as data, alone or between two gates: a thread takes a
channel and SPAN tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, even

FAMILY = "short-conv"
THREADS = 128
SPAN = 64  # tokens of a thread
TAPS = 4  # at most
REGISTERS = {"plain": (34, 34, 34, 40), "gated": (72, 78, 80, 78)}  # of 1 to 4 taps; ptxas, sm_90a
UNROLL = {"plain": 4, "gated": 2}  # tokens whose loads are in flight
ARRAYS = {"plain": 1, "gated": 3}  # that are read
# of a token: FMAs and products, and everything else that is issued (64-bit indices most of it), SASS
COSTS = {"plain": (4, 27), "gated": (6, 51)}


def launch(variant: str, batch: int, tokens: int, channels: int, taps: int) -> Launch:
    """A block takes THREADS channels; a step is the tokens whose loads are in flight together."""
    (fma, alu), unroll, arrays = COSTS[variant], UNROLL[variant], ARRAYS[variant]
    values = THREADS * unroll
    return Launch(
        kernel=f"short_conv_{variant}",
        runs=even(
            ceil_div(channels, THREADS) * ceil_div(tokens, SPAN) * batch, ceil_div(min(tokens, SPAN), unroll)
        ),
        threads=THREADS,
        registers=REGISTERS[variant][min(taps, TAPS) - 1],
        bytes_in_flight=arrays * unroll * 4,
        tile={"d": THREADS, "p": SPAN},
        prologue=Work(alu_ops=60 * THREADS, global_read_bytes=(TAPS + 3 * min(arrays, 2)) * THREADS * 4),
        step=Work(
            fma_ops=fma * values,
            alu_ops=alu * values,
            global_read_bytes=arrays * values * 4,
            global_write_bytes=values * 4,
        ),
        unique_read_bytes=batch * tokens * channels * 4 * arrays + channels * taps * 4,
        unique_write_bytes=batch * tokens * channels * 4,
    )


def cases(shapes: Sequence[tuple[int, int, int, int]]) -> tuple[KernelCase, ...]:
    """Both variants on every shape: sequences, tokens, channels, taps."""
    return tuple(
        KernelCase(
            family=FAMILY, variant=variant, cascade="gated-short-convolution",
            sizes={"b": batch, "p": tokens, "d": channels, "r": taps},
            launches=(launch(variant, batch, tokens, channels, taps),),
            useful_flops=2 * taps * batch * tokens * channels, bits=32,
            summary="a thread a channel, the earlier taps' values in registers",
        )
        for variant in COSTS
        for batch, tokens, channels, taps in shapes
    )  # fmt: skip
