"""The roofline: what a machine could reach at an intensity, and where each mapping stands below it.

Williams, Waterman, Patterson: Roofline, CACM 52(4), 2009.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from einsim.report.case import Case
from einsim.report.markup import text
from einsim.report.palette import WORK
from einsim.report.quantity import count, percent

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 18, 48


class Axes:
    """Logarithmic axes in whole decades around the values that are drawn."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        self.x_low, self.x_high = decades(xs)
        self.y_low, self.y_high = decades(ys)

    def x(self, value: float) -> float:
        """The horizontal place of an intensity."""
        part = (math.log10(value) - self.x_low) / (self.x_high - self.x_low)
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """The vertical place of a rate."""
        part = (math.log10(value) - self.y_low) / (self.y_high - self.y_low)
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)


def decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten that enclose the values, at least two decades apart."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return (low, high) if high - low >= 2 else (high - 2, high)


def drawable(case: Case) -> bool:
    """Whether all four figures that a roofline needs are known."""
    return min(case.peak_macs_per_s, case.dram_bytes_per_s, case.intensity, case.macs_per_s) > 0


def roofline(cases: Sequence[Case]) -> str:
    """An SVG of the cases that have a machine and a MAC count, a model's parts too; "" when none has."""
    shown = [one for case in cases for one in (*case.of_parts, case) if drawable(one)]
    if not shown:
        return ""
    ridges = [case.peak_macs_per_s / case.dram_bytes_per_s for case in shown]
    xs = [value for case, ridge in zip(shown, ridges, strict=True) for value in (case.intensity, ridge)]
    ys = [value for case in shown for value in (case.macs_per_s, case.peak_macs_per_s * 1.5)]
    axes = Axes([min(xs) / 2, max(xs) * 2], [min(ys) / 2, max(ys)])
    return (
        f'<svg class="roofline" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="roofline">'
        + grid(axes)
        + "".join(roofs(axes, shown))
        + "".join(point(axes, case, WORK[place % len(WORK)]) for place, case in enumerate(shown))
        + "</svg>"
    )


def grid(axes: Axes) -> str:
    """Decade lines with their labels and the names of both axes."""
    lines = ""
    for power in range(axes.x_low, axes.x_high + 1):
        x = axes.x(10.0**power)
        lines += f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        lines += f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{decade(power)}</text>'
    for power in range(axes.y_low, axes.y_high + 1):
        y = axes.y(10.0**power)
        lines += f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        lines += f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{decade(power)}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    lines += f'<text class="axis" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">MACs for each DRAM byte</text>'
    lines += f'<text class="axis" transform="translate(14 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">MACs per second</text>'
    return lines


def decade(power: int) -> str:
    """`10 G` for 10."""
    if power < 0:
        return f"{10.0**power:g}"
    number, _, unit = count(10.0**power).partition(" ")
    return f"{float(number):g} {unit}".strip()


def roofs(axes: Axes, cases: Sequence[Case]) -> list[str]:
    """One roof for each different pair of peak and bandwidth, with its figures written on it."""
    drawn: dict[tuple[float, float], list[str]] = {}
    for case in cases:
        drawn.setdefault((case.peak_macs_per_s, case.dram_bytes_per_s), []).append(case.label)
    lines = []
    for (peak, rate), labels in drawn.items():
        ridge = peak / rate
        start = max(10.0**axes.x_low, 10.0**axes.y_low / rate)
        corners = [(start, start * rate), (ridge, peak), (10.0**axes.x_high, peak)]
        places = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in corners)
        label = f"{count(peak)}MAC/s, {count(rate)}B/s: {', '.join(dict.fromkeys(labels))}"
        lines.append(f'<polyline class="roof" points="{places}"><title>{text(label)}</title></polyline>')
        lines.append(
            f'<text class="note" x="{WIDTH - RIGHT - 4}" y="{axes.y(peak) - 7:.1f}" text-anchor="end">{text(label)}</text>'
        )
    return lines


def point(axes: Axes, case: Case, colour: str) -> str:
    """A case: where it stands, and how much of its roof at that intensity it reaches."""
    roof = min(case.peak_macs_per_s, case.intensity * case.dram_bytes_per_s)
    x, y = axes.x(case.intensity), axes.y(case.macs_per_s)
    tip = (
        f"{case.label}: {count(case.macs_per_s)}MAC/s at {count(case.intensity)} MAC/B, "
        f"{percent(case.macs_per_s / roof)} of the roof there"
    )
    beside = -12 if x > WIDTH * 0.6 else 12
    anchor = "end" if beside < 0 else "start"
    # Right under the roof the text would lie on its line.
    below = y + (22 if y - axes.y(roof) < 14 else 4)
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{axes.y(roof):.1f}" stroke="{colour}" stroke-dasharray="2 3"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6.5" fill="{colour}"><title>{text(tip)}</title></circle>'
        f'<text class="point" x="{x + beside:.1f}" y="{below:.1f}" text-anchor="{anchor}">{text(case.label)} '
        f'<tspan class="muted">{percent(case.macs_per_s / roof)} of its roof</tspan></text>'
    )
