"""Runs of the systolic arrays: every dataflow and convention, dense and N:M."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

import msgspec
import numpy as np

from einsim.rtl_models.bench.batch import Batch, integers, pressures, shapes
from einsim.rtl_models.bench.job import Job
from einsim.rtl_models.systolic.model import systolic_job, systolic_parameters
from einsim.sim.arrays.gemm import CONVENTIONS, DATAFLOWS, ArraySpec, Dataflow
from einsim.sim.arrays.sorter import prune

GROUP: Final = 8
"""The largest m of the N:M patterns that the runs' sparse arrays take."""


def systolic_grid(full: bool) -> Iterator[Batch]:
    """Dense arrays: every dataflow and convention, edges one element wide."""
    sides = [(4, 3), (1, 9), (6, 1)] + ([(1, 1), (8, 8), (6, 10), (3, 16), (16, 16)] if full else [])
    for (rows, cols), dataflow in product(sides, DATAFLOWS):
        spec = ArraySpec(rows=rows, cols=cols, dataflow=dataflow)
        count = 2 if rows * cols > 100 else 5 if full else 4
        yield Batch(
            design=rtl_of(dataflow), about=f"{dataflow} {rows}x{cols}",
            parameters=systolic_parameters(spec), jobs=array_jobs(spec, 1, count),
        )  # fmt: skip


def array_jobs(array: ArraySpec, group: int, count: int) -> list[Job]:
    """Dense jobs of `count` shapes in each convention, without and with waits."""
    rng = np.random.default_rng([array.rows, array.cols, DATAFLOWS.index(array.dataflow)])
    jobs = []
    for convention in CONVENTIONS:
        spec = msgspec.structs.replace(array, convention=convention)
        for number, (m, n, k) in enumerate(shapes(spec.rows, spec.cols, rng, count)):
            a, b = integers(rng, m, k), integers(rng, k, n)
            jobs += [
                systolic_job(spec, a, b, group=group, pressure=pressure) for pressure in pressures(number)
            ]
    return jobs


def rtl_of(dataflow: Dataflow) -> str:
    """The design that implements a dataflow."""
    return "systolic_os" if dataflow == "output-stationary" else "systolic_ws"


def sparse_grid(full: bool) -> Iterator[Batch]:
    """N:M elements; patterns change at run time on the same array."""
    sides = [(4, 3)] + ([(5, 6), (1, 4)] if full else [])
    flows: tuple[Dataflow, ...] = ("output-stationary", "weight-stationary")
    for (rows, cols), dataflow in product(sides, flows):
        spec = ArraySpec(rows=rows, cols=cols, dataflow=dataflow)
        yield Batch(
            design=rtl_of(dataflow), about=f"{dataflow} {rows}x{cols} N:M",
            parameters=systolic_parameters(spec, group=GROUP), jobs=sparse_jobs(spec),
        )  # fmt: skip


def sparse_jobs(array: ArraySpec) -> list[Job]:
    """N:M jobs in each convention and pattern, every other one with waits; for an array of GROUP."""
    rng = np.random.default_rng([array.rows, array.cols, 7])
    jobs = []
    for convention, nm in product(CONVENTIONS, ((2, 4), (1, 4), (2, 8))):
        spec = msgspec.structs.replace(array, convention=convention)
        for number, (m, n, _) in enumerate(shapes(array.rows, array.cols, rng, 3)[::2]):
            k = int(rng.integers(5, 30))
            a, b = integers(rng, m, k), prune(integers(rng, k, n), nm)
            pressure = pressures(number)[number % 2]
            jobs.append(systolic_job(spec, a, b, nm=nm, group=GROUP, pressure=pressure))
    return jobs
