"""The waterfall: what each engine did in the first tiles and in the last ones, on a common clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from dataflow.result import Result, Slice
from einsim.report.markup import legend, text
from einsim.report.quantity import count

WIDTH = 1080
LANE, GAP, LEFT, RIGHT, TOP, BOTTOM = 26, 7, 118, 16, 22, 8

# A pause this many times longer than everything shown is cut out of the picture.
LONG_PAUSE = 0.5
# Slices drawn at most; more would make a page that a browser struggles with.
MOST_SLICES = 4000


def windows(slices: Sequence[Slice]) -> list[tuple[float, float]]:
    """(start, end) cycles of the stretches that are drawn: the long pauses between slices are left out."""
    ordered = sorted(slices, key=lambda each: each.start_cycle)
    ends: list[tuple[float, float]] = []
    for each in ordered:
        if ends and each.start_cycle <= ends[-1][1]:
            ends[-1] = (ends[-1][0], max(ends[-1][1], each.end_cycle))
        else:
            ends.append((each.start_cycle, each.end_cycle))
    drawn = sum(end - start for start, end in ends)
    merged = ends[:1]
    for before, after in pairwise(ends):
        if after[0] - before[1] > LONG_PAUSE * drawn:
            merged.append(after)
        else:
            merged[-1] = (merged[-1][0], after[1])
    return merged


def timeline(result: Result, colours: Mapping[str, str]) -> str:
    """An SVG with one lane for each engine; "" for a result without a timeline. `colours` are by slice name."""
    slices = result.timeline[:MOST_SLICES]
    if not slices:
        return ""
    shown = windows(slices)
    drawn = max(1.0, sum(end - start for start, end in shown))
    room = WIDTH - LEFT - RIGHT - 28 * (len(shown) - 1)
    lanes = list(dict.fromkeys(each.engine for each in slices))
    height = TOP + len(lanes) * (LANE + GAP) + BOTTOM
    body, x = "", float(LEFT)
    for start, end in shown:
        scale = room / drawn
        body += ruler(start, end, x, scale, height)
        for each in slices:
            if start <= each.start_cycle <= end and each.end_cycle <= end:
                body += piece(each, colours[each.name], x + (each.start_cycle - start) * scale, scale, lanes)
        x += (end - start) * scale + 28
    names = "".join(
        f'<text class="lane" x="{LEFT - 10}" y="{TOP + place * (LANE + GAP) + LANE / 2 + 4}" text-anchor="end">{text(lane)}</text>'
        for place, lane in enumerate(lanes)
    )
    picture = f'<svg class="timeline" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="timeline">{names}{body}</svg>'
    return picture + legend({each.name: colours[each.name] for each in slices})


def ruler(start: float, end: float, x: float, scale: float, height: int) -> str:
    """The frame of one stretch with the cycles at which it starts and ends."""
    right = x + (end - start) * scale
    return (
        f'<rect class="stretch" x="{x:.2f}" y="{TOP - 4}" width="{right - x:.2f}" height="{height - TOP}"/>'
        f'<text class="tick" x="{x:.2f}" y="{TOP - 10}">{count(start)}</text>'
        f'<text class="tick" x="{right:.2f}" y="{TOP - 10}" text-anchor="end">{count(end)} cycles</text>'
    )


def piece(each: Slice, colour: str, x: float, scale: float, lanes: list[str]) -> str:
    """One slice, with its name on it where there is room."""
    width = max((each.end_cycle - each.start_cycle) * scale, 0.6)
    y = TOP + lanes.index(each.engine) * (LANE + GAP)
    tip = f"{each.name} on {each.engine}: cycles {each.start_cycle:.0f} to {each.end_cycle:.0f}"
    drawn = (
        f'<rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{LANE}" rx="2" fill="{colour}">'
        f"<title>{text(tip)}</title></rect>"
    )
    if width > 7 * len(each.name) + 6:
        drawn += f'<text class="piece" x="{x + width / 2:.2f}" y="{y + LANE / 2 + 4}" text-anchor="middle">{text(each.name)}</text>'
    return drawn
