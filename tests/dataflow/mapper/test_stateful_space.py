"""The space of stateful groups: what it holds, counts, draws and refuses; FuseMax is found, not given."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stateful_small import problem

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.best import best_mapping
from einsim.dataflow.mapper.stateful.group import group_of
from einsim.dataflow.mapper.stateful.space import StatefulSpace
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError, SpecError
from einsim.workloads import library
from einsim.workloads.notation import parse

CLOUD = load_machine("fusemax-cloud")


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_points_are_distinct_and_no_more_than_counted(seed: int) -> None:
    space = problem(seed, 3000)
    points = list(itertools.islice(space.points(), 3001))
    assert 0 < len(points) <= space.count()
    assert len({repr(point) for point in points}) == len(points)


def test_without_ties_between_neighbours_every_counted_point_is_listed() -> None:
    text = "initial R = 0\nR[s+1,p] = X[s,p] + R[s,p]"
    work = parse(text, name="sum", sizes={"s": 3, "p": 4})
    space = StatefulSpace(cascade=work, machine=CLOUD, menu="perfect")
    listed = list(space.points())
    homes = [(point.assignment.nodes[0].unit, point.assignment.homes[0]) for point in listed]
    assert {unit for unit, _ in homes} == {"array1d"}  # one rank does not fill an array of two dimensions
    assert {home for _, home in homes} == {"array1d", "gb"}
    assert len(listed) == space.count()
    wide = StatefulSpace(cascade=work, machine=CLOUD, menu="perfect", layouts="any")
    assert {point.assignment.nodes[0].unit for point in wide.points()} == {"array1d", "array2d"}


def test_samples_fit_and_repeat() -> None:
    space = StatefulSpace(cascade=library.build("attention", passes=1, seq=512, b=2, h=2), machine=CLOUD)
    first, second = (space.sample(random.Random(7)) for _ in range(2))
    assert first == second
    assert first is not None
    assert space.model.figures(first).fits


def test_it_is_printed_with_its_size() -> None:
    space = StatefulSpace(cascade=library.build("attention", passes=1, seq=512, b=2, h=2), machine=CLOUD)
    text = str(space)
    assert "step by step along m1" in text
    assert "then AV" in text
    assert "state kept over the steps: RM RD RNV" in text


def test_a_restriction_holds_and_wrong_names_are_refused() -> None:
    work = library.build("attention", passes=1, seq=512, b=2, h=2)
    space = StatefulSpace(cascade=work, machine=CLOUD, unit={"LM": "array1d"})
    assert {node.unit for node in space.nodes(work.einsum("LM"))} == {"array1d"}
    with pytest.raises(SpecError, match="unknown unit"):
        StatefulSpace(cascade=work, machine=CLOUD, unit={"LM": "array3d"})
    with pytest.raises(SpecError, match="unknown name"):
        StatefulSpace(cascade=work, machine=CLOUD, unit={"LN": "array1d"})
    with pytest.raises(EinsimError, match="carries state along no rank"):
        StatefulSpace(cascade=library.build("attention", passes=3, seq=512), machine=CLOUD)


def test_what_is_no_group_says_why() -> None:
    early = "initial R = 0\nT[p] = sum[s](X[s,p])\nR[s+1,p] = X[s,p] / T[p] + R[s,p]"
    found = group_of(parse(early, name="early", sizes={"s": 3, "p": 4}))
    assert isinstance(found, str)
    late = "initial R = 0\nR[s+1,p] = X[s,p] + R[s,p]\nZ[s,p] = X[s,p] / R[S,p]"
    other = group_of(parse(late, name="late", sizes={"s": 3, "p": 4}))
    assert isinstance(other, str)


@pytest.mark.parametrize(("model", "seq"), [("bert-base", "1K"), ("t5", "4K"), ("xlm", "4K")])
def test_fusemax_is_rediscovered_without_its_template(model: str, seq: str) -> None:
    """Both utilisations within 1 % of FuseMax's own mapping, which the search is not told."""
    work = library.build("attention", model=model, seq=seq, passes=1)
    answer = best_mapping(work, CLOUD, "latency", templates=False, budget_s=60)
    assert answer.proven
    assert answer.mapping.template == "searched"
    check(answer.mapping, work, CLOUD)
    program = lower(answer.mapping, work, CLOUD)
    run = simulate(program, CLOUD)
    known = lower(build_mapping(work, CLOUD, "fusemax-interleaved"), work, CLOUD)
    fusemax, fusemax_run = analyse(known, CLOUD), simulate(known, CLOUD)
    for mine, theirs in ((answer.result, fusemax), (run, fusemax_run)):
        for unit in ("array2d", "array1d"):
            assert mine.utilization[unit] == pytest.approx(theirs.utilization[unit], rel=0.01)
        assert mine.cycles <= theirs.cycles * 1.01
    assert run.traffic == answer.result.traffic
    assert answer.result.energy_stated_j <= fusemax.energy_stated_j


def test_a_single_row_of_the_array_would_be_faster_still() -> None:
    work = library.build("attention", model="t5", seq="1K", passes=1)
    full = best_mapping(work, CLOUD, "latency", templates=False, budget_s=60)
    wide = best_mapping(work, CLOUD, "latency", templates=False, budget_s=60, layouts="any")
    assert wide.proven
    assert wide.result.latency_s < full.result.latency_s


def test_bounds_are_judged_but_not_proven() -> None:
    work = library.build("attention", passes=1, seq=1024, b=1, h=1, causal=True)
    answer = best_mapping(work, CLOUD, "latency", budget_s=20)
    check(answer.mapping, work, CLOUD)
    assert not answer.proven
    assert answer.note


def test_a_front_holds_the_best_by_each_objective() -> None:
    space = problem(5)
    work, machine = space.cascade, space.machine
    front = best_mapping(work, machine, "pareto", templates=False, budget_s=60).front
    for name, figure in (("latency", "latency_s"), ("energy", "energy_stated_j")):
        best = best_mapping(work, machine, name, templates=False, budget_s=60).result  # type: ignore[arg-type]
        assert min(getattr(one, figure) for _, one in front) == pytest.approx(getattr(best, figure))


def test_a_search_that_is_cut_short_says_how_much_better_anything_could_be() -> None:
    work = library.build("attention", passes=1, seq=512, b=1, h=2)
    short = best_mapping(work, CLOUD, "energy", templates=False, nodes=100_000)
    again = best_mapping(work, CLOUD, "energy", templates=False, nodes=100_000)
    longer = best_mapping(work, CLOUD, "energy", templates=False, nodes=600_000)
    assert not short.proven
    assert short.mapping == again.mapping
    assert 0 < short.gap < 1
    assert longer.result.energy_stated_j >= short.result.energy_stated_j * (1 - short.gap) * (1 - 1e-9)
    assert longer.result.energy_stated_j <= short.result.energy_stated_j
