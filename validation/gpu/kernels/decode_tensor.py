"""Decode attention with several query heads a key head by linked mma.sync, split along the keys."""

from __future__ import annotations

from functools import cache
from math import e, log2
from typing import Any

from einsim.sim.gpu.case import KernelCase, ceil_div
from einsim.sim.gpu.kernels.decode_tensor import BLOCKS_AN_SM, ROWS, STAGES, THREADS, shared_bytes, splits
from einsim.validation.gpu.kernels.decode import kernels as decode_kernels
from einsim.validation.gpu.kernels.decode_grouped import bind_grouped
from einsim.validation.gpu.kernels.linked import allow_shared, device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address

TYPES = "uint64,uint64,uint64,uint64,int32,int32,float32"


@cache
def kernel(dim: int, share: int) -> Any:
    """The compiled numba kernel (needs a GPU)."""
    from numba import cuda

    macros = (("D", dim), ("SHARE", share), ("STAGES", STAGES[dim]))
    block = device_function("decode_tensor", "decode_tensor", TYPES, macros)

    @cuda.jit(f"void({TYPES})", launch_bounds=(THREADS, BLOCKS_AN_SM[dim]))
    def tensor(q, k, v, part, splits, length, scale):  # type: ignore[no-untyped-def]
        block(q, k, v, part, splits, length, scale)

    allow_shared(tensor, shared_bytes(dim))
    return tensor


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launches and check of one case (needs a GPU)."""
    heads, share, tokens, dim = (case.sizes[rank] for rank in ("h", "g", "m", "e"))
    count = splits(heads // share, ceil_div(tokens, ROWS), dim, arena.sms)
    tensor, combine = kernel(dim, share), decode_kernels(dim)[2]

    def launches(stream: Any, q: Any, k: Any, v: Any, part: Any, o: Any) -> None:
        tensor[heads // share * count, THREADS, stream, shared_bytes(dim)](
            address(q), address(k), address(v), address(part), count, tokens, log2(e) * dim**-0.5
        )
        combine[heads, dim, stream](address(part), address(o), count)

    return bind_grouped(case, arena, count, launches, (tensor, combine))
