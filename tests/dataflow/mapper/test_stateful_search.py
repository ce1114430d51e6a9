"""Fused groups with carried state: the search finds what a brute force over the whole space finds."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stateful_small import best, problem

from einsim.dataflow.mapper.stateful.search import StatefulFound, StatefulSearch
from einsim.dataflow.mapper.stateful.space import StatefulSpace

OBJECTIVES = ("latency", "energy", "edp", "buffer")


def searched(space: StatefulSpace, objective: str, within: float = math.inf) -> StatefulFound:
    return StatefulSearch(space, objective, within=within).run()


def held_alike(seed: int, objective: str, cap: bool, most: int) -> None:
    space = problem(seed, most)
    within = math.inf
    if cap:
        point = space.sample(random.Random(seed), 50)
        if point is not None:
            within = float(space.model.figures(point).bytes_held)
    reference = best(space, objective, within)
    found = searched(space, objective, within)
    assert found.proven
    if reference is None:
        assert found.point is None
        return
    assert found.point is not None
    figures = space.model.figures(found.point)
    assert figures.fits
    assert figures.bytes_held == found.held <= within
    assert (figures.ticks, figures.joules) == (found.ticks, pytest.approx(found.joules, rel=1e-12))
    value = {
        "latency": figures.ticks, "energy": figures.joules, "edp": figures.ticks * figures.joules,
        "buffer": figures.bytes_held,
    }[objective]  # fmt: skip
    assert value == pytest.approx(reference[0], rel=1e-12)
    tie = figures.joules if objective == "latency" else figures.ticks
    assert tie == pytest.approx(reference[1], rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9), objective=st.sampled_from(OBJECTIVES), cap=st.booleans())
def test_the_optimum_is_the_brute_force_optimum(seed: int, objective: str, cap: bool) -> None:
    held_alike(seed, objective, cap, 6000)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9), objective=st.sampled_from(("latency", "energy")))
def test_nothing_is_below_the_bound_even_without_waits(seed: int, objective: str) -> None:
    space = problem(seed)
    found = searched(space, objective)
    for draw in range(8):
        point = space.sample(random.Random(seed + draw), 20)
        if point is not None and found.bound is not None:
            figures = space.model.figures(point)
            joules = figures.joules + space.model.leak_j * (figures.bound - figures.ticks)
            least = figures.bound if objective == "latency" else joules
            assert found.bound[0] <= least * (1 + 1e-9)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 10**9), objective=st.sampled_from(OBJECTIVES), cap=st.booleans())
def test_the_optimum_is_the_brute_force_optimum_of_larger_spaces(
    seed: int, objective: str, cap: bool
) -> None:
    held_alike(seed, objective, cap, 60_000)
