"""The RTL suite: every run of a grid, on the simulators that are here, against einsim's stepped models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from einsim.rtl_models.bench.batch import Batch
from einsim.rtl_models.bench.job import Job, Outcome
from einsim.rtl_models.build import build, run_jobs
from einsim.rtl_models.design import DESIGNS, find_design
from einsim.rtl_models.grid import grid
from einsim.rtl_models.nm_chain.model import chain_job, chain_parameters
from einsim.rtl_models.simulator import Simulator, available, choose
from einsim.sim.arrays.dsp_chain import ChainSpec
from einsim.sim.arrays.sorter import prune
from einsim.validation.row import Row, held

SUITE = "rtl"
PATTERNS: Final = ((2, 4), (1, 4), (2, 8))
DEPTHS: Final = (64, 256, 1024)
"""k of the runs that show N:M's speed-up: whole beats of eight slices in every pattern."""
SOURCE = "the SystemVerilog in rtl_models, simulated; reference: RTL, ours: einsim's stepped models"


def run(
    cases: Sequence[str] = (), progress: Callable[[str], None] = lambda _: None, *, full: bool = False
) -> Iterator[Row]:
    """Two rows a run: clocks, which must be equal, and differing cycles or results, which must be none.

    `cases` are design names, none for all. The full grid runs on the first simulator, and the quick one on
    every other that is here. SimulatorError when there is none; RuleError for a name that is no design.
    """
    wanted = {find_design(case).name for case in cases} or set(DESIGNS)
    first = choose()
    others = [simulator for simulator in available() if simulator.name != first.name] if full else []
    for simulator, is_full in [(first, full), *((other, False) for other in others)]:
        for batch in grid(is_full):
            if batch.design in wanted:
                progress(f"{batch.design} {batch.about} on {simulator.name}")
                yield from batch_rows(batch, simulator)
        if "nm_chain" in wanted:
            yield from speedup_rows(simulator)


def rows(full: bool = False) -> list[Row]:
    """All rows of the quick or the full grid."""
    return list(run(full=full))


def batch_rows(batch: Batch, simulator: Simulator) -> Iterator[Row]:
    """The rows of one batch."""
    outcomes = run_jobs(build(find_design(batch.design), simulator, batch.parameters), batch.jobs)
    for number, (job, outcome) in enumerate(zip(batch.jobs, outcomes, strict=True)):
        case = f"{batch.design}:{batch.about}:{number}"
        yield row(case, "clocks", simulator, outcome.clocks, job.clocks, job.name)
        yield row(case, "differences", simulator, 0, outcome.differences, outcome.difference)


def row(case: str, quantity: str, simulator: Simulator, reference: float, ours: float, note: str) -> Row:
    """A row that must be met exactly."""
    return held(
        suite=SUITE, case=case, quantity=quantity, level=simulator.name, reference=reference, ours=ours,
        limit=0.0, source=SOURCE, note=note,
    )  # fmt: skip


def speedup_rows(simulator: Simulator) -> Iterator[Row]:
    """Speed-up of N:M over dense on one build of the chains, for growing k: RTL's and einsim's must be equal.

    Without the fill, length + 2 cycles a run, it is M / N exactly where k holds whole beats of both.
    """
    spec, rng = ChainSpec(rows=1, cols=1, length=8), np.random.default_rng(0)
    built = build(find_design("nm_chain"), simulator, chain_parameters(spec))
    fill = spec.length + 2
    for depth in DEPTHS:
        a, b = rng.integers(-128, 128, (4, depth)), rng.integers(-128, 128, (depth, 4))
        jobs = [chain_job(spec, a, prune(b, nm), nm=nm) for nm in ((1, 1), *PATTERNS)]
        outcomes = run_jobs(built, jobs)
        for nm, job, outcome in zip(PATTERNS, jobs[1:], outcomes[1:], strict=True):
            case = f"nm_chain:speed-up of {nm[0]}:{nm[1]}:k {depth}"
            found, expected = speedup(outcomes[0], outcome), jobs[0].cycles / job.cycles
            note = f"{outcomes[0].cycles} cycles dense, {outcome.cycles} sparse; M / N = {nm[1] / nm[0]:g}"
            yield row(case, "speed-up", simulator, found, expected, note)
            steady = (outcomes[0].cycles - fill) / (outcome.cycles - fill)
            yield row(case, "speed-up less fill", simulator, nm[1] / nm[0], steady, note)


def speedup(dense: Outcome, sparse: Outcome) -> float:
    """How much faster the sparse run was, in cycles."""
    return dense.cycles / sparse.cycles


def runs(full: bool) -> list[Job]:
    """All jobs of a grid."""
    return [job for batch in grid(full) for job in batch.jobs]
