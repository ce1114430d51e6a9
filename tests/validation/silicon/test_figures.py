"""Figures of errors are those that a hand computes, and a bar fails above its limit."""

from __future__ import annotations

import pytest

from einsim.validation.silicon.bars import Bar
from einsim.validation.silicon.chip_figure import ChipFigure
from einsim.validation.silicon.figures import ROOFLINE, SOURCED, Judged, figures, judged_by, order, summary


def judged(name, value, ours, roofline=1.0, variant="", quantity="latency_s"):
    one = ChipFigure(
        machine="m", kind="networks", name=name, work=name, settings={}, variant=variant, quantity=quantity, value=value, source="s",
    )  # fmt: skip
    return Judged(measured=one, by_level={SOURCED: ours, ROOFLINE: roofline}, best=SOURCED)


ROWS = [judged("a", 1.0, 1.1), judged("b", 2.0, 1.0), judged("c", 4.0, 4.0), judged("d", 8.0, 10.0)]


def test_errors_of_four_rows():
    found = figures(ROWS, SOURCED)
    # +10 %, -50 %, 0, +25 %
    assert found.mean == pytest.approx((0.1 + 0.5 + 0 + 0.25) / 4)
    assert found.median == pytest.approx((0.1 + 0.25) / 2)
    assert found.bias == pytest.approx((0.1 - 0.5 + 0.25) / 4)
    assert found.tau == pytest.approx(4 / 6)  # of six pairs one is the wrong way round: (5 - 1) / 6
    assert figures([], SOURCED) is None


def test_an_order_is_within_a_variant():
    """A precision whose rows are all off by one factor has the order right."""
    rows = [judged("a", 1, 1, variant="int8"), judged("b", 2, 2, variant="int8"), judged("a", 9, 1, variant="fp16"),
            judged("b", 18, 2, variant="fp16")]  # fmt: skip
    assert order(rows, SOURCED) == 1.0


def test_a_bar_is_held_against_all_its_groups():
    limits = {
        "mean": 0.2,
        "median": 0.2,
        "p90": 0.9,
        "order": 0.5,
        "of_roofline": 0.5,
        "long_mean": 0.1,
        "long_s": 5.0,
    }
    found = {row.quantity: row for row in judged_by(Bar(name="bar", groups=("m networks",), **limits), ROWS)}
    assert not found["mean error"].ok
    assert found["median error"].ok
    assert found["1 - Kendall tau"].limit == 0.5
    assert found["1 - Kendall tau"].ok
    assert found["mean error above 5e+06 us"].ours == pytest.approx(0.25)
    # The roofline says 1 s of each: off by 0, 50, 75 and 87.5 %.
    assert found["mean error over the roofline's"].ours == pytest.approx((0.85 / 4) / (2.125 / 4))
    assert list(judged_by(Bar(name="bar", groups=(), **limits), [])) == []


def test_a_rate_is_long_where_its_time_is():
    assert judged("a", 4.0, 4.0, quantity="per_s").seconds == 0.25
    assert judged("a", 4.0, 4.0).seconds == 4.0


def test_sides_are_summed_apart():
    rows = list(summary([judged("resnet-18", 1, 2), judged("resnet-50", 1, 1)]))
    sides = {(row.side, row.level): row.ours for row in rows if row.quantity == "mean error"}
    assert sides == {
        ("fit", SOURCED): 1.0,
        ("held-out", SOURCED): 0.0,
        ("fit", ROOFLINE): 0.0,
        ("held-out", ROOFLINE): 0.0,
    }


def test_a_bar_of_some_quantities_is_of_the_row_that_is_furthest_off(monkeypatch):
    bars = tuple(
        Bar(name=f"{limit}", groups=("m networks",), quantities=("dsp",), most=limit) for limit in (0.0, 0.25)
    )
    monkeypatch.setattr("einsim.validation.silicon.figures.BARS", bars)
    rows = [
        judged("resnet-50", 100.0, 100.0, quantity="dsp"),
        judged("vgg-16", 100.0, 75.0, quantity="dsp"),
        judged("vgg-19", 1.0, 9.0),
    ]
    assert {row.measured.side for row in rows} == {"held-out"}
    found = {row.group: row for row in summary(rows) if row.quantity == "largest error"}
    assert [(row.ours, row.ok) for row in found.values()] == [(0.25, False), (0.25, True)]
