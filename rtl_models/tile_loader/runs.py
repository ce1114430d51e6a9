"""Runs of the loaded array: a word a cycle, one every three, and random waits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from einsim.rtl_models.bench.batch import Batch, integers, pressures, shapes
from einsim.rtl_models.tile_loader.model import loader_job, loader_parameters
from einsim.sim.arrays.gemm import ArraySpec


def loader_grid(full: bool) -> Iterator[Batch]:
    """Tile loader and array: a word a cycle, one every three, and random waits."""
    sides = [(4, 3)] + ([(1, 1), (8, 8), (2, 7)] if full else [])
    for rows, cols in sides:
        rng = np.random.default_rng([rows, cols, 3])
        jobs = []
        for convention in ("scale-sim", "overlapped"):
            spec = ArraySpec(rows=rows, cols=cols, dataflow="output-stationary", convention=convention)
            for number, (m, n, k) in enumerate(
                [*shapes(rows, cols, rng, 3), (3 * rows, cols, 4), (rows, 5 * cols, 1)]
            ):
                a, b = integers(rng, m, k), integers(rng, k, n)
                jobs += [loader_job(spec, a, b, every=every) for every in (1, 3)]
                jobs.append(loader_job(spec, a, b, pressure=pressures(number)[1]))
        yield Batch(
            design="loaded_array", about=f"{rows}x{cols} behind its loader",
            parameters=loader_parameters(spec), jobs=jobs,
        )  # fmt: skip
