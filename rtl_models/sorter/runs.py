"""Runs of the sorter: ragged counts, ties, the most negative value."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from einsim.rtl_models.bench.batch import Batch, integers, pressures
from einsim.rtl_models.sorter.model import sorter_job, sorter_parameters
from einsim.sim.arrays.sorter import SorterSpec


def sorter_grid(full: bool) -> Iterator[Batch]:
    """Sorters; half the groups of small values, where ties are common, and the most negative value."""
    specs = [(3, (2, 8)), (4, (2, 4))] + ([(1, (1, 4)), (8, (4, 16)), (2, (3, 3))] if full else [])
    for lanes, nm in specs:
        spec, rng = SorterSpec(lanes=lanes, nm=nm), np.random.default_rng([lanes, *nm])
        jobs = []
        for number, count in enumerate((1, lanes, 3 * lanes + 1, 2 * lanes)):
            groups = integers(rng, count, nm[1]) if number % 2 else rng.integers(-2, 3, (count, nm[1]))
            groups[0, 0] = -128
            jobs += [sorter_job(spec, groups, pressure=pressure) for pressure in pressures(number)]
        yield Batch(
            design="top_n_sorter", about=f"{lanes} lanes {nm[0]}:{nm[1]}", parameters=sorter_parameters(spec),
            jobs=jobs,
        )  # fmt: skip
