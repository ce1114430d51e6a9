"""The answer is the same for any number of workers and at every run; what is left out is bounded."""

from __future__ import annotations

import msgspec
import pytest
from small import problem

from einsim.accel.load import load_machine
from einsim.dataflow.mapper.best import best_mapping
from einsim.dataflow.mapper.search import Search
from einsim.workloads.library import build

EDGE = load_machine("flat-edge")


@pytest.mark.parametrize("seed", [3, 5, 8, 13, 21])
@pytest.mark.parametrize("objective", ["latency", "edp", "pareto"])
def test_workers_do_not_change_the_answer(seed: int, objective: str) -> None:
    space = problem(seed)
    one, two = (Search(space, objective, report=lambda *_: None, workers=n).run() for n in (1, 2))
    assert msgspec.json.encode(one) == msgspec.json.encode(two)


@pytest.mark.parametrize("nodes", [300, 30_000])
def test_workers_do_not_change_an_answer_that_is_cut_short(nodes: int) -> None:
    work = build("attention", seq=256, b=1, h=2, passes=3)
    one, two = (best_mapping(work, EDGE, "latency", nodes=nodes, workers=n) for n in (1, 2))
    assert one.mapping == two.mapping
    assert (one.nodes, one.gap, one.proven) == (two.nodes, two.gap, two.proven)
    assert not one.proven
    assert 0 <= one.gap < 1


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("objective", ["latency", "energy", "edp"])
def test_nothing_is_below_the_bound(seed: int, objective: str) -> None:
    from einsim.dataflow.mapper.bound import least
    from einsim.dataflow.mapper.found import score

    space = problem(100 + seed)
    outcome = Search(space, objective, report=lambda *_: None).run()
    bottom = least(space)
    for found in outcome.found:
        figures = {"latency": found.ticks * space.scale.tick_s, "energy": found.joules}
        figures["edp"] = figures["latency"] * figures["energy"]
        assert score(found, objective)
        assert figures[objective] >= bottom.of(objective) * (1 - 1e-9)
