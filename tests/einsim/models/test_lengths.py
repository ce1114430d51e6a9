"""Few lengths stand for all: exact where a cost is linear, and as near as is said where it is not."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.models.lengths import MOST_LENGTHS, TOLERANCE, weigh
from einsim.workloads.models.model import Phase


def phase(*runs, together=False, kinks=()):
    return Phase(name="decode", lengths=runs, parts=lambda *_: (), tokens=1, together=together, kinks=kinks)


def summed(weighed, cost):
    return sum(steps * cost(length) for length, steps in weighed.steps.items())


RUNS = st.builds(
    lambda first, steps, by: range(first, first + steps * by, by),
    st.integers(0, 10_000), st.integers(1, 600), st.integers(1, 4),
)  # fmt: skip


@given(RUNS, st.integers(0, 50), st.integers(1, 10**6))
@settings(max_examples=24, deadline=None)
def test_a_linear_cost_is_summed_exactly_from_at_most_three_lengths(run, slope, fixed):
    looked = []

    def cost(length):
        looked.append(length)
        return slope * length + fixed

    found = weigh(phase(run), cost)
    assert sum(found.steps.values()) == len(run)
    assert summed(found, cost) == sum(slope * length + fixed for length in run)
    assert len(set(looked)) <= 3
    assert found.deviation <= 1e-12


@given(RUNS, st.integers(0, 12_000), st.integers(1, 50))
@settings(max_examples=24, deadline=None)
def test_a_window_that_fills_is_summed_exactly(run, window, slope):
    def cost(length):
        return 1000 + slope * min(length, window)

    assert summed(weigh(phase(run, kinks=(window,)), cost), cost) == sum(cost(length) for length in run)


def test_chunks_are_summed_exactly():
    kinks = tuple(at + side for at in range(0, 2000, 256) for side in (-1, 0))

    def cost(length):
        return 500 + 3 * (length % 256 + 1)

    run = range(100, 1900)
    assert summed(weigh(phase(run, kinks=kinks), cost), cost) == sum(cost(length) for length in run)


def test_a_curve_is_cut_until_it_is_near_its_lines():
    def cost(length):
        return 10**7 + length**2

    run = range(512)
    found = weigh(phase(run), cost)
    assert 3 < len(found.steps) <= MOST_LENGTHS + 2
    assert found.deviation <= TOLERANCE
    assert summed(found, cost) == pytest.approx(sum(map(cost, run)), rel=TOLERANCE)


def test_steps_that_jump_end_the_search_and_say_so():
    found = weigh(phase(range(100_000)), lambda length: 1.0 + (length * 7919 % 104729) / 104729)
    assert found.deviation > TOLERANCE
    assert len(found.steps) < 4 * MOST_LENGTHS


def test_requests_together_cost_the_mean_of_each_length():
    def cost(length):
        return 900 + 4 * length

    runs = range(100, 110), range(1000, 1010)
    found = weigh(phase(*runs, together=True), cost)
    assert sum(found.steps.values()) == 10
    assert weigh(phase(range(7, 8), range(9, 10), together=True), cost).steps == {
        7: Fraction(1, 2),
        9: Fraction(1, 2),
    }
    exact = sum(Fraction(cost(a) + cost(b), 2) for a, b in zip(*runs, strict=True))
    assert summed(found, cost) == exact


def test_prompts_are_read_one_after_the_other():
    found = weigh(phase(range(512, 513), range(2048, 2049), range(512, 513)), float)
    assert found.steps == {512: 2, 2048: 1}
