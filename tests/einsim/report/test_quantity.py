"""Three significant digits and a unit, and never a thousand of one unit where one of the next would do."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einsim.report.quantity import count, joules, percent, seconds, size, times


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (seconds(0.0297004), "29.7 ms"), (seconds(0.9999), "1.00 s"), (seconds(0), "0 s"), (seconds(5.36), "5.36 s"),
        (joules(30.8975), "30.9 J"), (joules(9046), "9.05 kJ"), (joules(2.5e-12), "2.50 pJ"), (joules(0), "0 J"),
        (size(1610612736), "1.50 GiB"), (size(1023), "1023 B"), (size(2**20), "1.00 MiB"), (size(0), "0 B"),
        (count(27918279), "27.9 M"), (count(7), "7.00"), (count(0), "0"),
        (percent(0.9647887), "96.5 %"), (percent(1.0), "100 %"), (percent(0), "0 %"),
        (times(7.2113), "7.21×"), (times(13.118), "13.1×"),
    ],
)  # fmt: skip
def test_figures_read_as_people_write_them(shown: str, text: str) -> None:
    assert shown == text


@given(st.floats(min_value=1e-9, max_value=1e14))
def test_a_count_is_within_half_a_percent_of_the_value(value: float) -> None:
    number, _, unit = count(value).partition(" ")
    scale = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}[unit]
    assert float(number) * scale == pytest.approx(value, rel=5.1e-3)


@given(st.floats(min_value=1e-9, max_value=1e3))
def test_no_figure_is_written_with_an_exponent(value: float) -> None:
    assert re.fullmatch(r"\d+(\.\d+)? (s|ms|µs|ns)", seconds(value))
