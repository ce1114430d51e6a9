"""The search finds what a brute force over the whole space finds, every time."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import RUNS, SHIFTED, front, problem, whole

from einsim.accel.load import load_machine
from einsim.dataflow.mapper.found import score
from einsim.dataflow.mapper.nest import Inside
from einsim.dataflow.mapper.search import Search, SearchResult
from einsim.dataflow.mapper.space import MapSpace
from einsim.workloads.notation import parse

PROBLEMS = 100


def searched(space: MapSpace, objective: str, within: float = math.inf) -> SearchResult:
    return Search(space, objective, within=within, budget_s=600, report=lambda *_: None).run()


def columns(objective: str, rows: np.ndarray) -> np.ndarray:
    ticks, joules, held = rows.T
    return {"latency": ticks, "energy": joules, "edp": ticks * joules, "buffer": held}[objective]


@settings(max_examples=PROBLEMS, deadline=None)
@given(
    seed=st.integers(0, 10**9),
    objective=st.sampled_from(("latency", "energy", "edp", "buffer")),
    cap=st.booleans(),
)
def test_the_optimum_is_the_brute_force_optimum(seed: int, objective: str, cap: bool) -> None:
    held_against_brute_force(problem(seed, most=3e4), objective, cap)


def test_smaller_tiles_of_a_halo_are_not_as_good() -> None:
    held_against_brute_force(problem(1093, most=3e4, texts=SHIFTED), "energy", cap=False)


@pytest.mark.parametrize("objective", ["latency", "energy", "edp", "buffer"])
@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_with_runs_is_the_brute_force_optimum(seed: int, objective: str) -> None:
    held_against_brute_force(with_runs(seed), objective, cap=seed % 2 == 0)


def with_runs(seed: int) -> MapSpace:
    """A space in which groups of more than two are runs, the whole cascade among them."""
    while True:
        space = msgspec.structs.replace(problem(seed, most=1e4, texts=RUNS), most_fused=2)
        if len(space.einsums) in map(len, space.fusions()):
            return space
        seed += 1000


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["latency", "energy", "edp", "buffer"])
def test_the_optimum_with_runs_is_the_brute_force_optimum_on_400_problems(objective: str) -> None:
    for seed in range(100, 200):
        held_against_brute_force(with_runs(seed), objective, cap=seed % 2 == 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "objective"), [(0, "latency"), (500, "energy"), (1000, "edp"), (1500, "buffer")]
)
def test_the_optimum_is_the_brute_force_optimum_on_2000_problems(first: int, objective: str) -> None:
    for seed in range(first, first + 500):
        held_against_brute_force(problem(seed), objective, cap=seed % 2 == 0)


def held_against_brute_force(space: MapSpace, objective: str, cap: bool) -> None:
    rows = whole(space)
    within = math.inf
    if cap and len(rows):
        within = float(np.median(rows[:, 2]))
        rows = rows[rows[:, 2] <= within]
    outcome = searched(space, objective, within)
    assert outcome.proven
    if not len(rows):
        assert not outcome.found
        return
    best = score(outcome.found[0], objective)[0]
    assert best == pytest.approx(columns(objective, rows).min(), rel=1e-12)


@settings(max_examples=16, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_the_front_is_the_brute_force_front(seed: int) -> None:
    space = problem(seed, most=1e4)
    rows = whole(space)
    outcome = searched(space, "pareto")
    mine = np.array([(one.ticks, one.joules, one.held) for one in outcome.found]).reshape(-1, 3)
    assert np.allclose(front(mine), front(rows), rtol=1e-12) if len(rows) else not len(mine)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_a_restriction_never_gives_a_better_answer(seed: int) -> None:
    space = problem(seed)
    alone = MapSpace(cascade=space.cascade, machine=space.machine, most_fused=1)
    perfect = MapSpace(cascade=space.cascade, machine=space.machine, menu="perfect")
    free = searched(space, "energy").found
    for narrow in (alone, perfect):
        found = searched(narrow, "energy").found
        assert not found or free[0].joules <= found[0].joules * (1 + 1e-12)


def test_the_best_of_hundreds_of_nests_is_found_with_few_nodes() -> None:
    """Units that find each role in a memory of its own have many: of this product the search found one
    that took three times as long, since each got a node.
    """
    work = parse("Z[p,d] = A[p,s] * W[s,d]", name="ff", sizes={"p": 512, "s": 3072, "d": 768})
    space = MapSpace(cascade=work, machine=load_machine("u280-flightllm"), menu="steps")
    assert sum(1 for _ in space.nests(work.einsums[0], Inside())) > 500
    outcome = Search(space, "latency", nodes=4_000, few=True, report=lambda *_: None).run()
    peak = 3 * 32 * 128 / 4  # macs a cycle of 16 by 16 bits
    cycles = outcome.found[0].ticks * space.scale.tick_s * space.machine.clock_hz
    assert outcome.proven
    assert cycles == pytest.approx(512 * 3072 * 768 / peak)


def test_without_time_it_says_so_and_gives_what_it_has() -> None:
    space = problem(3)
    outcome = Search(space, "latency", within=math.inf, budget_s=-1, report=lambda *_: None).run()
    assert not outcome.proven


def test_ctrl_c_gives_the_best_so_far() -> None:
    seed = next(seed for seed in range(100) if len(problem(seed).cascade.einsums) > 1)
    calls = []

    def report(done: int, groups: int, best: object) -> None:
        calls.append(best)
        if best is not None:
            raise KeyboardInterrupt

    outcome = Search(problem(seed), "latency", within=math.inf, budget_s=600, report=report).run()
    assert not outcome.proven
    assert outcome.found[0] == calls[-1]


@pytest.mark.parametrize("seed", range(6))
def test_two_runs_give_the_same_mappings(seed: int) -> None:
    space = problem(seed)
    assert searched(space, "pareto") == searched(space, "pareto")
