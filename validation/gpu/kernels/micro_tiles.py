"""Microbenchmarks of products and tiles as kernels have them: what `wgmma` draws on operands that change,
tiles by TMA whose rows lie beyond the matrix, and a block's first tile.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from einsim.sim.gpu.case import KernelCase, Launch, Work, even
from einsim.validation.gpu.kernels.linked import allow_shared, device_function
from einsim.validation.gpu.kernels.micro import SMS, micro_case
from einsim.validation.gpu.kernels.micro_hopper import (
    STAGED_BYTES,
    TILE_BYTES,
    TILE_ROWS,
    TYPES,
    linked_kernel,
)
from einsim.validation.gpu.kernels.problem import Arena, Problem, address
from einsim.validation.gpu.kernels.tensor_map import tensor_map

FAMILY = "micro-tiles"
REGISTERS = {("product_energy", 128): 90, ("product_energy", 256): 154, "tile": 22}  # ptxas, sm_90a
ITERATIONS = {"product_energy": 1000, "edge_rate": 1000, "first_tile": 1}
A_TILES, B_TILES = 4, 3
WIDTHS = (128, 256)
THREADS = (128, 256)
PRODUCTS = 4  # of a warp group and iteration
INSIDE = (128, 64, 17, 1)  # of a tile's 128 rows those that the matrix has
GRIDS = (48, 132)


def _operands(width: int) -> int:
    """Bytes of operands."""
    return A_TILES * 8192 + B_TILES * width * 128


def _product(width: int, threads: int) -> KernelCase:
    groups, iterations = threads // 128, ITERATIONS["product_energy"]
    flops = 2 * 64 * width * 16 * PRODUCTS * groups
    launch = Launch(
        kernel="product_energy",
        runs=even(SMS, iterations),
        threads=threads,
        registers=REGISTERS["product_energy", width],
        shared_bytes=_operands(width) + 1024,
        products=True,
        stages=2,
        step=Work(wgmma_flops=flops, shared_read_bytes=(64 + width) * 32 * PRODUCTS * groups),
        unique_write_bytes=SMS * threads * 4,
    )
    more, useful = {"width": width}, flops * SMS * iterations
    return micro_case("product_energy", launch, iterations, 0, useful_flops=useful, family=FAMILY, more=more)


def _tiles(kernel: str, grid: int, inside: int) -> KernelCase:
    """Tiles by TMA, six in flight a block, of which so many rows lie in the matrix."""
    iterations, rows = ITERATIONS[kernel], TILE_ROWS * (1 if kernel == "edge_rate" else grid)
    launch = Launch(
        kernel=kernel,
        runs=even(grid, iterations),
        threads=128,
        registers=REGISTERS["tile"],
        shared_bytes=STAGED_BYTES,
        products=True,
        stages=6,
        bytes_in_flight=6 * TILE_BYTES // 128,
        step=Work(global_read_bytes=inside * 128, shared_write_bytes=TILE_BYTES),
        unique_read_bytes=rows * inside,
        unique_write_bytes=grid * 512,
    )
    return micro_case(kernel, launch, iterations, 0, family=FAMILY, more={"inside": inside})


def cases() -> tuple[KernelCase, ...]:
    """The cases of this family."""
    energies = (_product(width, threads) for width in WIDTHS for threads in THREADS)
    edges = (_tiles("edge_rate", grid, inside) for grid in GRIDS for inside in INSIDE)
    return (*energies, *edges, *(_tiles("first_tile", grid, TILE_ROWS) for grid in GRIDS))


@cache
def product_kernel(width: int) -> Any:
    """The compiled numba kernel (needs a GPU of sm_90)."""
    from numba import cuda

    block = device_function("micro_tiles", "product_energy", TYPES, (("WIDTH", width),), ("hopper",))

    @cuda.jit(f"void({TYPES})")
    def micro(source, target, n, iterations):  # type: ignore[no-untyped-def]
        block(source, target, n, iterations)

    allow_shared(micro, _operands(width) + 1024)
    return micro


def bind(case: KernelCase, arena: Arena) -> Problem:
    """Buffers, launch and check of one case (needs a GPU of sm_90)."""
    launch, sizes = case.launches[0], case.sizes
    target = arena.output((launch.grid * launch.threads,), "float32")
    if "width" in sizes:
        kernel, number = product_kernel(sizes["width"]), 0
        source = matrix = arena.normal((_operands(sizes["width"]) // 2,), "float16")
    else:
        kernel = linked_kernel("tile_rate", "SHARE", 1, launch.shared_bytes)
        number = 1 if case.variant == "edge_rate" else launch.grid
        rows = sizes["inside"] if case.variant == "edge_rate" else TILE_ROWS * launch.grid
        matrix = arena.normal((rows, 64), "float16")
        source = tensor_map(arena, matrix, (64, TILE_ROWS))

    def check() -> float:
        """Nothing to check beyond that every thread wrote."""
        assert matrix.size  # the map's matrix lives as long as the problem
        return float("nan") if np.isnan(target.copy_to_host()).any() else 0.0

    return Problem(
        launch=lambda stream: kernel[launch.grid, launch.threads, stream, launch.shared_bytes](
            address(source), address(target), number, launch.runs[0].steps
        ),
        check=check,
        compiled=(kernel,),
    )
