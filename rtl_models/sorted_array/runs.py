"""Runs of the array behind its sorter: dense B in, N:M products out, alone and under waits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from einsim.rtl_models.bench.batch import Batch, integers, pressures, shapes
from einsim.rtl_models.sorted_array.model import sorted_job, sorted_parameters
from einsim.sim.arrays.gemm import CONVENTIONS, ArraySpec


def sorted_grid(full: bool) -> Iterator[Batch]:
    """Every pattern of SAT, and 4:4, where the sorter is no slower than the array and has to wait for it."""
    specs = [(4, 3, (2, 8)), (5, 1, (4, 4))]
    if full:
        specs += [(3, 5, (2, 4)), (1, 4, (1, 4)), (2, 2, (4, 8))]
    for rows, cols, nm in specs:
        rng = np.random.default_rng([rows, cols, *nm])
        jobs = []
        for convention in CONVENTIONS:
            spec = ArraySpec(rows=rows, cols=cols, dataflow="output-stationary", convention=convention)
            for number, (m, n, k) in enumerate(shapes(rows, cols, rng, 3)):
                a, b = integers(rng, m, k * nm[1] // 2 + 1), integers(rng, k * nm[1] // 2 + 1, n)
                jobs += [sorted_job(spec, a, b, nm, pressure=pressure) for pressure in pressures(number)]
        yield Batch(
            design="sorted_array", about=f"{rows}x{cols} behind its {nm[0]}:{nm[1]} sorter",
            parameters=sorted_parameters(spec, nm), jobs=jobs,
        )  # fmt: skip
