"""Feed-forward layer as data, two FP16 GEMMs around a GELU: as three launches, and with the GELU in the first
GEMM's epilogue.
"""

from __future__ import annotations

from collections.abc import Sequence

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, even
from einsim.sim.gpu.kernels.gemm_f16 import VARIANTS as TILINGS
from einsim.sim.gpu.kernels.gemm_f16 import launch

FAMILY = "ffn"
TILING = TILINGS["128x256x64s3"]
UNROLL = 4
THREADS = 256


def gelu_launch(values: int) -> Launch:
    """A block handles one tile of 16-byte pieces; one step."""
    width = THREADS * UNROLL * 8
    return Launch(
        kernel="gelu16",
        runs=even(ceil_div(values, width), 1),
        threads=THREADS,
        registers=46,
        bytes_in_flight=16 * UNROLL,
        tile={"values": width},
        step=Work(
            fma_ops=4 * width,
            sfu_ops=2 * width,
            alu_ops=2 * width,
            global_read_bytes=width * 2,
            global_write_bytes=width * 2,
        ),
        unique_read_bytes=values * 2,
        unique_write_bytes=values * 2,
    )


def cases(shapes: Sequence[tuple[int, int, int]]) -> tuple[KernelCase, ...]:
    """Every variant on every shape."""

    def parts(fused: bool, tokens: int, width: int, hidden: int) -> tuple[Launch, ...]:
        up = launch(TILING, tokens, hidden, width, activation=fused)
        down = launch(TILING, tokens, width, hidden)
        return (up, down) if fused else (up, gelu_launch(tokens * hidden), down)

    return tuple(
        KernelCase(
            family=FAMILY,
            variant="fused" if fused else "unfused",
            cascade="ffn",
            sizes={"m": tokens, "d": width, "s": hidden},
            launches=parts(fused, tokens, width, hidden),
            useful_flops=4 * tokens * width * hidden,
            bits=16,
            summary="GELU (tanh form) in the epilogue" if fused else "GELU as a launch of its own",
        )
        for fused in (False, True)
        for tokens, width, hidden in shapes
    )
