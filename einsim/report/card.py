"""A picture for a README or a slide: cases side by side in one SVG, where each unit's time goes and the figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from einsim.report.case import Case
from einsim.report.markup import text
from einsim.report.palette import stall_colour, work_colours
from einsim.report.quantity import joules, percent, seconds, size, times

WIDTH, MARGIN = 960, 28
HEAD, BAR, GAP = 66, 26, 8
NAME = 110
FONT = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"


def card(title: str, cases: Annotated[Sequence[Case], Meta(min_length=1)]) -> str:
    """An SVG with one block a case: its figures, and a bar for each unit with work by Einsum and stalls by cause.

    All bars are on the scale of the slowest case, so that length is time.
    """
    colours = work_colours(name for case in cases for name in case.result.by_einsum)
    slowest = max(case.result.latency_s for case in cases)
    rows = [HEAD + sum(block_height(case) for case in cases[:place]) for place in range(len(cases))]
    height = HEAD + sum(block_height(case) for case in cases) + 8
    body = "".join(block(case, top, colours, slowest) for case, top in zip(cases, rows, strict=True))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="{FONT}" role="img">'
        f'<rect width="{WIDTH}" height="{height}" rx="12" fill="#ffffff" stroke="#e3e7ed"/>'
        f'<text x="{MARGIN}" y="38" font-size="20" font-weight="650" fill="#1c2430">{text(title)}</text>'
        f'<text x="{WIDTH - MARGIN}" y="38" font-size="16" fill="#667080" text-anchor="end">{text(verdict(cases))}; length is time</text>'
        f"{body}</svg>\n"
    )


def verdict(cases: Sequence[Case]) -> str:
    """How the fastest case compares to the slowest."""
    fast = min(cases, key=lambda case: case.result.latency_s).result
    slow = max(cases, key=lambda case: case.result.latency_s).result
    if fast is slow:
        return ""
    share = (
        f", {percent(fast.energy_j / slow.energy_j)} of the energy" if fast.energy_j and slow.energy_j else ""
    )
    return f"{times(slow.latency_s / fast.latency_s)} the speed{share}"


def block_height(case: Case) -> int:
    """Pixels that a case takes."""
    return 44 + len(case.result.utilization) * (BAR + GAP) + 14


def block(case: Case, top: int, colours: dict[str, str], slowest: float) -> str:
    """One case from `top` on."""
    result = case.result
    known = "energy not stated" if result.energy_j is None else joules(result.energy_j)
    figures = f"{seconds(result.latency_s)}   {known}   {size(result.dram_bytes)} from DRAM"
    drawn = (
        f'<text x="{MARGIN}" y="{top + 22}" font-size="16" font-weight="650" fill="#2f6fd0">{text(case.label)}'
        f'<tspan fill="#1c2430" font-weight="400" dx="14" xml:space="preserve">{text(figures)}</tspan></text>'
    )
    room = (WIDTH - 2 * MARGIN - NAME) * result.latency_s / slowest
    for place, (unit, utilisation) in enumerate(result.utilization.items()):
        y = top + 38 + place * (BAR + GAP)
        drawn += (
            f'<text x="{MARGIN + NAME - 12}" y="{y + 18}" font-size="14" fill="#1c2430" text-anchor="end">{text(unit)}</text>'
            f'<rect x="{MARGIN + NAME}" y="{y}" width="{room:.1f}" height="{BAR}" rx="4" fill="#edf0f4"/>'
        )
        drawn += bar(case, unit, x=MARGIN + NAME, y=y, room=room, colours=colours)
        label = f"{percent(utilisation)} busy"
        if room < WIDTH / 2:
            drawn += f'<text x="{MARGIN + NAME + room + 10:.1f}" y="{y + 18}" font-size="13.5" fill="#667080">{label}</text>'
    return drawn


def bar(case: Case, unit: str, *, x: float, y: int, room: float, colours: dict[str, str]) -> str:
    """One unit's work and waiting."""
    result = case.result
    parts = [
        (name, each.cycles / result.cycles, colours[name])
        for name, each in result.by_einsum.items()
        if each.unit == unit
    ]
    waits = result.stalls_by_unit.get(unit, {})
    parts += [
        (f"waits: {cause}", cycles / result.cycles, stall_colour(cause)) for cause, cycles in waits.items()
    ]
    drawn = ""
    for name, share, colour in parts:
        width = share * room
        if width < 0.3:
            continue
        drawn += f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>'
        if width > 7.2 * len(name) + 8:
            drawn += (
                f'<text x="{x + width / 2:.1f}" y="{y + 17}" font-size="12" fill="#fff" text-anchor="middle">'
                f"{text(name.replace('_', ' '))}</text>"
            )
        x += width
    return drawn
