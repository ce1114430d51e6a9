"""The waterfall shows every slice once, in its lane, and leaves long pauses out."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise

import msgspec

from einsim.dataflow.result import Result, Slice
from einsim.report.palette import work_colours
from einsim.report.timeline import LEGIBLE, shown, stretches, timeline


def at(start: float, end: float) -> Slice:
    return Slice(engine="u", name="x", start_cycle=start, end_cycle=end)


def test_slices_are_cut_where_no_engine_works() -> None:
    assert [(each.start, each.end) for each in stretches([at(0, 10), at(10, 20), at(25, 30)])] == [
        (0, 20),
        (25, 30),
    ]


def test_overlapping_slices_make_one_stretch() -> None:
    assert [(each.start, each.end) for each in stretches([at(29, 40), at(0, 30), at(5, 10)])] == [(0, 40)]


def test_every_slice_is_in_one_stretch() -> None:
    slices = [at(start, start + 3) for start in range(0, 1000, 7)]
    assert [each for stretch in stretches(slices) for each in stretch.slices] == slices


def test_a_long_run_shows_its_beginning_and_its_end() -> None:
    slices = [at(start, start + 10) for start in range(0, 2000, 10)]
    slices += [at(start, start + 10) for start in range(9000, 11000, 10)]
    head, tail = shown(slices)
    assert (head.start, len(head.slices)) == (0, LEGIBLE)
    assert (tail.end, len(tail.slices)) == (11000, LEGIBLE)


def test_every_slice_is_drawn_once_and_none_overlaps_in_its_lane(result: Result) -> None:
    picture = timeline(result, work_colours(each.name for each in result.timeline))
    drawn = re.findall(r'<rect x="([\d.]+)" y="(\d+)" width="([\d.]+)" height="\d+" rx="2"', picture)
    assert len(drawn) == len(result.timeline)
    lanes = defaultdict(list)
    for x, y, width in drawn:
        lanes[y].append((float(x), float(x) + float(width)))
    for pieces in lanes.values():
        pieces.sort()
        assert all(before[1] <= after[0] + 0.02 for before, after in pairwise(pieces))


def test_a_result_without_slices_has_no_picture(result: Result) -> None:
    assert timeline(msgspec.structs.replace(result, timeline=()), {}) == ""
