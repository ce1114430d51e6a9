"""Stacked bars: where each unit's time went, and what the energy was spent on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from einsim.report.case import Case
from einsim.report.markup import legend, text
from einsim.report.palette import stall_colour, work_colours
from einsim.report.quantity import count, joules, percent
from einsim.report.stated import energy

# The share of a bar that a character of its name takes.
WIDE_ENOUGH = 0.011


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch of a bar: its share of the bar's full width (0..1) and what a reader sees when pointing at it."""

    name: str
    share: float
    colour: str
    tip: str


def bar(label: str, value: str, parts: Sequence[Segment]) -> str:
    """A labelled bar; parts narrower than a hair are left out of the drawing."""
    pieces = "".join(
        f'<span style="width:{100 * part.share:.3f}%;background:{part.colour}" title="{text(part.tip)}">'
        f"{text(part.name) if part.share > WIDE_ENOUGH * len(part.name) else ''}</span>"
        for part in parts
        if part.share > 1e-4
    )
    return (
        f'<div class="bar"><div class="name">{text(label)}</div>'
        f'<div class="track">{pieces}</div><div class="value">{text(value)}</div></div>'
    )


def time_bars(cases: Sequence[Case], einsums: Mapping[str, str]) -> str:
    """For each case and unit: busy cycles by Einsum, then the stalls by cause, together every cycle of the run.

    `einsums` gives each Einsum's colour.
    """
    causes: dict[str, str] = {}
    drawn = ""
    for case in cases:
        drawn += f"<h3>{text(case.label)}</h3>"
        for unit, utilisation in case.result.utilization.items():
            parts = busy_parts(case, unit, einsums)
            stalls = case.result.stalls_by_unit.get(unit, {})
            for cause, cycles in stalls.items():
                if cycles:
                    causes[f"waits: {cause.replace('_', ' ')}"] = stall_colour(cause)
                    parts.append(
                        Segment(
                            name=cause, share=cycles / case.result.cycles, colour=stall_colour(cause),
                            tip=f"waits for {cause.replace('_', ' ')}: {count(cycles)} cycles, "
                            f"{percent(cycles / case.result.cycles)}",
                        )
                    )  # fmt: skip
            drawn += bar(unit, percent(utilisation), parts)
    used = {
        name: colour
        for name, colour in einsums.items()
        if any(name in case.result.by_einsum for case in cases)
    }
    return drawn + legend(used | causes)


def busy_parts(case: Case, unit: str, colours: Mapping[str, str]) -> list[Segment]:
    """The Einsums that a unit computed, each with its share of the run's cycles."""
    parts = []
    for name, einsum in case.result.by_einsum.items():
        if einsum.unit == unit and einsum.cycles:
            share = einsum.cycles / case.result.cycles
            tip = f"{name} on {unit}: {count(einsum.cycles)} cycles, {percent(share)}"
            parts.append(Segment(name=name, share=share, colour=colours[name], tip=tip))
    return parts


def energy_bars(cases: Sequence[Case]) -> str:
    """The cases' energy by component, all bars on the scale of the largest."""
    colours = work_colours(name for case in cases for name in case.result.energy_by)
    wholes = [case.result.energy_stated_j or 0.0 for case in cases]
    most = max(wholes, default=0.0)
    drawn = ""
    for case, whole in zip(cases, wholes, strict=True):
        parts = [
            Segment(
                name=name, share=value / most if most else 0.0, colour=colours[name],
                tip=f"{name}: {joules(value)}, {percent(value / whole if whole else 0)}",
            )
            for name, value in case.result.energy_by.items()
        ]  # fmt: skip
        drawn += bar(case.label, energy(case.result), parts)
    return drawn + legend(colours)
