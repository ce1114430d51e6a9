"""The page stands alone, shows every figure, escapes what it is given, and is the same every time."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec

from einsim.accel.gpu.machine import load_gpu
from einsim.accel.machine import Machine
from einsim.report.bars import time_bars
from einsim.report.card import card
from einsim.report.case import Case, NotAtHand
from einsim.report.page import page
from einsim.report.palette import work_colours
from einsim.report.roofline import roofline

VOID = {"meta", "link", "br", "hr", "img", "input", "rect", "line", "circle", "polyline", "path"}


class Balance(HTMLParser):
    """Sees that every element is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def slower(case: Case) -> Case:
    result = msgspec.structs.replace(
        case.result, accel="slow", cycles=250, latency_s=2.5e-7, energy_by={"array2d": 5e-6}
    )
    return msgspec.structs.replace(case, result=result)


def test_the_page_needs_no_network_and_runs_no_script(case: Case) -> None:
    html = page([case])
    assert not re.search(r"(src|href)\s*=|https?:|//[a-z]+\.|@import|url\(|<script", html)


def test_every_element_is_closed(case: Case) -> None:
    balance = Balance()
    balance.feed(page([case, slower(case)]))
    assert balance.open == []


def test_what_a_file_says_is_text_and_never_markup(case: Case) -> None:
    hostile = msgspec.structs.replace(
        case.result, workload="<script>alert(1)</script>", bottleneck="<i>x</i>"
    )
    html = page([msgspec.structs.replace(case, result=hostile)])
    assert "<script" not in html
    assert "<i>x</i>" not in html
    assert "&lt;script&gt;" in html
    assert "a note with &lt;b&gt;markup&lt;/b&gt;" in html


def test_the_same_cases_give_the_same_bytes(case: Case) -> None:
    assert page([case, slower(case)]) == page([case, slower(case)])


def test_the_verdict_compares_the_fastest_to_the_others(case: Case) -> None:
    html = page([slower(case), case])
    assert "<b>fusemax-cloud</b> takes <b>100 ns</b>" in html
    assert "<b>2.50×</b> the speed of slow for <b>80.0 %</b> of its energy" in html


def test_every_figure_of_the_machine_has_its_source_or_is_called_assumed(case: Case) -> None:
    html = page([case])
    assert isinstance(case.machine, Machine)
    assert all(f"<code>{path}</code>" in html for path in (*case.machine.sources, *case.machine.assumed))
    assert html.count(">assumed<") >= len(case.machine.assumed)


def test_a_gpus_figures_have_their_sources_on_the_page(case: Case) -> None:
    gpu = load_gpu("h200-sxm")
    html = page([msgspec.structs.replace(case, machine=gpu)])
    assert all(f"<code>{path}</code>" in html for path in gpu.sources)
    assert "not at hand" not in html


def test_a_result_without_its_machine_still_makes_a_page(case: Case) -> None:
    html = page([msgspec.structs.replace(case, machine=NotAtHand())])
    assert "sources are not shown" in html
    assert 'id="roofline"' not in html


def test_work_and_waiting_fill_every_bar_of_the_time_picture(case: Case) -> None:
    drawn = time_bars([case], work_colours(case.result.by_einsum))
    for track in re.findall(r'<div class="track">(.*?)</div>', drawn):
        assert abs(sum(float(width) for width in re.findall(r"width:([\d.]+)%", track)) - 100) < 0.01


def test_the_page_says_what_every_cycle_of_every_unit_went_to(case: Case) -> None:
    shown = page([case]).split('<table class="where">')[1].split("</table>")[0]
    rows = re.findall(r"<td>([^<]+)</td><td>([\d,]+)</td>", shown)
    assert rows == [("busy", "60"), ("starved by dram", "33"), ("starved by gb", "7"), ("busy", "30"),
                    ("waiting for Q&lt;K", "70")]  # fmt: skip
    assert shown.count("<b>100</b></td><td><b>100.00 %</b>") == 2


def test_a_result_without_reasons_has_no_such_table(case: Case) -> None:
    short = msgspec.structs.replace(case.result, breakdown_by_unit={})
    assert 'class="where"' not in page([msgspec.structs.replace(case, result=short)])


def test_no_point_stands_above_its_roof(case: Case) -> None:
    picture = roofline([case, slower(case)])
    points = re.findall(
        r'y2="([\d.]+)" stroke="#[0-9a-f]+" stroke-dasharray="2 3"/><circle cx="[\d.]+" cy="([\d.]+)"',
        picture,
    )
    assert len(points) == 2
    assert all(float(roof) <= float(place) for roof, place in points)


def test_the_card_draws_bars_in_proportion_to_time(case: Case) -> None:
    picture = card("small", [case, slower(case)])
    tracks = [float(width) for width in re.findall(r'width="([\d.]+)" height="26" rx="4"', picture)]
    assert tracks[0] / tracks[-1] == 0.4
