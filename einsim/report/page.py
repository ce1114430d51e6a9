"""The page: puts the parts of a mapping report together; the same cases give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import Annotated

from msgspec import Meta

from einsim.dataflow.result import Result
from einsim.report.case import Case
from einsim.report.markup import text
from einsim.report.quantity import joules, percent, seconds, times
from einsim.report.sections import sections
from einsim.report.stated import energy
from einsim.version import VERSION


def page(cases: Annotated[Sequence[Case], Meta(min_length=1)], title: str = "") -> str:
    """One self-contained HTML page about one or more cases, in the order given.

    Its title names their workloads unless another one is given.
    """
    template = Template(files("einsim.report").joinpath("page.html").read_text(encoding="utf-8"))
    workloads = ", ".join(dict.fromkeys(case.result.workload for case in cases))
    return template.substitute(
        title=text(title or workloads),
        verdict=verdict(cases),
        body="".join(sections(cases)),
        version=text(VERSION),
    )


def verdict(cases: Sequence[Case]) -> str:
    """The answer in one or two sentences, as markup."""
    best = min(cases, key=lambda case: case.result.latency_s)
    reached = best.result
    answer = (
        f"<b>{text(best.label)}</b> takes <b>{seconds(reached.latency_s)}</b>{spent(reached)}; {pace(best)}."
    )
    for case in cases:
        if case is not best:
            answer += (
                f" That is <b>{times(case.result.latency_s / reached.latency_s)}</b> the speed of "
                f"{text(case.label)}{share(reached.energy_j, case.result.energy_j)}."
            )
    return answer


def spent(result: Result) -> str:
    """` and <b>31 J</b>`, or that the machine doesn't state all of its energy."""
    if result.energy_j is None:
        return f" (its energy is {text(energy(result))})"
    return f" and <b>{joules(result.energy_j)}</b>"


def share(part: float | None, whole: float | None) -> str:
    """` for <b>78 %</b> of its energy`; nothing where one of the two is not stated."""
    return f" for <b>{percent(part / whole)}</b> of its energy" if part and whole else ""


def pace(case: Case) -> str:
    """What sets the pace of a case."""
    busy = case.result.utilization.get(case.result.bottleneck)
    known = f", busy {percent(busy)} of the time" if busy is not None else ""
    return f"<b>{text(case.result.bottleneck)}</b> sets the pace{known}"
