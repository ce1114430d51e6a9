"""Microbenchmarks of what sm_90a has beyond `micro`: rates of wgmma, dense and 2:4, tiles by TMA that
neighbours share, and requests for few lines of L2.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from einsim.sim.gpu.case import KernelCase, Launch, Work, even
from einsim.validation.gpu.kernels.linked import allow_shared, device_function
from einsim.validation.gpu.kernels.micro import SMS, micro_case
from einsim.validation.gpu.kernels.problem import Arena, Problem, address
from einsim.validation.gpu.kernels.tensor_map import tensor_map

FAMILY = "micro-hopper"
TYPES = "uint64,uint64,int32,int32"
WIDTHS = {"wgmma_rate": (64, 128, 256), "wgmma_sparse_rate": (128, 256)}
REGISTERS = {  # ptxas, sm_90a
    ("wgmma_rate", 64): 58, ("wgmma_rate", 128): 90, ("wgmma_rate", 256): 154,
    ("wgmma_sparse_rate", 128): 98, ("wgmma_sparse_rate", 256): 170, ("line_rate", 0): 32,
    ("line_copy_rate", 0): 32, ("tile_rate", 0): 22,
}  # fmt: skip
ITERATIONS = {
    "wgmma_rate": 1000,
    "wgmma_sparse_rate": 1000,
    "line_rate": 200,
    "line_copy_rate": 200,
    "tile_rate": 1000,
}
PRODUCTS = 4  # of a warp group and iteration
THREADS = (128, 256)
SHARES = (1, 4, 12, 132)  # blocks that read the same tiles at a time
TILES, TILE_ROWS, TILE_BYTES = 1280, 128, 16384  # 20 MiB, all in L2
STAGED_BYTES = 6 * TILE_BYTES + 2048
LINES = (1, 2, 4, 16, 64, 1024, 16384)
OPERAND_BYTES = 49152
SHARED_BYTES = OPERAND_BYTES + 1024


def _rate(kernel: str, width: int, threads: int) -> KernelCase:
    groups, sparse, iterations = threads // 128, kernel == "wgmma_sparse_rate", ITERATIONS[kernel]
    flops = 2 * 64 * width * (32 if sparse else 16) * PRODUCTS * groups
    launch = Launch(
        kernel=kernel,
        runs=even(SMS, iterations),
        threads=threads,
        registers=REGISTERS[kernel, width],
        shared_bytes=SHARED_BYTES,
        products=True,
        stages=2,
        step=Work(
            wgmma_flops=0 if sparse else flops,
            sparse_wgmma_flops=flops if sparse else 0,
            shared_read_bytes=(64 + width * (2 if sparse else 1)) * 32 * PRODUCTS * groups,
        ),
        unique_write_bytes=SMS * threads * 4,
    )
    useful = flops * SMS * iterations // (2 if sparse else 1)
    more = {"width": width}
    return micro_case(kernel, launch, iterations, 0, useful_flops=useful, family=FAMILY, more=more)


def _tiles(per_sm: int, share: int) -> KernelCase:
    """Tiles from L2 by TMA, six in flight a block, that so many blocks read at a time."""
    launch = Launch(
        kernel="tile_rate",
        runs=even(per_sm * SMS, ITERATIONS["tile_rate"]),
        threads=128,
        registers=REGISTERS["tile_rate", 0],
        shared_bytes=STAGED_BYTES,
        products=True,
        stages=6,
        bytes_in_flight=6 * TILE_BYTES // 128,
        step=Work(global_read_bytes=TILE_BYTES, shared_write_bytes=TILE_BYTES),
        unique_read_bytes=TILES * TILE_BYTES,
        unique_write_bytes=per_sm * SMS * 512,
    )
    iterations, more = ITERATIONS["tile_rate"], {"share": share}
    return micro_case("tile_rate", launch, iterations, TILES * TILE_BYTES, family=FAMILY, more=more)


def _lines(kernel: str, lines: int) -> KernelCase:
    """Requests for so many lines of L2: a warp asks for one at a time, four in flight."""
    launch = Launch(
        kernel=kernel,
        runs=even(4 * SMS, ITERATIONS[kernel]),
        threads=256,
        registers=REGISTERS[kernel, 0],
        shared_bytes=16384 if kernel == "line_copy_rate" else 0,
        bytes_in_flight=16,
        step=Work(global_read_bytes=4 * 8 * 128),
        unique_write_bytes=4 * SMS * 1024,
    )
    return micro_case(kernel, launch, ITERATIONS[kernel], 0, family=FAMILY, more={"lines": lines})


def cases() -> tuple[KernelCase, ...]:
    """The cases of this family."""
    rates = (
        _rate(kernel, width, n) for kernel, widths in WIDTHS.items() for width in widths for n in THREADS
    )
    tiles = (_tiles(per_sm, share) for per_sm in (1, 2) for share in SHARES)
    lines = (_lines(kernel, count) for kernel in ("line_rate", "line_copy_rate") for count in LINES)
    return (*rates, *tiles, *lines)


@cache
def linked_kernel(function: str, macro: str, value: int, shared_bytes: int) -> Any:
    """The compiled numba kernel of one function in micro_hopper.cu (needs a GPU of sm_90)."""
    from numba import cuda

    macros = ((macro, value),) if macro else ()
    block = device_function("micro_hopper", function, TYPES, macros, ("hopper",))

    @cuda.jit(f"void({TYPES})")
    def micro(source, target, n, iterations):  # type: ignore[no-untyped-def]
        block(source, target, n, iterations)

    if shared_bytes > 48 * 1024:
        allow_shared(micro, shared_bytes)
    return micro


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU of sm_90)."""
    launch, sizes = case.launches[0], case.sizes
    macro = next((name for name in ("width", "share") if name in sizes), "")
    kernel = linked_kernel(case.variant, macro.upper(), sizes.get(macro, 0), launch.shared_bytes)
    target, number = arena.output((launch.grid * launch.threads,), "float32"), sizes.get("lines", 0)
    if macro == "share":
        tiles, number = arena.normal((TILES * TILE_ROWS, 64), "float16"), TILES
        source = tensor_map(arena, tiles, (64, TILE_ROWS))
    else:
        source = tiles = arena.normal((max(OPERAND_BYTES, number * 128) // 2,), "float16", 0.01)

    def check() -> float:
        """Rates give no number worth checking beyond that every thread wrote."""
        assert tiles.size  # the map's matrix lives as long as the problem
        return float("nan") if np.isnan(target.copy_to_host()).any() else 0.0

    def run(stream: Any) -> None:
        dynamic = 0 if launch.kernel == "line_copy_rate" else launch.shared_bytes
        kernel[launch.grid, launch.threads, stream, dynamic](
            address(source), address(target), number, launch.runs[0].steps
        )

    return Problem(launch=run, check=check, compiled=(kernel,))
