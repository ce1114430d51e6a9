"""Runs of FuseMax's array: stalled and interleaved, ragged tiles, single values."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from einsim.rtl_models.bench.batch import Batch, integers, pressures
from einsim.rtl_models.bench.job import Job
from einsim.rtl_models.fusemax.model import fusemax_job, fusemax_parameters
from einsim.sim.arrays.fusemax import FuseMaxSpec


def fusemax_grid(full: bool) -> Iterator[Batch]:
    """FuseMax arrays, stalled (depth 1) and interleaved."""
    specs = [(4, 3, 1), (3, 4, 2)] + ([(1, 1, 1), (8, 4, 2), (2, 2, 3), (5, 1, 4), (1, 6, 2)] if full else [])
    for rows, cols, depth in specs:
        spec = FuseMaxSpec(rows=rows, cols=cols, depth=depth)
        yield Batch(
            design="fusemax_array", about=f"{rows}x{cols} depth {depth}", parameters=fusemax_parameters(spec),
            jobs=attention_jobs(spec),
        )  # fmt: skip


def attention_jobs(spec: FuseMaxSpec) -> list[Job]:
    """One tile, single values and several ragged tiles, without and with waits."""
    rng = np.random.default_rng([spec.rows, spec.cols, spec.depth])
    jobs = []
    sizes = ((spec.rows, spec.cols, 4, 4), (1, 1, 1, 1), (2 * spec.rows + 1, spec.cols + 1, 6, 2))
    for number, (m, p, e, f) in enumerate(sizes):
        q, k, v = integers(rng, p, e), integers(rng, m, e), integers(rng, m, f)
        jobs += [
            fusemax_job(spec, q, k, v, score_fraction_bits=(8, 2, 14)[number], pressure=pressure)
            for pressure in pressures(number)
        ]
    return jobs
