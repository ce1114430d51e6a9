"""Microbenchmarks from which a GPU's constants are fitted: rates, bandwidths, latencies, and the empty
launch.

Each case says in `sizes` what one launch does: blocks, threads, iterations, and for memory the bytes of its
working set. The count of interest (FMAs, exponentials, FLOPs, bytes, loads, barriers) is the launch's
`total`, or `chain` for dependent loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from einsim.sim.gpu.case import KernelCase, Launch, Work, even
from einsim.sim.gpu.kernels.row_reduction import MERGE
from einsim.sim.gpu.kernels.row_reduction import SHARED_BYTES as EXCHANGE_BYTES
from einsim.validation.gpu.kernels.linked import device_function
from einsim.validation.gpu.kernels.problem import Arena, Problem, address

FAMILY = "micro"
TYPES = "uint64,uint64,int32,int32"
SMS = 132  # NVIDIA H100/H200 SXM5
REGISTERS = {  # ptxas, sm_90a
    "empty": 4,
    "fma_rate": 23,
    "exp_rate": 20,
    "mma_rate": 48,
    "mma_sparse_rate": 48,
    "l2_rate": 27,
    "barrier_rate": 8,
    "shared_rate": 33,
    "exchange_rate": 24,
    "read_rate": 32,
    "write_rate": 46,
    "touch": 10,
    "chase_shared": 15,
    "chase_cached": 22,
    "chase_global": 22,
    "copy_x1": 14,
    "copy_x4": 32,
}
COPY_BYTES = 2**29  # of the copies with limited bytes in flight, and of reads and writes alone
SHARED_BYTES = {"shared_rate": 16384, "exchange_rate": EXCHANGE_BYTES, "chase_shared": 4096}

# per warp and iteration
RATES = {
    "fma_rate": Work(fma_ops=64 * 32),
    "exp_rate": Work(sfu_ops=32 * 32),
    "mma_rate": Work(tensor_flops=8 * 4096),
    "mma_sparse_rate": Work(sparse_tensor_flops=8 * 8192),
    "l2_rate": Work(global_read_bytes=4 * 512),
    "barrier_rate": Work(),
    "shared_rate": Work(shared_read_bytes=8 * 512),
}
ITERATIONS = {
    "fma_rate": 2000,
    "exp_rate": 1000,
    "mma_rate": 2000,
    "mma_sparse_rate": 1000,
    "l2_rate": 500,
    "barrier_rate": 5000,
    "shared_rate": 1000,
}
EXCHANGES = 500
TOUCHES = (1, 132, 1056)  # blocks
L2_SETS = (20 * 2**20, 2 * 2**20)  # bytes: each block reads its own part at a time, or many the same
# blocks an SM, threads a block
OCCUPANCIES = ((1, 128), (1, 256), (2, 256), (4, 256), (8, 256))
CHAINS = {
    "chase_shared": (4096,),
    "chase_cached": (16 * 2**10, 64 * 2**10),
    "chase_global": (2**20, 24 * 2**20, 2**26, 2**28, 2**30),
}
CHAIN_LOADS = 4096
COPIES = tuple((blocks, unroll) for unroll in (1, 4) for blocks in (1, 2, 4, 8))


def _rate(kernel: str, per_sm: int, threads: int, iterations: int, working_set: int = 0) -> KernelCase:
    blocks, warps = per_sm * SMS, threads // 32
    launch = Launch(
        kernel=kernel,
        runs=even(blocks, iterations),
        threads=threads,
        registers=REGISTERS[kernel],
        shared_bytes=SHARED_BYTES.get(kernel, 0),
        bytes_in_flight=64 if kernel == "l2_rate" else 0,
        step=RATES[kernel].times(warps) + Work(barriers=int(kernel == "barrier_rate")),
        unique_read_bytes=working_set,
        unique_write_bytes=blocks * threads * 4,
    )
    flops = launch.total.tensor_flops + launch.total.sparse_tensor_flops // 2 + 2 * launch.total.fma_ops
    return micro_case(kernel, launch, iterations, working_set, useful_flops=flops)


def _chain(kernel: str, working_set: int) -> KernelCase:
    launch = Launch(
        kernel=kernel,
        runs=even(1, CHAIN_LOADS),
        threads=32,
        registers=REGISTERS[kernel],
        shared_bytes=SHARED_BYTES.get(kernel, 0),
        bytes_in_flight=4,
        unique_read_bytes=0 if kernel == "chase_shared" else CHAIN_LOADS * 32,
        unique_write_bytes=128,
        step=Work(shared_read_bytes=4) if kernel == "chase_shared" else Work(global_read_bytes=32),
    )
    summary = "dependent 4-byte loads, one every iteration, a random cycle over 128-byte lines"
    return micro_case(kernel, launch, CHAIN_LOADS, working_set, summary=summary)


def _copy(blocks: int, unroll: int) -> KernelCase:
    """A copy by persistent blocks: bytes in flight an SM = blocks * 256 * unroll * 16."""
    width = 256 * unroll * 16
    steps = -(-COPY_BYTES // (width * blocks * SMS))
    launch = Launch(
        kernel="copy16",
        runs=even(blocks * SMS, steps),
        threads=256,
        registers=REGISTERS[f"copy_x{unroll}"],
        bytes_in_flight=16 * unroll,
        step=Work(alu_ops=256 * (2 * unroll + 8), global_read_bytes=width, global_write_bytes=width),
        unique_read_bytes=COPY_BYTES,
        unique_write_bytes=COPY_BYTES,
    )
    sizes = {
        "blocks": blocks * SMS,
        "threads": 256,
        "iterations": steps,
        "working_set_bytes": 2 * COPY_BYTES,
        "unroll": unroll,
    }
    return KernelCase(
        family=FAMILY,
        variant="copy_in_flight",
        cascade="copy",
        sizes=sizes,
        launches=(launch,),
        useful_flops=0,
        bits=32,
    )


def _stream(kernel: str, per_sm: int) -> KernelCase:
    """Reads alone or writes alone, by persistent blocks of 256 threads with 64 bytes in flight each."""
    width, blocks, write = 256 * 64, per_sm * SMS, kernel == "write_rate"
    steps = -(-COPY_BYTES // (width * blocks))
    launch = Launch(
        kernel=kernel,
        runs=even(blocks, steps),
        threads=256,
        registers=REGISTERS[kernel],
        bytes_in_flight=0 if write else 64,
        step=Work(alu_ops=256 * 20, global_read_bytes=width * (not write), global_write_bytes=width * write),
        unique_read_bytes=COPY_BYTES * (not write),
        unique_write_bytes=COPY_BYTES * write,
    )
    return micro_case(kernel, launch, steps, COPY_BYTES)


def _exchange(per_sm: int) -> KernelCase:
    """Sums over 256 threads through shared memory, one after the other."""
    launch = Launch(
        kernel="exchange_rate",
        runs=even(per_sm * SMS, EXCHANGES),
        threads=256,
        registers=REGISTERS["exchange_rate"],
        shared_bytes=SHARED_BYTES["exchange_rate"],
        step=MERGE,
        unique_write_bytes=per_sm * SMS * 1024,
    )
    return micro_case("exchange_rate", launch, EXCHANGES, 0)


def _touch(blocks: int) -> KernelCase:
    """One load of 16 bytes and one store of 4 a thread: what a kernel takes before any rate matters."""
    launch = Launch(
        kernel="touch",
        runs=even(blocks, 1),
        threads=256,
        registers=REGISTERS["touch"],
        bytes_in_flight=16,
        step=Work(alu_ops=256 * 8, global_read_bytes=256 * 16, global_write_bytes=256 * 4),
        unique_read_bytes=blocks * 256 * 16,
        unique_write_bytes=blocks * 256 * 4,
    )
    return micro_case("touch", launch, 1, blocks * 256 * 16)


def micro_case(
    variant: str,
    launch: Launch,
    iterations: int,
    working_set: int,
    *,
    useful_flops: int = 0,
    summary: str = "",
    family: str = FAMILY,
    more: Mapping[str, int] = {},
) -> KernelCase:
    """A microbenchmark: its sizes are those of its grid, how often it repeats, what it reads, and `more`."""
    sizes = {
        "blocks": launch.grid,
        "threads": launch.threads,
        "iterations": iterations,
        "working_set_bytes": working_set,
    }
    return KernelCase(
        family=family,
        variant=variant,
        cascade="",
        sizes={**sizes, **more},
        launches=(launch,),
        useful_flops=useful_flops,
        bits=32,
        summary=summary,
    )


def _empty(blocks: int) -> KernelCase:
    launch = Launch(kernel="empty", runs=even(blocks, 0), threads=128, registers=REGISTERS["empty"])
    return micro_case("empty", launch, 0, 0)


def cases(quick: bool = False) -> tuple[KernelCase, ...]:
    """The cases of this family; with `quick`, one size of every variant."""
    rates = [
        _rate(kernel, per_sm, threads, ITERATIONS[kernel], working_set)
        for kernel in RATES
        for working_set in (L2_SETS if kernel == "l2_rate" else (0,))
        for per_sm, threads in (OCCUPANCIES[2:3] if quick else OCCUPANCIES)
    ]
    chains = [_chain(kernel, size) for kernel, sets in CHAINS.items() for size in sets]
    copies = [_copy(*pair) for pair in (COPIES[-1:] if quick else COPIES)]
    few = (8,) if quick else (1, 2, 4, 8)
    streams = [_stream(kernel, per_sm) for kernel in ("read_rate", "write_rate") for per_sm in few]
    exchanges = [_exchange(per_sm) for per_sm in few]
    starts = [*map(_empty, (1, 132, 1056, 16384)), *map(_touch, TOUCHES)]
    return (*starts, *rates, *exchanges, *chains, *copies, *streams)


@cache
def linked_kernel(function: str) -> Any:
    """The compiled numba kernel of one function in micro.cu (needs a GPU)."""
    from numba import cuda

    block = device_function("micro", function, TYPES, ())

    @cuda.jit(f"void({TYPES})")
    def micro(source, target, n, iterations):  # type: ignore[no-untyped-def]
        block(source, target, n, iterations)

    return micro


@cache
def empty_kernel() -> Any:
    """A kernel that does nothing (needs a GPU)."""
    from numba import cuda

    @cuda.jit("void(int32)")
    def empty(n):  # type: ignore[no-untyped-def]
        pass

    return empty


def cycle(words: int, seed: int) -> Any:
    """next[] over `words` 4-byte words: one random cycle through the first word of every 128-byte line."""
    lines = words // 32
    order = np.random.default_rng(seed).permutation(lines)
    following = np.zeros(words, dtype=np.uint32)
    following[order * 32] = np.roll(order, -1) * 32
    return following


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU)."""
    name, sizes, launch = case.variant, case.sizes, case.launches[0]
    blocks, threads = launch.grid, launch.threads
    if name == "empty":
        empty = empty_kernel()
        return Problem(
            launch=lambda stream: empty[blocks, threads, stream](0), check=lambda: 0.0, compiled=(empty,)
        )
    if name == "copy_in_flight":
        from einsim.validation.gpu.kernels.copy import wide_kernel

        source, target = (
            arena.normal((COPY_BYTES // 4,), "float32"),
            arena.output((COPY_BYTES // 4,), "float32"),
        )
        wide = wide_kernel(sizes["unroll"], 256)

        def compare() -> float:
            return 0.0 if np.array_equal(source.copy_to_host(), target.copy_to_host()) else float("nan")

        return Problem(
            launch=lambda stream: wide[blocks, 256, stream](
                address(source), address(target), COPY_BYTES // 16
            ),
            check=compare,
            compiled=(wide,),
        )
    written = COPY_BYTES // 4 if name == "write_rate" else blocks * threads
    kernel, target, first = linked_kernel(name), arena.output((written,), "float32"), 0
    if name.startswith("chase"):
        source = arena.put(cycle(max(sizes["working_set_bytes"] // 4, 1024), arena.seed()))
    else:
        dtype = "float16" if name.startswith("mma") else "float32"
        source = arena.normal((max(sizes["working_set_bytes"] // 4, 2**16),), dtype, 0.01)
        first = sizes["working_set_bytes"] // 16

    def check() -> float:
        """Rates give no number worth checking beyond that every thread wrote; chains must end on the right
        word.
        """
        got = target.copy_to_host()
        if name == "chase_shared":
            return 0.0 if got[0] == (33 * CHAIN_LOADS % 1024) * 4 else float("nan")
        if name.startswith("chase"):
            following, at = source.copy_to_host(), 0
            for _ in range(CHAIN_LOADS):
                at = int(following[at])
            return 0.0 if got[0] == np.float32(at) else float("nan")
        return float("nan") if np.isnan(got).any() else 0.0

    return Problem(
        launch=lambda stream: kernel[blocks, threads, stream](
            address(source), address(target), first, launch.runs[0].steps
        ),
        check=check,
        compiled=(kernel,),
    )
