"""Laws of the top-N sorter: the N largest of each group, earlier first among equals, M cycles a group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.sim.arrays.sorter import SorterSpec, prune, sort, sorter_cycles
from einsim.specs.errors import RuleError

ratios = st.integers(1, 16).flatmap(lambda m: st.tuples(st.integers(1, m), st.just(m)))


@settings(deadline=None)  # the first call compiles
@given(nm=ratios, lanes=st.integers(1, 9), count=st.integers(1, 30), seed=st.integers(0, 999))
def test_it_keeps_the_n_largest_magnitudes_in_order_of_place(nm, lanes, count, seed):
    n, m = nm
    groups = np.random.default_rng(seed).integers(-4, 5, (count, m))  # few values: many ties
    result = sort(SorterSpec(lanes=lanes, nm=nm), groups)
    for group, values, index in zip(groups.tolist(), result.values, result.index, strict=True):
        best = sorted(sorted(range(m), key=lambda i: (-abs(group[i]), i))[:n])
        assert index.tolist() == best
        assert values.tolist() == [group[i] for i in best]
    assert result.cycles == sorter_cycles(SorterSpec(lanes=lanes, nm=nm), count) == len(result.inserts)
    assert result.inserts.sum() >= count * n


@settings(deadline=None)  # the first call compiles
@given(lanes=st.integers(1, 40), rounds=st.integers(1, 6), nm=ratios)
def test_a_round_of_groups_takes_m_cycles(lanes, rounds, nm):
    spec = SorterSpec(lanes=lanes, nm=nm)
    assert sorter_cycles(spec, rounds * lanes) == rounds * nm[1]
    assert sorter_cycles(spec, rounds * lanes - lanes + 1) == rounds * nm[1]


@settings(deadline=None)  # the first call compiles
@given(nm=ratios, depth=st.integers(1, 40), seed=st.integers(0, 99))
def test_pruning_keeps_n_of_m_and_the_most_magnitude(nm, depth, seed):
    n, m = nm
    b = np.random.default_rng(seed).integers(-9, 9, (depth, 3))
    pruned = prune(b, nm)
    assert ((pruned == b) | (pruned == 0)).all()
    for start in range(0, depth, m):
        group, left = np.abs(b[start : start + m]), np.abs(pruned[start : start + m])
        assert ((left > 0).sum(axis=0) <= n).all()
        assert (left.sum(axis=0) == np.sort(group, axis=0)[::-1][:n].sum(axis=0)).all()


def test_wrong_shapes_are_refused():
    with pytest.raises(RuleError, match=r"groups: must be integers of shape \[groups, 4\]"):
        sort(SorterSpec(lanes=1, nm=(2, 4)), np.ones((3, 5), int))
    with pytest.raises(RuleError, match="nm: must be"):
        SorterSpec(lanes=1, nm=(0, 4))
