"""The answer is the same for any number of workers and at every run; what is left out is bounded."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import msgspec
import pytest
from small import machine as small_machine
from small import problem

from einsim.accel.load import load_machine
from einsim.dataflow.mapper.best import _searchable, best_mapping
from einsim.dataflow.mapper.bound import counted_share, least
from einsim.dataflow.mapper.found import score
from einsim.dataflow.mapper.judged import judged
from einsim.dataflow.mapper.objective import Objective
from einsim.dataflow.mapper.point import mapping
from einsim.dataflow.mapper.search import ENDLESS, Search
from einsim.dataflow.mapper.space import MapSpace
from einsim.workloads.library import build
from einsim.workloads.notation import parse

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


def test_the_answer_is_the_same_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = build("softmax", p=256, d=64)
    without = best_mapping(work, EDGE, "energy")
    monkeypatch.setenv("EINSIM_CACHE_DIR", str(tmp_path))
    cold, warm = best_mapping(work, EDGE, "energy"), best_mapping(work, EDGE, "energy", workers=2)
    assert (tmp_path / "answers.sqlite").stat().st_size > 0
    for one in (cold, warm):
        assert msgspec.structs.replace(one, seconds=without.seconds) == without
    monkeypatch.setattr(Search, "run", lambda *_: pytest.fail("searched again"))
    assert best_mapping(work, EDGE, "energy").mapping == without.mapping
    with pytest.raises(pytest.fail.Exception):
        best_mapping(work, EDGE, "energy", nodes=100)


SMALL = {"seq": 128, "b": 1, "h": 2, "e": 16, "passes": 3}


@pytest.mark.parametrize(
    ("name", "sizes", "accel", "objective", "templates"),
    [
        ("attention", SMALL, "flat-edge", "latency", True),
        ("attention", SMALL, "flat-edge", "energy", False),
        ("ffn", {"b": 1, "p": 48, "d": 64, "s": 96}, "sa8295p", "edp", True),
        pytest.param("attention", {**SMALL, "passes": 1}, "tpu-v4i", "latency", True, marks=pytest.mark.slow),
        pytest.param("linear-training", {}, "fusemax-cloud", "energy", True, marks=pytest.mark.slow),
    ],
)
def test_more_effort_is_never_worse(
    name: str, sizes: dict[str, int], accel: str, objective: Objective, templates: bool
) -> None:
    """An effort starts from all that the one below found; a quick one works out no bound."""
    work, machine = build(name, **sizes), load_machine(accel)
    quick, normal = (
        best_mapping(work, machine, objective, effort=effort, templates=templates)
        for effort in ("quick", "normal")
    )
    trees = {msgspec.msgpack.encode(one.tree) for one, _ in normal.finalists}
    assert {msgspec.msgpack.encode(one.tree) for one, _ in quick.finalists} <= trees
    one, other = (
        {"latency": each.latency_s, "energy": each.energy_stated_j, "edp": each.latency_s * (each.energy_stated_j or 0)}
        for each in (quick.result, normal.result)
    )  # fmt: skip
    assert (other[objective] or 0) <= (one[objective] or 0) * (1 + 1e-9)
    assert quick.gap is None
    assert not quick.proven
    assert normal.gap is not None


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("objective", ["latency", "energy", "edp"])
def test_nothing_is_below_the_bound(seed: int, objective: str) -> None:
    space = problem(100 + seed)
    outcome = Search(space, objective, report=lambda *_: None).run()
    bottom = least(space)
    for found in outcome.found:
        figures = {"latency": found.ticks * space.scale.tick_s, "energy": found.joules}
        figures["edp"] = figures["latency"] * figures["energy"]
        assert score(found, objective)
        assert figures[objective] >= bottom.of(objective) * (1 - 1e-9)
        unit = space.scale.tick_s if objective == "latency" else 1
        assert figures[objective] >= outcome.floor * unit * (1 - 1e-9)
        assert outcome.floor > 0 if objective == "energy" else outcome.floor >= 0


@pytest.mark.parametrize("objective", ["latency", "energy"])
def test_nothing_is_below_the_floor_of_a_search_that_was_cut_short(
    objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the floor of one that covered its groups is what it found."""
    monkeypatch.setattr("einsim.dataflow.mapper.search.LEAST_NODES", 1)
    monkeypatch.setattr("einsim.dataflow.mapper.search.FEW_SETS", 1)
    monkeypatch.setattr("einsim.dataflow.mapper.fronts.FEW_LOOPS", 0)
    short = 0
    for seed in range(200, 216):
        space = problem(seed, largest=3)
        whole = Search(space, objective, report=lambda *_: None).run()
        if not whole.found:
            continue
        best = score(whole.found[0], objective)[0]
        assert whole.floor == pytest.approx(best, rel=1e-9)
        for nodes, few in itertools.product((1, 100, ENDLESS), (False, True)):
            cut = Search(space, objective, report=lambda *_: None, nodes=nodes, few=few).run()
            short += not cut.proven
            assert cut.floor <= best * (1 + 1e-9)
            assert not cut.proven or score(cut.found[0], objective)[0] == pytest.approx(best, rel=1e-9)
    assert short


MASKED = "C[p,m] = A[p,k] * B[m,k]\nD[p,m] = exp(C[p,m] - G[p])\nwhere m <= p\n"
SHIFTED = "Z[p,f] = sum[r](X[2*p+r] * W[r,f])"
DOCUMENTS = "C[p,m] = A[p,k] * B[m,k]\nD[p,m] = exp(C[p,m] - G[p])\nwhere same[2](m, p)\nwhere m <= p\n"
OVERLAPPED = "Z[p,f] = sum[r](X[p+r] * W[r,f])"


@pytest.mark.parametrize("text", [MASKED, DOCUMENTS, SHIFTED, OVERLAPPED])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_below_the_floor_where_the_search_leaves_masks_out(text: str, seed: int) -> None:
    rng = random.Random(seed)
    sizes = {rank: rng.randint(3, 6) for rank in "pmkfr"}
    sizes["m"] = sizes["p"]
    work = parse(text, name="work", sizes={rank: size for rank, size in sizes.items() if rank in text})
    chip = small_machine(rng, 2, systolic=True)
    space = MapSpace(cascade=work, machine=chip, menu="all", buffers=1)
    relaxed, _ = _searchable(space)
    assert relaxed is not None
    share = counted_share(space)
    floors = [
        Search(relaxed, objective, report=lambda *_: None, left=share, nodes=1).run().floor
        for objective in ("latency", "energy")
    ]
    looked = 0
    for draw in range(10):
        point = relaxed.sample(random.Random(draw), 20)
        pair = None if point is None else judged(mapping(work, chip, point), work, chip)
        if pair is not None:
            looked += 1
            figures = pair[1].latency_s, pair[1].energy_stated_j
            assert figures[0] >= floors[0] * relaxed.scale.tick_s * (1 - 1e-9)
            assert figures[1] >= floors[1] * (1 - 1e-9)
    assert min(floors) > 0
    assert looked
