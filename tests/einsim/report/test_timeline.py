"""The waterfall shows every slice once, in its lane, and leaves long pauses out."""

from __future__ import annotations

import re
from collections import defaultdict

import msgspec

from dataflow.result import Result, Slice
from einsim.report.palette import work_colours
from einsim.report.timeline import timeline, windows


def at(start: float, end: float) -> Slice:
    return Slice(engine="u", name="x", start_cycle=start, end_cycle=end)


def test_a_long_pause_is_cut_out() -> None:
    assert windows([at(0, 10), at(10, 20), at(1000, 1020)]) == [(0, 20), (1000, 1020)]


def test_a_short_pause_stays() -> None:
    assert windows([at(0, 10), at(12, 20)]) == [(0, 20)]


def test_overlapping_slices_make_one_stretch() -> None:
    assert windows([at(0, 30), at(5, 10), at(29, 40)]) == [(0, 40)]


def test_every_slice_is_drawn_once_and_none_overlaps_in_its_lane(result: Result) -> None:
    picture = timeline(result, work_colours(each.name for each in result.timeline))
    drawn = re.findall(r'<rect x="([\d.]+)" y="(\d+)" width="([\d.]+)" height="\d+" rx="2"', picture)
    assert len(drawn) == len(result.timeline)
    lanes = defaultdict(list)
    for x, y, width in drawn:
        lanes[y].append((float(x), float(x) + float(width)))
    for pieces in lanes.values():
        pieces.sort()
        assert all(before[1] <= after[0] + 0.02 for before, after in zip(pieces, pieces[1:], strict=False))


def test_a_result_without_slices_has_no_picture(result: Result) -> None:
    assert timeline(msgspec.structs.replace(result, timeline=()), {}) == ""
