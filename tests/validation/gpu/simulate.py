"""Runs the pure numba kernels in numba's CUDA simulator on tiny shapes and prints one line a kernel: name, relative error.

Run with NUMBA_ENABLE_CUDASIM=1 (set before numba is imported), by test_simulator.py.
"""

from __future__ import annotations

import sys

import numpy as np
from numba import cuda
from numba.cuda.simulator import kernelapi

from einsim.sim.gpu.kernels.gemm_f32 import VARIANTS
from einsim.validation.gpu.kernels import copy, gemm_f32, layernorm, reduction, softmax

RANDOM = np.random.default_rng(7)

# The simulator knows neither launch bounds nor the alignment of shared memory; neither changes a result. It tells a block's
# shared arrays apart by the calling line, which would be the one below: so by their shapes here, which differ in every tiling.
_jit, _shared_array = cuda.jit, kernelapi.FakeCUDAShared.array


def _jit_unbounded(*given, launch_bounds=None, **options):
    return _jit(*given, **options)


def _aligned_array(self, shape, dtype, alignment=None):
    if alignment is None:
        return _shared_array(self, shape, dtype)
    return self._allocations.setdefault(shape, np.empty(shape, np.float32))


cuda.jit, kernelapi.FakeCUDAShared.array = _jit_unbounded, _aligned_array


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, dtype=np.float32)


def run(kernel, grid, *arrays, threads: int = 256, dynamic: int = 0) -> list[np.ndarray]:
    """Launch on device copies; returns what the arrays hold afterwards."""
    on_device = [cuda.to_device(array) for array in arrays]
    kernel[grid, threads, 0, dynamic](*on_device)
    return [array.copy_to_host() for array in on_device]


def error(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


def report(name: str, value: float) -> None:
    sys.stdout.write(f"{name} {value}\n")


def main() -> None:
    for unroll in (1, 4):
        for size in (1, 1000, 1024, 3000):
            x, y = run(
                copy.scalar_kernel(unroll),
                -(-size // (256 * unroll)),
                normal(size),
                np.full(size, np.nan, np.float32),
            )
            report(f"copy-x{unroll}-{size}", error(y, x))
    for columns in (1, 300, 1100):
        x = normal(2, columns)
        for name, kernel in softmax.KERNELS.items():
            dynamic = columns * 4 if name == "resident" else 0
            got = run(kernel(), 2, x, np.full_like(x, np.nan), dynamic=dynamic)[1]
            report(f"softmax-{name}-{columns}", error(got, softmax.softmax_f64(x)))
        scale, bias = normal(columns), normal(columns)
        for name, kernel in layernorm.KERNELS.items():
            got = run(kernel(), 2, x, scale, bias, np.full_like(x, np.nan))[3]
            report(f"layernorm-{name}-{columns}", error(got, layernorm.layernorm_f64(x, scale, bias)))
        sums = run(reduction.sum_rows(), 2, x, np.full(2, np.nan, np.float32))[1]
        report(f"reduction-rows-{columns}", error(sums, x.sum(axis=1, dtype=np.float64)))
    vector = normal(5000)
    parts = run(reduction.sum_stripes(), 3, vector, np.full(3, np.nan, np.float32))[1]
    report("reduction-vector", error(parts.sum(), vector.sum(dtype=np.float64)))
    for name, tiling in VARIANTS.items():
        a, b = normal(tiling.bm, 2 * tiling.bk), normal(2 * tiling.bk, tiling.bn)
        got = run(gemm_f32.kernel(tiling), (1, 1), a, b, np.full((tiling.bm, tiling.bn), np.nan, np.float32))[
            2
        ]
        report(f"gemm-f32-{name}", error(got, a.astype(np.float64) @ b))


if __name__ == "__main__":
    main()
