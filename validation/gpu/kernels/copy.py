"""Copy of a vector: numba kernels with one and four 4-byte loads a thread, and linked ones with 16-byte
accesses.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda

from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.kernels.copy import VARIANTS
from einsim.validation.gpu.kernels.linked import device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address

TYPES = "uint64,uint64,int64"


@cache
def scalar_kernel(unroll: int) -> Any:
    """Pure numba: Z[n] = X[n], `unroll` loads before the first store."""
    if unroll == 1:

        @cuda.jit
        def copy1(source, target):  # type: ignore[no-untyped-def]
            at = cuda.grid(1)
            if at < source.size:
                target[at] = source[at]

        return copy1

    @cuda.jit
    def copy4(source, target):  # type: ignore[no-untyped-def]
        step = cuda.blockDim.x
        at = cuda.blockIdx.x * step * 4 + cuda.threadIdx.x
        if at + 3 * step < source.size:
            a, b, c, d = source[at], source[at + step], source[at + 2 * step], source[at + 3 * step]
            target[at] = a
            target[at + step] = b
            target[at + 2 * step] = c
            target[at + 3 * step] = d
        else:
            while at < source.size and at < (cuda.blockIdx.x + 1) * step * 4:
                target[at] = source[at]
                at += step

    return copy4


@cache
def wide_kernel(unroll: int, threads: int) -> Any:
    """Linked: 16-byte accesses."""
    block = device_function("elementwise", "copy16", TYPES, (("UNROLL", unroll),))

    @cuda.jit(f"void({TYPES})", launch_bounds=threads)
    def copy16(source, target, chunks):  # type: ignore[no-untyped-def]
        block(source, target, chunks)

    return copy16


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    access, values = VARIANTS[case.variant], case.sizes["n"]
    source, target = arena.normal((values,), "float32"), arena.output((values,), "float32")
    grid = case.launches[0].grid
    if access.width == 16:
        compiled = wide_kernel(access.unroll, access.threads)

        def run(stream: Any) -> None:
            compiled[grid, access.threads, stream](address(source), address(target), values // 4)
    else:
        compiled = scalar_kernel(access.unroll)

        def run(stream: Any) -> None:
            compiled[grid, access.threads, stream](source, target)

    def check() -> float:
        got, want = target.copy_to_host(), source.copy_to_host()
        return 0.0 if np.array_equal(got, want) else float("nan")

    def vendor() -> Any:
        import torch

        ts, tt = torch.as_tensor(source, device="cuda"), torch.as_tensor(target, device="cuda")
        return lambda: tt.copy_(ts)

    return Problem(launch=run, check=check, vendor=vendor, compiled=(compiled,))
