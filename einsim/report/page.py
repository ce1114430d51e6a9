"""The page: puts the parts of a mapping report together; the same cases give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from string import Template

from einsim.report.bars import energy_bars, time_bars
from einsim.report.case import Case
from einsim.report.markup import columns, section, text
from einsim.report.palette import slice_colours, work_colours
from einsim.report.quantity import joules, percent, seconds, times
from einsim.report.roofline import roofline
from einsim.report.tables import einsums, provenance, summary, traffic, where_time_went
from einsim.report.timeline import timeline


def page(cases: Sequence[Case], version: str, title: str = "") -> str:
    """One self-contained HTML page about one or more cases, in the order given.

    Its title names their workloads unless another one is given.
    """
    template = Template(files("einsim.report").joinpath("page.html").read_text(encoding="utf-8"))
    workloads = ", ".join(dict.fromkeys(case.result.workload for case in cases))
    return template.substitute(
        title=text(title or workloads),
        verdict=verdict(cases),
        body="".join(sections(cases)),
        version=text(version),
    )


def verdict(cases: Sequence[Case]) -> str:
    """The answer in one or two sentences, as markup."""
    best = min(cases, key=lambda case: case.result.latency_s)
    reached = best.result
    answer = (
        f"<b>{text(best.label)}</b> takes <b>{seconds(reached.latency_s)}</b> and "
        f"<b>{joules(reached.energy_j)}</b>; {pace(best)}."
    )
    for case in cases:
        if case is not best:
            answer += (
                f" That is <b>{times(case.result.latency_s / reached.latency_s)}</b> the speed of "
                f"{text(case.label)} for {share(reached.energy_j, case.result.energy_j)} of its energy."
            )
    return answer


def share(part: float, whole: float) -> str:
    """`<b>78 %</b>` of a whole that may be zero."""
    return f"<b>{percent(part / whole)}</b>" if whole else "none"


def pace(case: Case) -> str:
    """What sets the pace of a case."""
    busy = case.result.utilization.get(case.result.bottleneck)
    known = f", busy {percent(busy)} of the time" if busy is not None else ""
    return f"<b>{text(case.result.bottleneck)}</b> sets the pace{known}"


def sections(cases: Sequence[Case]) -> list[str]:
    """Every part of the page that these cases have something for."""
    colours = work_colours(name for case in cases for name in case.result.by_einsum)
    slices = slice_colours((each.name for case in cases for each in case.result.timeline), colours)
    parts = [section("Side by side" if len(cases) > 1 else "The figures", summary(cases), name="summary")]
    roof = roofline(cases)
    if roof:
        parts.append(
            section(
                "Against the roof", roof, name="roofline",
                lead="How many multiply-accumulates each DRAM byte feeds, how many are done a second, and what the "
                "matrix unit and the DRAM would allow there. The dashed line is what is still to be had.",
            )
        )  # fmt: skip
    parts.append(
        section(
            "Where the time goes", time_bars(cases, colours) + reasons(cases), name="time",
            lead="Each unit's run from the first cycle to the last: work by Einsum, then waiting by cause. "
            "Point at a part for its cycles. The table names what was waited for; its lines add up.",
        )
    )  # fmt: skip
    parts.append(section("Where the energy goes", energy_bars(cases), name="energy"))
    pictures = [(case.label, timeline(case.result, slices)) for case in cases]
    drawn = "".join(f"<h3>{text(label)}</h3>{picture}" for label, picture in pictures if picture)
    if drawn:
        parts.append(
            section(
                "The first and the last tiles", drawn, name="timeline",
                lead="What each engine does, cycle by cycle; the steady state between is cut out.",
            )
        )  # fmt: skip
    parts.append(
        section(
            "Traffic",
            columns(f"<h3>{text(case.label)}</h3>{traffic(case)}" for case in cases),
            name="traffic",
        )
    )
    parts.append(
        section(
            "Einsums",
            columns(f"<h3>{text(case.label)}</h3>{einsums(case)}" for case in cases),
            name="einsums",
        )
    )
    parts.append(
        section(
            "The mappings", columns(mapping(case) for case in cases), name="mapping",
            lead="Which unit computes what, in which order, with which tiles, kept where.",
        )
    )  # fmt: skip
    parts.append(
        section(
            "Where the figures come from",
            columns(f"<h3>{text(case.label)}</h3>{notes(case)}{provenance(case)}" for case in cases),
            name="sources",
        )
    )
    return parts


def reasons(cases: Sequence[Case]) -> str:
    """The cases' tables of where every cycle went, where their results say it."""
    tables = [(case.label, where_time_went(case)) for case in cases]
    return columns(f"<h3>{text(label)}</h3>{made}" for label, made in tables if made)


def mapping(case: Case) -> str:
    """A mapping's text with the command that gives it."""
    command = f'<p class="lead">Again: <code>{text(case.command)}</code></p>' if case.command else ""
    return f"<h3>{text(case.label)}</h3>{command}<pre>{text(case.result.mapping)}</pre>"


def notes(case: Case) -> str:
    """What the models want a reader to know about this result."""
    items = "".join(f"<li>{text(note)}</li>" for note in case.result.notes)
    return f"<ul>{items}</ul>" if items else ""
