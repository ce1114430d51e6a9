"""Laws of the scoreboard and of packing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einsim.rtl_models.bench.job import Event
from einsim.rtl_models.bench.scoreboard import Scoreboard, lanes, pack

EXPECTED = [
    Event(cycle=3, lane=0, value=7, where="PE (0, 0)", operands=((1, 2), (3, 2))),
    Event(cycle=4, lane=1, value=-1),
    Event(cycle=None, lane=0, value=9),
]


def test_all_as_expected_is_silent():
    board = Scoreboard(EXPECTED)
    assert board.saw(0, 7, 3)
    assert board.saw(1, -1, 4)
    assert board.saw(0, 9, 1234)  # its cycle is not judged
    board.check()
    assert board.matched == 3


def test_the_first_difference_names_cycle_place_and_operands():
    board = Scoreboard(EXPECTED)
    assert not board.saw(0, 8, 3)
    with pytest.raises(AssertionError) as told:
        board.check()
    assert str(told.value) == (
        "3 differences, the first: cycle 3 PE (0, 0): got 8, expected 7; a = [1, 2], b = [3, 2]"
    )


def test_a_right_value_in_a_wrong_cycle_differs():
    board = Scoreboard(EXPECTED)
    assert not board.saw(1, -1, 5)
    assert board.finish()[0] == "cycle 5 lane 1: came in cycle 5, expected in cycle 4"


def test_a_missing_and_a_surplus_result_differ():
    board = Scoreboard(EXPECTED[:1])
    board.saw(2, 5, 0)
    assert board.finish() == [
        "cycle 0 lane 2: got 5, expected nothing more",
        "PE (0, 0): 1 results never came, the first 7; a = [1, 2], b = [3, 2]",
    ]


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=20))
def test_unpacking_undoes_packing(values):
    assert lanes(pack(values, 8), 8, len(values)) == values
