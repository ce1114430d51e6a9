"""Laws of back-pressure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from einsim.rtl_models.bench.pressure import Pressure, clocks


def test_without_waits_clocks_are_cycles():
    assert clocks(9, {"a": [True] * 9}, [False] * 9, {}, [1]) == 9


def test_waits_of_one_stream_add_up_and_those_of_two_overlap():
    need = [True] * 3
    assert clocks(3, {"a": need}, [False] * 3, {"a": [2, 0, 1]}, [1]) == 6
    assert clocks(3, {"a": need, "b": need}, [False] * 3, {"a": [2, 0, 1], "b": [1, 0, 1]}, [1]) == 6


def test_a_wait_passes_while_no_word_is_needed():
    assert clocks(4, {"a": [False, False, False, True]}, [False] * 4, {"a": [3]}, [1]) == 4


def test_a_result_waits_for_ready():
    assert clocks(3, {}, [False, True, False], {}, [1, 0, 0, 1]) == 5


@given(st.floats(0, 0.9), st.integers(0, 9))
def test_more_waits_are_never_faster(share, seed):
    pressure = Pressure(source=share, sink=share, seed=seed)
    need = [True] * 20
    found = clocks(20, {"a": need}, need, {"a": pressure.gaps(20, 0)}, pressure.ready())
    assert found >= 20
