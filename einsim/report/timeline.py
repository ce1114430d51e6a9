"""The waterfall: what each engine did in the first tiles and in the last ones, on a common clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from einsim.dataflow.result import Result, Slice
from einsim.report.markup import legend, text

WIDTH = 1080
LANE, GAP, LEFT, RIGHT, TOP, BOTTOM = 26, 7, 118, 16, 22, 8

# Slices of one lane that fit side by side and still show their shape.
LEGIBLE = 44
# Slices that an end of the run shows at least, where it has them.
ENOUGH = 24
# Pixels between two stretches.
CUT = 26


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Slices with no pause common to all engines between them."""

    slices: tuple[Slice, ...]

    @property
    def start(self) -> float:
        """The first cycle."""
        return min(each.start_cycle for each in self.slices)

    @property
    def end(self) -> float:
        """The last cycle."""
        return max(each.end_cycle for each in self.slices)


def stretches(slices: Sequence[Slice]) -> list[Stretch]:
    """The slices in order of time, cut where no engine works: there the simulation jumped, or a pause is real."""
    groups: list[list[Slice]] = []
    reach = float("-inf")
    for each in sorted(slices, key=lambda each: (each.start_cycle, each.end_cycle)):
        if not groups or each.start_cycle > reach:
            groups.append([])
        groups[-1].append(each)
        reach = max(reach, each.end_cycle)
    return [Stretch(slices=tuple(group)) for group in groups]


def shown(slices: Sequence[Slice]) -> list[Stretch]:
    """The stretches that are drawn: the beginning and the end of the run, each as much as stays legible."""
    found = stretches(slices)
    head: list[Stretch] = []
    while found and sum(len(each.slices) for each in head) < ENOUGH:
        head.append(legible(found.pop(0), from_end=False))
    tail: list[Stretch] = []
    while found and sum(len(each.slices) for each in tail) < ENOUGH:
        tail.insert(0, legible(found.pop(), from_end=True))
    return [*head, *tail]


def legible(stretch: Stretch, *, from_end: bool) -> Stretch:
    """The first or the last part of a stretch, short enough that its busiest lane can be read."""
    lanes: dict[str, list[Slice]] = {}
    for each in stretch.slices:
        lanes.setdefault(each.engine, []).append(each)
    crowded = [lane for lane in lanes.values() if len(lane) > LEGIBLE]
    if not crowded:
        return stretch
    if from_end:
        start = max(lane[-LEGIBLE].start_cycle for lane in crowded)
        return Stretch(slices=tuple(each for each in stretch.slices if each.start_cycle >= start))
    end = min(lane[LEGIBLE - 1].end_cycle for lane in crowded)
    return Stretch(slices=tuple(each for each in stretch.slices if each.end_cycle <= end))


def timeline(result: Result, colours: Mapping[str, str]) -> str:
    """An SVG with one lane for each engine; "" for a result without a timeline. `colours` are by slice name."""
    drawn = shown(result.timeline)
    if not drawn:
        return ""
    used = [each for stretch in drawn for each in stretch.slices]
    lanes = list(
        dict.fromkeys(
            each.engine for each in sorted(used, key=lambda each: each.engine not in result.utilization)
        )
    )
    height = TOP + len(lanes) * (LANE + GAP) + BOTTOM
    cycles = max(1.0, sum(stretch.end - stretch.start for stretch in drawn))
    scale = (WIDTH - LEFT - RIGHT - CUT * (len(drawn) - 1)) / cycles
    body, x = "", float(LEFT)
    for stretch in drawn:
        body += ruler(stretch, x, scale, height)
        for each in stretch.slices:
            body += piece(
                each, colours[each.name], x + (each.start_cycle - stretch.start) * scale, scale, lanes
            )
        x += (stretch.end - stretch.start) * scale + CUT
    names = "".join(
        f'<text class="lane" x="{LEFT - 10}" y="{TOP + place * (LANE + GAP) + LANE / 2 + 4}" text-anchor="end">{text(lane)}</text>'
        for place, lane in enumerate(lanes)
    )
    picture = f'<svg class="timeline" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="timeline">{names}{body}</svg>'
    return picture + legend({each.name: colours[each.name] for each in used})


def ruler(stretch: Stretch, x: float, scale: float, height: int) -> str:
    """The frame of one stretch with the cycles at which it starts and ends, where there is room for them."""
    width = (stretch.end - stretch.start) * scale
    frame = f'<rect class="stretch" x="{x:.2f}" y="{TOP - 4}" width="{width:.2f}" height="{height - TOP}"/>'
    starts = f'<text class="tick" x="{x:.2f}" y="{TOP - 10}">{stretch.start:,.0f}</text>'
    ends = f'<text class="tick" x="{x + width:.2f}" y="{TOP - 10}" text-anchor="end">{stretch.end:,.0f} cycles</text>'
    return frame + (starts if width > 60 else "") + (ends if width > 190 else "")


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
