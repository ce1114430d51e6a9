"""What einsim says of figures that others measured: each workload on each machine judged once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final

import msgspec

from einsim.accel.fitted import without_fit
from einsim.accel.gpu.machine import Gpu
from einsim.accel.load import fitted_of
from einsim.accel.machine import Machine
from einsim.dataflow.result import Result
from einsim.evaluation import Level, evaluate, machine_of, split_for
from einsim.models.judge import evaluate_model
from einsim.models.lengths import weigh
from einsim.models.outcome import ModelResult
from einsim.specs.errors import EinsimError
from einsim.specs.progress import tell
from einsim.specs.workers import workers_of
from einsim.validation.silicon.chip_figure import ChipFigure
from einsim.validation.silicon.figures import CALIBRATED, ROOFLINE, SOURCED, Judged
from einsim.validation.silicon.roofline import bound_s
from einsim.workload import find_workload
from einsim.workloads.load import load_model
from einsim.workloads.models.language import DECODE
from einsim.workloads.models.model import Phase
from einsim.workloads.settings import read_settings

LEVEL: Final[Level] = "analytical"
STEADY: Final = ("conv",)
"""Workloads of which figures leave out the first and last bytes of DRAM, as the bound does."""

Figures = dict[str, float]
"""Figures of a run by quantity."""


class PredictionJob(msgspec.Struct, frozen=True, kw_only=True):
    """A workload on a machine with the settings of both: what is judged once."""

    machine: str
    work: str
    settings: tuple[tuple[str, str], ...]


class Predicted(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a job by level; `best` is the preset's own level, `why` what kept it from any."""

    by_level: dict[str, Figures] = {}
    best: str = SOURCED
    why: str = ""


def job_of(row: ChipFigure) -> PredictionJob:
    """What has to be run for a row."""
    return PredictionJob(machine=row.machine, work=row.work, settings=tuple(sorted(row.settings.items())))


Answers = Callable[[Sequence[PredictionJob], bool], Iterator[Predicted]]
"""Answers jobs in their order; of each only the preset as it is, if the flag says so."""


@contextmanager
def answering(workers: int) -> Iterator[Answers]:
    """Answers by so many processes, which stay as long as the block runs."""
    with ExitStack() as stack:
        pool: ProcessPoolExecutor | None = None

        def answers(jobs: Sequence[PredictionJob], only_best: bool) -> Iterator[Predicted]:
            nonlocal pool
            if workers > 1 and len(jobs) > 1 and pool is None:
                pool = stack.enter_context(workers_of(workers))
            one = partial(answer, only_best=only_best)
            for at, found in enumerate(pool.map(one, jobs) if pool else map(one, jobs)):
                tell(f"{jobs[at].work} on {jobs[at].machine}", at, len(jobs))
                yield found

        yield answers


def predict(rows: Sequence[ChipFigure]) -> Iterator[Judged]:
    """Every row's figures by level, in their order, by a process a core."""
    with answering(os.cpu_count() or 1) as answers:
        yield from predicted_by(answers, rows)


def predicted_by(
    answers: Answers, rows: Sequence[ChipFigure], *, only_best: bool = False
) -> Iterator[Judged]:
    """As `predict`, by what answers; of rows of one run it is asked once."""
    jobs = list(dict.fromkeys(job_of(row) for row in rows))
    known = dict(zip(jobs, answers(jobs, only_best), strict=True))
    for row in rows:
        found = known[job_of(row)]
        by_level = {
            level: figures[row.quantity]
            for level, figures in found.by_level.items()
            if row.quantity in figures
        }
        why = found.why or ("" if by_level else f"no {row.quantity} of {row.work}")
        yield Judged(measured=row, by_level=by_level, best=found.best, why=why)


def answer(job: PredictionJob, only_best: bool = False) -> Predicted:
    """A job's figures at every level that there is."""
    settings = dict(job.settings)
    try:
        fitted = {f"accel.{path}": str(value) for path, value in without_fit(fitted_of(job.machine)).items()}
        best = CALIBRATED if fitted else SOURCED
        figures = {best: run(job.work, job.machine, settings)}
        if not only_best:
            if fitted:
                figures[SOURCED] = run(job.work, job.machine, {**settings, **fitted})
            figures[ROOFLINE] = baseline(job.work, job.machine, settings)
    except EinsimError as error:
        return Predicted(why=str(error))
    return Predicted(by_level=figures, best=best)


def run(work: str, machine: str, settings: Mapping[str, str]) -> Figures:
    """Figures by einsim's own models, with the mapping that suits: of a workload as simulated, of a whole
    model by the analytical level; without `work`, an FPGA's resources.
    """
    if not work:
        resources = _units(machine_of(machine, split_for(settings, (), machine)[1])).resources
        return {name.lower(): float(count) for name, count in resources.items()}
    if load_model(work) is None:
        level: Level = LEVEL if work in STEADY else "sim"
        return figures_of(evaluate(work, machine, settings=settings, level=level).result)
    return of_model(evaluate_model(work, machine, settings=settings, level=LEVEL))


def figures_of(found: Result) -> Figures:
    """Time, power as far as it is stated, and bytes by memory."""
    power = {} if found.power_w is None else {"power_w": found.power_w}
    moved = {f"{memory}_bytes": float(sum(sizes.values())) for memory, sizes in found.traffic.items()}
    return {"latency_s": found.latency_s, **power, **moved}


def of_model(found: ModelResult) -> Figures:
    """Of a whole model also the time of a prompt, and rates."""
    first = found.phases[0]
    made = {**figures_of(found.total), "per_s": first.tokens_per_s or 0.0}
    if found.first_token_s is not None:
        made["first_token_s"] = found.first_token_s
    decode = next((phase for phase in found.phases if phase.phase == DECODE), None)
    if decode and decode.tokens_per_s:
        made["tokens_per_s"] = decode.tokens_per_s
    return made


def baseline(work: str, machine: str, settings: Mapping[str, str]) -> Figures:
    """The same figures by the roofline, part by part."""
    if not work:
        return {}
    model = load_model(work)
    if model is None:
        source = find_workload(work)
        for_work, for_machine = split_for(settings, source.keys, machine)
        cascade = source.every(for_work)[0]
        return {"latency_s": bound_s(cascade, _units(machine_of(machine, for_machine)))}
    for_work, for_machine = split_for(settings, tuple(one.name for one in model.parameters), machine)
    units = _units(machine_of(machine, for_machine))
    made: Figures = {"latency_s": 0.0}
    for phase in model.phases(read_settings(model.parameters, for_work, model.name)):
        step_s = partial(_step_s, phase, units)
        seconds = sum(float(steps) * step_s(length) for length, steps in weigh(phase, step_s).steps.items())
        made["latency_s"] += seconds
        made.setdefault("per_s", units.replicas * phase.tokens / seconds)
        if phase.name == DECODE:
            made["tokens_per_s"] = phase.tokens / seconds
        else:
            made["first_token_s"] = seconds
    return made


def _step_s(phase: Phase, machine: Machine, length: int) -> float:
    return sum(part.count * bound_s(part.cascade, machine) for part in phase.parts(length, {}))


def _units(machine: Machine | Gpu) -> Machine:
    if isinstance(machine, Gpu):
        raise EinsimError(f"{machine.name} is a GPU, which has a suite of its own")
    return machine
