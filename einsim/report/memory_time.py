"""DRAM over time: weights, caches and activations of a model, part after part."""

from __future__ import annotations

from collections.abc import Sequence

from einsim.report.case import Case
from einsim.report.markup import columns, legend, text
from einsim.report.quantity import seconds, size

WIDTH, HEIGHT = 720, 220
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 34
KINDS = {"weight_bytes": "weights", "kept_bytes": "caches and states", "activation_bytes": "activations"}
COLOURS = {"weight_bytes": "#3b7dd8", "kept_bytes": "#e08a1e", "activation_bytes": "#2a9d78"}


def memory_over_time(cases: Sequence[Case]) -> str:
    """A picture for each case that is a model; "" where none is."""
    drawn = [f"<h3>{text(case.label)}</h3>{_picture(case)}" for case in cases if case.tables]
    colours = {KINDS[kind]: COLOURS[kind] for kind in KINDS}
    return columns(drawn) + legend(colours) if drawn else ""


def _picture(case: Case) -> str:
    """Stacked steps; a line where the DRAM ends, if its capacity is stated."""
    assert case.tables
    moments = case.tables.memory
    whole_s = moments[-1].until_s or 1.0
    capacity = case.tables.model.dram_capacity_bytes
    room = capacity or 0.0
    most = max(*(moment.bytes for moment in moments), room) or 1
    across, up = (WIDTH - LEFT - RIGHT) / whole_s, (HEIGHT - TOP - BOTTOM) / most
    bars, began = "", 0.0
    for moment in moments:
        x, width = LEFT + began * across, max((moment.until_s - began) * across, 0.6)
        y = float(HEIGHT - BOTTOM)
        tip = f"{moment.phase}, {moment.part}: " + ", ".join(
            f"{size(getattr(moment, kind))} of {name}" for kind, name in KINDS.items()
        )
        for kind, colour in COLOURS.items():
            height = getattr(moment, kind) * up
            y -= height
            bars += (
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}">'
                f"<title>{text(tip)}</title></rect>"
            )
        began = moment.until_s
    lines = _line(most, up, size(most))
    if room:
        lines += _line(room, up, f"DRAM: {size(room)}", roof=True)
    axis = f'<text class="axis" x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end">{seconds(whole_s)}</text>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="DRAM over time">{bars}{lines}'
        f'<text class="axis" x="{LEFT}" y="{HEIGHT - 10}">0 s</text>{axis}</svg>'
    )


def _line(value: float, up: float, label: str, *, roof: bool = False) -> str:
    y = HEIGHT - BOTTOM - value * up
    kind = "roof" if roof else "grid"
    return (
        f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text(label)}</text>'
    )
