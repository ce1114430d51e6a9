"""Evaluations of one workload by searched mappings, each of which starts from the best before it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from einsim.evaluation import AUTO, Evaluation, Level, evaluate
from einsim.specs.argument import Count, Setting
from einsim.specs.errors import EinsimError, SpecError
from einsim.specs.workers import workers_of
from einsim.workloads.cascade import Cascade

if TYPE_CHECKING:
    from einsim.dataflow.effort import Effort
    from einsim.dataflow.mapper.objective import Objective

#: Points of a line, of which each starts from the one before: the same for any number of workers.
LINE: Final = 32

Point = Mapping[str, Setting]
"""What `--set` takes."""


def sweep(
    workload: str | Path | Cascade,
    machine: str | Path,
    points: Sequence[Point],
    *,
    level: Level = "analytical",
    objective: Objective = "latency",
    effort: Effort = "quick",
    workers: Count | None = None,
) -> Iterator[Evaluation | EinsimError]:
    """What `workload` costs at each of `points`, in their order, by searched mappings as `evaluate` gives
    them with "auto"; for a point without a mapping, the error that says why.

    A point starts from the best mapping of the one before it, so that points next to each other should be
    alike. The list is cut into lines of 32, each of which begins anew, for `workers` processes (one a core,
    if not given): they don't change what is returned, nor does the speed of the machine.

    Raises SpecError, when it comes to a point, for a setting that is wrong.
    """
    lines = [points[at : at + LINE] for at in range(0, len(points), LINE)]
    one = partial(_line, workload, machine, level=level, objective=objective, effort=effort)
    several = min(workers or os.cpu_count() or 1, len(lines))
    if several <= 1:
        for line in lines:
            yield from one(line)
        return
    with workers_of(several) as pool:
        for found in pool.map(one, lines):
            yield from found


def _line(
    workload: str | Path | Cascade, machine: str | Path, points: Sequence[Point], *, level: Level,
    objective: Objective, effort: Effort,
) -> list[Evaluation | EinsimError]:  # fmt: skip
    """Points one after the other."""
    found: list[Evaluation | EinsimError] = []
    last = None
    for point in points:
        try:
            best = evaluate(
                workload, machine, settings=point, mapping=AUTO, level=level, objective=objective,
                effort=effort, workers=1, starts=() if last is None else (last.mapped.mapping,),
            )  # fmt: skip
        except SpecError:
            raise
        except EinsimError as why:
            found.append(why)
        else:
            found.append(last := best)
    return found
