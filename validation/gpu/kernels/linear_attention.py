"""Causal linear attention with a decay over FP32 in pure numba, in chunks: within a chunk by scores, before
it by the state (Qin et al., Lightning Attention-2, arXiv 2401.04658). A block walks one head's tokens for a
slice of the values' columns. It runs in numba's simulator too.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float32

from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels.linear_attention import CHUNK, SLICE, THREADS
from einsim.validation.gpu.kernels.problem import Arena, Problem, relative_error


@cache
def kernel(dim: int, width: int, chunk: int, threads: int) -> Any:
    """o[t] = sum over s <= t of decay^(t-s) (q[t] k[s]) v[s], of `width` columns of v; rows of shared tiles
    are one value longer than they need, so that columns lie in other banks.
    """
    row = dim + 1
    query_values, key_values = chunk * row, chunk * row + 1
    sliced, squared, kept, factors = chunk * width, chunk * (chunk + 1), dim * width + 2, chunk + 3

    @cuda.jit(fastmath=True)
    def linear(q, k, v, decay, o):  # type: ignore[no-untyped-def]
        queries = cuda.shared.array(query_values, float32)
        keys = cuda.shared.array(key_values, float32)
        values = cuda.shared.array(sliced, float32)
        scores = cuda.shared.array(squared, float32)
        state = cuda.shared.array(kept, float32)
        powers = cuda.shared.array(factors, float32)
        head, left, tid, tokens = cuda.blockIdx.x, cuda.blockIdx.y * width, cuda.threadIdx.x, q.shape[1]
        for i in range(tid, dim * width, threads):
            state[i] = float32(0)
        if tid == 0:
            power = float32(1)
            for i in range(chunk + 1):
                powers[i] = power
                power *= decay[head]
        for first in range(0, tokens, chunk):
            cuda.syncthreads()
            for i in range(tid, chunk * dim, threads):
                t, e = i // dim, i % dim
                inside = first + t < tokens
                queries[t * row + e] = q[head, first + t, e] if inside else float32(0)
                keys[t * row + e] = k[head, first + t, e] if inside else float32(0)
            for i in range(tid, chunk * width, threads):
                t, f = i // width, i % width
                values[i] = v[head, first + t, left + f] if first + t < tokens else float32(0)
            cuda.syncthreads()
            for i in range(tid, chunk * chunk // 4, threads):  # four keys of one query
                t, s = i % chunk, i // chunk * 4
                a, b, c, d = float32(0), float32(0), float32(0), float32(0)
                for e in range(dim):
                    x = queries[t * row + e]
                    a += x * keys[s * row + e]
                    b += x * keys[(s + 1) * row + e]
                    c += x * keys[(s + 2) * row + e]
                    d += x * keys[(s + 3) * row + e]
                at = t * (chunk + 1) + s
                scores[at] = a * powers[t - s] if t >= s else float32(0)
                scores[at + 1] = b * powers[t - s - 1] if t >= s + 1 else float32(0)
                scores[at + 2] = c * powers[t - s - 2] if t >= s + 2 else float32(0)
                scores[at + 3] = d * powers[t - s - 3] if t >= s + 3 else float32(0)
            cuda.syncthreads()
            for i in range(tid, chunk * width // 4, threads):  # four queries of one column
                f, t = i % width, i // width * 4
                a, b, c, d = float32(0), float32(0), float32(0), float32(0)
                for e in range(dim):
                    x = state[e * width + f]
                    a += x * queries[t * row + e]
                    b += x * queries[(t + 1) * row + e]
                    c += x * queries[(t + 2) * row + e]
                    d += x * queries[(t + 3) * row + e]
                a *= powers[t + 1]
                b *= powers[t + 2]
                c *= powers[t + 3]
                d *= powers[t + 4]
                for s in range(chunk):
                    x = values[s * width + f]
                    a += x * scores[t * (chunk + 1) + s]
                    b += x * scores[(t + 1) * (chunk + 1) + s]
                    c += x * scores[(t + 2) * (chunk + 1) + s]
                    d += x * scores[(t + 3) * (chunk + 1) + s]
                if first + t < tokens:
                    o[head, first + t, left + f] = a
                if first + t + 1 < tokens:
                    o[head, first + t + 1, left + f] = b
                if first + t + 2 < tokens:
                    o[head, first + t + 2, left + f] = c
                if first + t + 3 < tokens:
                    o[head, first + t + 3, left + f] = d
            cuda.syncthreads()
            for i in range(tid, dim * width // 4, threads):  # four rows of the state, one column
                f, e = i % width, i // width * 4
                a, b, c, d = float32(0), float32(0), float32(0), float32(0)
                for s in range(chunk):
                    x = values[s * width + f] * powers[chunk - 1 - s]
                    a += x * keys[s * row + e]
                    b += x * keys[s * row + e + 1]
                    c += x * keys[s * row + e + 2]
                    d += x * keys[s * row + e + 3]
                at = e * width + f
                state[at] = state[at] * powers[chunk] + a
                state[at + width] = state[at + width] * powers[chunk] + b
                state[at + 2 * width] = state[at + 2 * width] * powers[chunk] + c
                state[at + 3 * width] = state[at + 3 * width] * powers[chunk] + d

    return linear


def linear_attention_f64(q: Any, k: Any, v: Any, decay: float) -> Any:
    """Of one head, [tokens][columns], in float64, token by token."""
    state, rows = np.zeros((q.shape[1], v.shape[1])), []
    for query, key, value in zip(*(x.astype(np.float64) for x in (q, k, v)), strict=True):
        state = decay * state + np.outer(key, value)
        rows.append(query @ state)
    return np.array(rows)


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU). The decays lie between 0.9 and 0.996."""
    heads, tokens, dim = (case.sizes[rank] for rank in ("h", "p", "e"))
    q, k, v = (arena.normal((heads, tokens, dim), "float32", dim**-0.5) for _ in range(3))
    decays = (1.0 - 0.1 * np.exp(-np.arange(heads) / max(heads, 1) * 3.2)).astype(np.float32)
    decay, o = arena.put(decays), arena.output((heads, tokens, dim), "float32")
    compiled = kernel(dim, SLICE[dim], CHUNK, THREADS)

    def check() -> float:
        worst = 0.0
        if np.isnan(o.copy_to_host()).any():
            return float("nan")
        for head in {0, heads - 1}:
            one, two, three = (x[head].copy_to_host() for x in (q, k, v))
            want = linear_attention_f64(one, two, three, float(decays[head]))
            worst = max(worst, relative_error(o[head].copy_to_host(), want))
        return worst

    return Problem(
        launch=lambda stream: compiled[(heads, ceil_div(dim, SLICE[dim])), THREADS, stream](
            q, k, v, decay, o
        ),
        check=check,
        compiled=(compiled,),
    )
