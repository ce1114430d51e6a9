"""The grid of RTL runs over all designs: parameters, shapes, patterns and back-pressure."""

from __future__ import annotations

from collections.abc import Iterator

from einsim.rtl_models.bench.batch import Batch
from einsim.rtl_models.fusemax.runs import fusemax_grid
from einsim.rtl_models.nm_chain.runs import chain_grid
from einsim.rtl_models.sorted_array.runs import sorted_grid
from einsim.rtl_models.sorter.runs import sorter_grid
from einsim.rtl_models.systolic.runs import sparse_grid, systolic_grid
from einsim.rtl_models.tile_loader.runs import loader_grid


def grid(full: bool = False) -> Iterator[Batch]:
    """The quick grid, or the full one of more than 500 runs; made as it is asked for, the same every time."""
    yield from systolic_grid(full)
    yield from sparse_grid(full)
    yield from chain_grid(full)
    yield from sorter_grid(full)
    yield from sorted_grid(full)
    yield from loader_grid(full)
    yield from fusemax_grid(full)
