"""Feed-forward layer, two FP16 GEMMs around a GELU: as three launches, and with the GELU in the first
GEMM's epilogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from einsim.validation.gpu.case import KernelCase, Launch, Work, ceil_div, even
from einsim.validation.gpu.kernels.gemm_f16 import VARIANTS as TILINGS
from einsim.validation.gpu.kernels.gemm_f16 import enqueue, launch
from einsim.validation.gpu.kernels.gemm_f16 import kernel as gemm_kernel
from einsim.validation.gpu.kernels.linked import device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address, relative_error, sample

FAMILY = "ffn"
TILING = TILINGS["128x256x64s3"]
UNROLL = 4
THREADS = 256
TYPES = "uint64,uint64,int64"
# tokens, model width, hidden width
SHAPES = (
    (1024, 4096, 16384), (2048, 4096, 16384), (4096, 4096, 16384), (8192, 4096, 11008), (4096, 2048, 8192),
    (16384, 1024, 4096), (4096, 5120, 13824), (512, 8192, 28672), (8192, 768, 3072),
)  # fmt: skip
QUICK = ((4096, 4096, 16384),)


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


def cases(quick: bool = False, shapes: Sequence[Any] = ()) -> tuple[KernelCase, ...]:
    """The cases of this family, of other shapes if given; with `quick`, one size of every variant."""

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
        for tokens, width, hidden in (shapes or (QUICK if quick else SHAPES))
    )


@cache
def gelu_kernel() -> Any:
    """The compiled numba kernel (needs a GPU)."""
    from numba import cuda

    block = device_function("elementwise", "gelu16", TYPES, (("UNROLL", UNROLL),))

    @cuda.jit(f"void({TYPES})", launch_bounds=THREADS)
    def gelu(source, target, chunks):  # type: ignore[no-untyped-def]
        block(source, target, chunks)

    return gelu


def gelu_f64(x: Any) -> Any:
    """GELU in its tanh form, float64."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    tokens, width, hidden = (case.sizes[rank] for rank in ("m", "d", "s"))
    fused = case.variant == "fused"
    x = arena.normal((tokens, width), "float16")
    up, down = (
        arena.normal((hidden, width), "float16", width**-0.5),
        arena.normal((width, hidden), "float16", hidden**-0.5),
    )
    middle, y = arena.output((tokens, hidden), "float16"), arena.output((tokens, width), "float16")
    raw = middle if fused else arena.output((tokens, hidden), "float16")
    gelu, chunks = gelu_kernel(), tokens * hidden // 8

    def run(stream: Any) -> None:
        enqueue(TILING, stream, x, up, raw, tokens, hidden, width, activation=fused)
        if not fused:
            gelu[ceil_div(chunks, THREADS * UNROLL), THREADS, stream](address(raw), address(middle), chunks)
        enqueue(TILING, stream, middle, down, y, tokens, width, hidden)

    def check() -> float:
        got = y.copy_to_host()
        if np.isnan(got).any():
            return float("nan")
        rows, columns = sample(8, tokens, 1), sample(64, width, 2)
        inner = gelu_f64(x.copy_to_host()[rows].astype(np.float64) @ up.copy_to_host().astype(np.float64).T)
        return relative_error(
            got[np.ix_(rows, columns)], inner @ down.copy_to_host()[columns].astype(np.float64).T
        )

    def vendor() -> Any:
        import torch

        tx, tu, td = (torch.as_tensor(array, device="cuda") for array in (x, up, down))
        return lambda: torch.nn.functional.gelu(tx @ tu.T, approximate="tanh") @ td.T

    gemm, gemm_gelu = gemm_kernel(TILING, False), gemm_kernel(TILING, True)
    return Problem(
        launch=run, check=check, vendor=vendor, compiled=(gemm_gelu, gemm) if fused else (gemm, gelu, gemm)
    )
