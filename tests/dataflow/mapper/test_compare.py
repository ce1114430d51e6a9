"""Cascades of the same function: the best comes first, and those that a bound rules out are not searched."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.best import Answer, best_mapping, better
from einsim.dataflow.mapper.bound import least_seconds
from einsim.dataflow.mapper.compare import compare
from einsim.dataflow.mapper.makespan import makespan
from einsim.dataflow.templates import build_mapping
from einsim.specs.errors import EinsimError
from einsim.workloads import library
from einsim.workloads.cascade import Cascade

CLOUD = load_machine("fusemax-cloud")


@given(seed=st.integers(0, 10**9))
def test_the_makespan_is_the_least_of_all_ways(seed: int) -> None:
    rng = random.Random(seed)
    engines = ["a", "b", "c"][: rng.randint(1, 3)]
    rows = [
        {name: rng.randint(1, 20) for name in rng.sample(engines, rng.randint(1, len(engines)))}
        for _ in range(rng.randint(1, 6))
    ]
    every = itertools.product(*(row.items() for row in rows))
    loads = ({name: sum(t for e, t in way if e == name) for name in engines} for way in every)
    assert makespan(rows) == min(max(load.values()) for load in loads)


def test_no_template_is_below_the_bound() -> None:
    for passes, name in ((1, "fusemax-interleaved"), (1, "fusemax-on-flat"), (3, "flat"), (3, "unfused")):
        work = library.build("attention", seq=1024, b=2, h=2, passes=passes)
        result = analyse(lower(build_mapping(work, CLOUD, name), work, CLOUD), CLOUD)
        assert least_seconds(work, CLOUD) <= result.latency_s


def test_one_pass_is_best_on_fusemax_and_three_are_ruled_out() -> None:
    cascades = [library.build("attention", seq=1024, b=2, h=2, passes=passes) for passes in (3, 1)]
    searched = []

    def search(cascade: Cascade) -> Answer:
        searched.append(cascade.name)
        return best_mapping(cascade, CLOUD, "latency", templates=False, budget_s=60)

    found = compare(cascades, CLOUD, search, lambda a, b: better(a, b, "latency"), by_latency=True)
    assert [one.cascade.name for one in found] == ["attention-1pass", "attention-3pass"]
    assert searched == ["attention-1pass"]
    assert found[1].answer is None
    assert found[0].answer is not None
    assert found[1].bound_s >= found[0].answer.result.latency_s


def test_a_cascade_without_a_mapping_comes_last_and_hides_no_other() -> None:
    cascades = [library.build("attention", seq=64, b=1, h=1, passes=passes) for passes in (1, 3)]

    def search(cascade: Cascade) -> Answer:
        if cascade.name == "attention-1pass":
            raise EinsimError("no mapping fits")
        return best_mapping(cascade, CLOUD, "energy", nodes=5_000)

    found = compare(cascades, CLOUD, search, lambda a, b: better(a, b, "energy"), by_latency=False)
    assert [(one.cascade.name, one.why) for one in found] == [
        ("attention-3pass", ""), ("attention-1pass", "no mapping fits"),
    ]  # fmt: skip
    with pytest.raises(EinsimError, match="no mapping fits"):
        compare(cascades[:1], CLOUD, search, lambda a, b: better(a, b, "energy"), by_latency=False)
