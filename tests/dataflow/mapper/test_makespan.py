"""The makespan of Einsums that each take one of the units that can."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einsim.dataflow.mapper.makespan import makespan


@given(seed=st.integers(0, 10**9))
def test_the_makespan_is_the_least_of_all_ways(seed: int) -> None:
    """Each way takes some units for so long; those that others are never worse than change nothing."""
    rng = random.Random(seed)
    engines = ["a", "b", "c"][: rng.randint(1, 3)]
    rows = [
        [
            {name: float(rng.randint(1, 20)) for name in rng.sample(engines, rng.randint(1, len(engines)))}
            for _ in range(rng.randint(1, 3))
        ]
        for _ in range(rng.randint(1, 5))
    ]
    loads = (
        {name: sum(way.get(name, 0) for way in ways) for name in engines} for ways in itertools.product(*rows)
    )
    assert makespan(rows) == pytest.approx(min(max(load.values()) for load in loads), rel=1e-5)
