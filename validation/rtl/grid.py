"""The grids of RTL runs: which designs, parameters, shapes, patterns and back-pressure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import msgspec
import numpy as np
import numpy.typing as npt

from rtl_models.bench.job import Job
from sim.arrays.dsp_chain import ChainSpec
from sim.arrays.fusemax import FuseMaxSpec
from sim.arrays.gemm import CONVENTIONS, DATAFLOWS, ArraySpec, Dataflow
from sim.arrays.sorter import SorterSpec, prune
from validation.rtl.golden_chain import MODES, chain_job, chain_parameters
from validation.rtl.golden_fusemax import fusemax_job, fusemax_parameters
from validation.rtl.golden_loader import loader_job, loader_parameters
from validation.rtl.golden_sorter import sorter_job, sorter_parameters
from validation.rtl.golden_systolic import systolic_job, systolic_parameters
from validation.rtl.pressure import Pressure

Ints = npt.NDArray[np.int64]
Shape = tuple[int, int, int]


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of one design with one set of parameters: one build, one simulation."""

    design: str
    about: str
    parameters: dict[str, int]
    jobs: list[Job]


def grid(full: bool = False) -> Iterator[Batch]:
    """The quick grid, or the full one of more than 500 runs; made as it is asked for, the same every time."""
    yield from systolic_grid(full)
    yield from sparse_grid(full)
    yield from chain_grid(full)
    yield from sorter_grid(full)
    yield from loader_grid(full)
    yield from fusemax_grid(full)


def shapes(rows: int, cols: int, rng: np.random.Generator, count: int) -> list[Shape]:
    """(m, n, k): one tile; 1; ragged tiles back to back; a last row alone, tiles after it; then random."""
    fixed = [
        (rows, cols, rows), (1, 1, 1), (2 * rows + 1, 2 * cols + 1, max(1, rows - 1)),
        (cols + 1, cols + 1, rows + 1),
    ]  # fmt: skip
    drawn = rng.integers(1, (2 * rows + 3, 2 * cols + 3, 2 * rows + 5), (max(0, count - 4), 3))
    return (fixed + [(int(m), int(n), int(k)) for m, n, k in drawn])[:count]


def pressures(number: int) -> tuple[Pressure, Pressure]:
    """No waits, and random waits on every stream."""
    return Pressure(), Pressure(source=0.25, sink=0.25, seed=number)


def integers(rng: np.random.Generator, *shape: int) -> Ints:
    """Every 8-bit value."""
    return rng.integers(-128, 128, shape)


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
        rng = np.random.default_rng([rows, cols, 7])
        jobs = []
        for convention, nm in product(CONVENTIONS, ((2, 4), (1, 4), (2, 8))):
            spec = ArraySpec(rows=rows, cols=cols, dataflow=dataflow, convention=convention)
            for number, (m, n, _) in enumerate(shapes(rows, cols, rng, 3)[::2]):
                k = int(rng.integers(5, 30))
                a, b = integers(rng, m, k), prune(integers(rng, k, n), nm)
                pressure = pressures(number)[number % 2]
                jobs.append(systolic_job(spec, a, b, nm=nm, group=8, pressure=pressure))
        yield Batch(
            design=rtl_of(dataflow), about=f"{dataflow} {rows}x{cols} N:M",
            parameters=systolic_parameters(spec, group=8), jobs=jobs,
        )  # fmt: skip


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
    """Three shapes in every mode, every other one with waits."""
    rng = np.random.default_rng([spec.rows, spec.cols, spec.length])
    sizes = ((1, 1, 1), (2 * spec.rows + 1, 2 * spec.cols + 1, 19), (2, 3, 64))
    jobs = []
    for number, (nm, (m, n, k)) in enumerate(product(MODES, sizes)):
        a, b = integers(rng, m, k), prune(integers(rng, k, n), nm)
        jobs.append(chain_job(spec, a, b, nm=nm, pressure=pressures(number)[number % 2]))
    return jobs


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
