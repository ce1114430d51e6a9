"""Sum reductions of FP32 in pure numba: every row of a matrix, and a whole vector in two launches."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float32

from einsim.validation.gpu.case import KernelCase, Launch, Work, ceil_div, even
from einsim.validation.gpu.kernels.problem import Arena, Problem
from einsim.validation.gpu.kernels.rows import MERGE, SHARED_BYTES, THREADS, block_sum

FAMILY = "reduction"
REGISTERS = {"sum_rows": 32, "sum_stripes": 30}  # ptxas, sm_90a
SETUP = {"sum_rows": 44, "sum_stripes": 65}  # instructions a thread beside loop and merge, by ncu
BLOCKS = 1056  # of the vector's first launch: eight for each of 132 SMs
SHAPES = {
    "rows": (
        (256, 1024),
        (4096, 1024),
        (65536, 1024),
        (1024, 16384),
        (16384, 4096),
        (262144, 512),
        (128, 262144),
        (10000, 5000),
    ),
    "vector": (
        (1, 2**16),
        (1, 2**18),
        (1, 2**20),
        (1, 2**22),
        (1, 2**24),
        (1, 2**26),
        (1, 2**28),
        (1, 10**8),
    ),
}
QUICK = {"rows": ((16384, 4096),), "vector": ((1, 2**26),)}


def pass_launch(kernel: str, blocks: int, values: int, reads: int) -> Launch:
    """`blocks` blocks that each sum `values` values; a step is four of every thread."""
    return Launch(
        kernel=kernel,
        runs=even(blocks, ceil_div(values, 4 * THREADS)),
        threads=THREADS,
        registers=REGISTERS[kernel],
        shared_bytes=SHARED_BYTES,
        bytes_in_flight=16,
        tile={"m": 4 * THREADS},
        step=Work(fma_ops=4 * THREADS, alu_ops=47 * THREADS, global_read_bytes=16 * THREADS),
        prologue=Work(alu_ops=SETUP[kernel] * THREADS),
        epilogue=MERGE + Work(global_write_bytes=4),
        unique_read_bytes=reads * 4,
        unique_write_bytes=blocks * 4,
    )


def cases(quick: bool = False, shapes: Mapping[str, Any] | None = None) -> tuple[KernelCase, ...]:
    """The cases of this family, of other shapes if given; with `quick`, one size of every variant."""

    def parts(variant: str, rows: int, columns: int) -> tuple[Launch, ...]:
        if variant == "rows":
            return (pass_launch("sum_rows", rows, columns, rows * columns),)
        blocks = min(BLOCKS, ceil_div(columns, 4 * THREADS))
        return (
            pass_launch("sum_stripes", blocks, ceil_div(columns, blocks), columns),
            pass_launch("sum_stripes", 1, blocks, blocks),
        )

    return tuple(
        KernelCase(
            family=FAMILY,
            variant=variant,
            cascade="reduction",
            sizes={"p": rows, "m": columns},
            launches=parts(variant, rows, columns),
            useful_flops=rows * columns,
            bits=32,
            summary="four loads in flight a thread",
        )
        for variant, shapes in (shapes or (QUICK if quick else SHAPES)).items()
        for rows, columns in shapes
    )


@cache
def sum_rows() -> Any:
    """Y[p] = sum over m of X[p, m], a block a row."""
    total = block_sum()

    @cuda.jit(fastmath=True)
    def kernel(x, y):  # type: ignore[no-untyped-def]
        scratch = cuda.shared.array(288, float32)
        row, columns = cuda.blockIdx.x, x.shape[1]
        part = float32(0)
        m = cuda.threadIdx.x
        while m + 3 * THREADS < columns:
            part += (x[row, m] + x[row, m + THREADS]) + (x[row, m + 2 * THREADS] + x[row, m + 3 * THREADS])
            m += 4 * THREADS
        while m < columns:
            part += x[row, m]
            m += THREADS
        part = total(part, scratch)
        if cuda.threadIdx.x == 0:
            y[row] = part

    return kernel


@cache
def sum_stripes() -> Any:
    """y[block] = the sum of the block's grid-strided share of a vector."""
    total = block_sum()

    @cuda.jit(fastmath=True)
    def kernel(x, y):  # type: ignore[no-untyped-def]
        scratch = cuda.shared.array(288, float32)
        part = float32(0)
        m, step = cuda.blockIdx.x * 4 * THREADS + cuda.threadIdx.x, cuda.gridDim.x * 4 * THREADS
        while m + 3 * THREADS < x.size:
            part += (x[m] + x[m + THREADS]) + (x[m + 2 * THREADS] + x[m + 3 * THREADS])
            m += step
        for i in range(4):
            if m + i * THREADS < x.size:
                part += x[m + i * THREADS]
        part = total(part, scratch)
        if cuda.threadIdx.x == 0:
            y[cuda.blockIdx.x] = part

    return kernel


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    rows, columns = case.sizes["p"], case.sizes["m"]
    if case.variant == "rows":
        x, y = arena.normal((rows, columns), "float32"), arena.output((rows,), "float32")
        compiled = sum_rows()

        def run(stream: Any) -> None:
            compiled[rows, THREADS, stream](x, y)
    else:
        x, y, blocks = (
            arena.normal((columns,), "float32"),
            arena.output((1,), "float32"),
            case.launches[0].grid,
        )
        part, compiled = arena.output((blocks,), "float32"), sum_stripes()

        def run(stream: Any) -> None:
            compiled[blocks, THREADS, stream](x, part)
            compiled[1, THREADS, stream](part, y)

    def check() -> float:
        """Against float64, relative to the sums of magnitudes (random signs nearly cancel)."""
        host = x.copy_to_host().reshape(rows, columns)
        want = host.sum(axis=1, dtype=np.float64)
        return float(np.abs(y.copy_to_host() - want).max() / np.abs(host).sum(axis=1, dtype=np.float64).max())

    def vendor() -> Any:
        import torch

        tx = torch.as_tensor(x, device="cuda")
        return (lambda: tx.sum(dim=1)) if case.variant == "rows" else tx.sum

    return Problem(launch=run, check=check, vendor=vendor, compiled=(compiled,))
