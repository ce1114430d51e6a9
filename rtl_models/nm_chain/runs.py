"""Runs of the chains: every mode on the same build."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from einsim.rtl_models.bench.batch import Batch, integers, pressures
from einsim.rtl_models.bench.job import Job
from einsim.rtl_models.nm_chain.model import MODES, chain_job, chain_parameters
from einsim.sim.arrays.dsp_chain import ChainSpec
from einsim.sim.arrays.sorter import prune


def chain_grid(full: bool) -> Iterator[Batch]:
    """DSP chains, every mode on the same build."""
    specs = [(1, 1, 4), (2, 3, 5)] + ([(1, 1, 16), (2, 2, 8), (4, 1, 2)] if full else [])
    for rows, cols, length in specs:
        spec = ChainSpec(rows=rows, cols=cols, length=length)
        yield Batch(
            design="nm_chain", about=f"{rows}x{cols} chains of {length}", parameters=chain_parameters(spec),
            jobs=chain_jobs(spec),
        )  # fmt: skip


def chain_jobs(spec: ChainSpec) -> list[Job]:
    """Three shapes in every mode whose groups the chain holds, every other one with waits."""
    rng = np.random.default_rng([spec.rows, spec.cols, spec.length])
    sizes = ((1, 1, 1), (2 * spec.rows + 1, 2 * spec.cols + 1, 19), (2, 3, 64))
    modes = [nm for nm in MODES if nm[0] <= spec.length]
    jobs = []
    for number, (nm, (m, n, k)) in enumerate(product(modes, sizes)):
        a, b = integers(rng, m, k), prune(integers(rng, k, n), nm)
        jobs.append(chain_job(spec, a, b, nm=nm, pressure=pressures(number)[number % 2]))
    return jobs
