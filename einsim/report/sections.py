"""The sections of the report, in the order of the page, each with what it draws of the cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from einsim.report.bars import energy_bars, time_bars
from einsim.report.case import Case
from einsim.report.markup import columns, section, text
from einsim.report.memory_time import memory_over_time
from einsim.report.palette import slice_colours, work_colours
from einsim.report.roofline import roofline
from einsim.report.stated import evidence_texts
from einsim.report.tables import einsums, model_summary, parts, provenance, summary, traffic, where_time_went
from einsim.report.timeline import timeline
from einsim.specs.registry import Registry


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """`draw` gives markup, "" where these cases have nothing for it; `several` is the title of several cases."""

    title: str
    draw: Callable[[Sequence[Case]], str]
    lead: str = ""
    several: str = ""


def colours(cases: Sequence[Case]) -> dict[str, str]:
    """The colour of each Einsum, the same all over the page."""
    return work_colours(name for case in cases for name in case.result.by_einsum)


def times(cases: Sequence[Case]) -> str:
    """Bars of each unit's time, then tables of where every cycle went, where the results say it."""
    tables = [(case.label, where_time_went(case)) for case in cases]
    return time_bars(cases, colours(cases)) + columns(
        f"<h3>{text(label)}</h3>{made}" for label, made in tables if made
    )


def timelines(cases: Sequence[Case]) -> str:
    """The recorded slices of the cases that have any."""
    slices = slice_colours((each.name for case in cases for each in case.result.timeline), colours(cases))
    pictures = [(case.label, timeline(case.result, slices)) for case in cases]
    return "".join(f"<h3>{text(label)}</h3>{picture}" for label, picture in pictures if picture)


def beside(part: Callable[[Case], str]) -> Callable[[Sequence[Case]], str]:
    """A section that shows the same of each case, side by side."""
    return lambda cases: columns(f"<h3>{text(case.label)}</h3>{part(case)}" for case in cases)


def mapping(case: Case) -> str:
    """A mapping's text with the command that gives it."""
    command = f'<p class="lead">Again: <code>{text(case.command)}</code></p>' if case.command else ""
    return f"{command}<pre>{text(case.result.mapping)}</pre>"


def sources(case: Case) -> str:
    """What the models want a reader to know about this result, and the machine's sources."""
    # A model's stand with its summary.
    notes = () if case.tables else (*case.result.notes, *evidence_texts(case.result))
    items = "".join(f"<li>{text(note)}</li>" for note in notes)
    return (f"<ul>{items}</ul>" if items else "") + provenance(case)


SECTIONS: Final = Registry("section", {
    "summary": Section(title="The figures", several="Side by side", draw=summary),
    "model": Section(
        title="The model", several="The models", draw=model_summary,
        lead="What it weighs, whether DRAM holds it, how fast it is, and what is to be known of the figures.",
    ),
    "parts": Section(
        title="Phases and parts", several="Phases and parts", draw=parts,
        lead="A part's figures are of all its pieces and steps; they add up to the model's.",
    ),
    "memory": Section(
        title="DRAM over time", draw=memory_over_time,
        lead="What DRAM holds while each part runs, phase after phase: as wide as it takes.",
    ),
    "roofline": Section(
        title="Against the roof", draw=roofline,
        lead="How many multiply-accumulates each DRAM byte feeds, how many are done a second, and what the "
        "matrix unit and the DRAM would allow there. The dashed line is what is still to be had.",
    ),
    "time": Section(
        title="Where the time goes", draw=times,
        lead="Each unit's run from the first cycle to the last: work by Einsum, then waiting by cause. "
        "Point at a part for its cycles. The table names what was waited for; its lines add up.",
    ),
    "energy": Section(title="Where the energy goes", draw=energy_bars),
    "timeline": Section(
        title="The first and the last tiles", draw=timelines,
        lead="What each engine does, cycle by cycle; the steady state between is cut out.",
    ),
    "traffic": Section(title="Traffic", draw=beside(traffic)),
    "einsums": Section(title="Einsums", draw=beside(einsums)),
    "mapping": Section(
        title="The mappings", draw=beside(mapping),
        lead="Which unit computes what, in which order, with which tiles, kept where.",
    ),
    "sources": Section(title="Where the figures come from", draw=beside(sources)),
})  # fmt: skip
"""Sections by their anchor on the page."""


def sections(cases: Sequence[Case]) -> list[str]:
    """Every section that these cases have something for, as markup."""
    parts = []
    for name, each in SECTIONS.items():
        drawn = each.draw(cases)
        if drawn:
            title = each.several if each.several and len(cases) > 1 else each.title
            parts.append(section(title, drawn, name=name, lead=each.lead))
    return parts
