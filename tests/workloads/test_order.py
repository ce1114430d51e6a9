"""Dependencies: what only trails, what must step together, and what goes in a circle."""

from __future__ import annotations

from einsim.workloads.library import build
from einsim.workloads.notation import parse
from einsim.workloads.order import components, cycle, lags, trails


def test_reading_a_state_of_an_earlier_step_only_trails():
    cascade = build("attention", passes=1)
    state = cascade.einsum("RM")
    before, now = cascade.einsum("PRM").reads
    assert lags(before, state) == {"m1": 1}
    assert lags(now, state) == {"m1": 0}
    assert trails(before, state)
    assert not trails(now, state)
    last = cascade.einsum("AV").reads[0]
    assert not trails(last, cascade.einsum("RNV"))


def test_recurrences_step_together_and_all_else_alone():
    cascade = build("attention", passes=1)
    groups = [{einsum.name for einsum in group} for group in components(cascade.einsums)]
    assert {"RD", "SPD"} in groups
    assert {"RNV", "SPNV"} in groups
    assert sum(len(group) for group in groups) == len(cascade.einsums)
    assert sorted(map(len, groups), reverse=True)[:3] == [2, 2, 1]


def test_a_cycle_is_found_and_a_recurrence_is_none():
    einsums = parse("rank m = 3\nA[m] = exp(X[m])\nB[m] = A[m] * 2").einsums
    assert cycle(einsums) == ()
    looped = parse("rank m = 3\ninitial S = 0\nT[m] = S[m] * 2\nS[m+1] = T[m] + X[m]").einsums
    assert cycle(looped) == ()
