"""Python's collector is as it was after every call, whatever happened in it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from einsim import evaluate
from einsim.specs.collecting import YOUNG, collected_seldom


@pytest.fixture(autouse=True)
def users() -> Iterator[tuple[int, int, int]]:
    """Thresholds of a user's own."""
    before = gc.get_threshold()
    gc.set_threshold(900, 11, 12)
    yield 900, 11, 12
    gc.set_threshold(*before)


@collected_seldom
def inside(*, fails: bool = False) -> int:
    assert not fails
    return gc.get_threshold()[0]


def test_it_is_called_seldom_in_a_call_and_as_often_as_before_after_it(users: tuple[int, int, int]) -> None:
    outer = collected_seldom(inside)
    assert (inside(), outer()) == (YOUNG, YOUNG)
    with pytest.raises(AssertionError):
        inside(fails=True)
    assert gc.get_threshold() == users


def test_a_collector_that_is_off_or_called_less_often_stays_so() -> None:
    for thresholds in ((0, 11, 12), (2 * YOUNG, 11, 12)):
        gc.set_threshold(*thresholds)
        assert inside() == thresholds[0]
        assert gc.get_threshold() == thresholds


def test_what_is_set_meanwhile_stays() -> None:
    collected_seldom(lambda: gc.set_threshold(800, 9, 9))()
    assert gc.get_threshold() == (800, 9, 9)


def test_calls_of_threads_may_end_in_any_order(users: tuple[int, int, int]) -> None:
    begun, ends = threading.Event(), threading.Event()

    @collected_seldom
    def waits() -> None:
        begun.set()
        ends.wait(10)

    first = threading.Thread(target=waits)
    first.start()
    assert begun.wait(10)
    second = threading.Thread(target=collected_seldom(ends.set))
    second.start()
    second.join()
    first.join()
    assert gc.get_threshold() == users


def test_public_calls_leave_it_as_it_was(users: tuple[int, int, int]) -> None:
    evaluate("linear-training", "sa8295p", settings={"n": 8, "i": 8, "o": 8}, level="analytical")
    assert gc.get_threshold() == users
