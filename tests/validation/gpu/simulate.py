"""Runs the pure numba kernels in numba's CUDA simulator on tiny shapes and prints one line a kernel: name, relative error.

Run with NUMBA_ENABLE_CUDASIM=1 (set before numba is imported), by test_simulator.py.
"""

from __future__ import annotations

import sys

import numpy as np
from numba import cuda, int32
from numba.cuda.simulator import kernelapi

from einsim.sim.gpu.kernels import short_conv as short_conv_described
from einsim.sim.gpu.kernels import top_k as top_k_described
from einsim.sim.gpu.kernels.gemm_f32 import VARIANTS
from einsim.validation.gpu.kernels import (
    copy,
    gemm_f32,
    layernorm,
    linear_attention,
    reduction,
    short_conv,
    softmax,
    top_k,
)

RANDOM = np.random.default_rng(7)

# The simulator knows neither launch bounds nor the alignment of shared memory; neither changes a result. It tells a block's
# shared arrays apart by the calling line, which would be the one below: so by their shapes here, which differ in every kernel.
_jit, _shared_array = cuda.jit, kernelapi.FakeCUDAShared.array


def _jit_unbounded(*given, launch_bounds=None, **options):
    return _jit(*given, **options)


def _aligned_array(self, shape, dtype, alignment=None):
    if shape == 0:  # dynamic
        return _shared_array(self, shape, dtype)
    kind = np.int32 if dtype is int32 else np.float32
    return self._allocations.setdefault(shape, np.empty(shape, kind))


cuda.jit, kernelapi.FakeCUDAShared.array = _jit_unbounded, _aligned_array


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, dtype=np.float32)


def run(kernel, grid, *arrays, threads: int = 256, dynamic: int = 0) -> list[np.ndarray]:
    """Launch on device copies; returns what the arrays hold afterwards."""
    on_device = [cuda.to_device(array) if isinstance(array, np.ndarray) else array for array in arrays]
    kernel[grid, threads, 0, dynamic](*on_device)
    return [array.copy_to_host() for array in on_device if not isinstance(array, int)]


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
    mixers()


def mixers() -> None:
    """Short convolutions over two spans, linear attention with a chunk that isn't full, and top-k with ties."""
    span, threads = short_conv_described.SPAN, short_conv_described.THREADS
    for taps in (1, 2, 3, 4):
        x, w, before, after = (
            normal(*shape) for shape in ((2, span + 5, 3), (3, taps), *[(2, span + 5, 3)] * 2)
        )
        empty = np.full_like(x, np.nan)
        got = run(short_conv.plain(taps), (1, 2, 2), x, w, empty, threads=threads)[2]
        report(f"short-conv-plain-{taps}", error(got, short_conv.short_conv_f64(x, w)))
        got = run(short_conv.gated(taps), (1, 2, 2), before, x, after, w, empty, threads=threads)[4]
        report(f"short-conv-gated-{taps}", error(got, short_conv.short_conv_f64(x, w, before, after)))
    for tokens in (3, 8, 14):
        q, k, v = (normal(2, tokens, 8) for _ in range(3))
        decay, kernel = np.array([0.9, 0.5], np.float32), linear_attention.kernel(8, 4, 4, 16)
        got = run(kernel, (2, 2), q, k, v, decay, np.full_like(v, np.nan), threads=16)[4]
        want = [linear_attention.linear_attention_f64(*one) for one in zip(q, k, v, decay, strict=True)]
        report(f"linear-attention-{tokens}", error(got, np.array(want)))
    for columns, most in ((1, 1), (77, 5), (300, 4)):
        x = RANDOM.integers(0, 50, (2, columns)).astype(np.float32)  # with values that are equal
        values, places = np.full((2, most), np.nan, np.float32), np.zeros((2, most), np.int32)
        threads = top_k_described.THREADS
        got = run(top_k.kernel(), 2, x, values, places, most, threads=threads, dynamic=columns * 4)
        want, where = top_k.top_k_f64(x, most)
        report(f"top-k-{columns}", error(got[1], want) + float((got[2] != where).any()))


if __name__ == "__main__":
    main()
