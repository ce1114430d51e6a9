"""Runs: groups of more Einsums than are fused in every way."""

from __future__ import annotations

import random

import msgspec
import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.mapper.best import default_space
from einsim.dataflow.mapper.judged import judged
from einsim.dataflow.mapper.point import mapping
from einsim.dataflow.mapper.search import Search
from einsim.dataflow.mapper.space import MapSpace
from einsim.workloads.load import load_workload


def layer(preset: str, objective: str = "latency") -> MapSpace:
    """A short BERT layer."""
    work = load_workload("bert-base", {"seq": 64, "b": 1, "passes": "3"})
    return default_space(work, load_machine(preset), objective)  # type: ignore[arg-type]


def test_attention_and_a_feed_forward_layer_are_runs() -> None:
    space = layer("fusemax-cloud")
    groups = {(group[0].name, group[-1].name) for group in space.fusions() if len(group) > 5}
    assert {("QA", "AV"), ("QK", "AV"), ("ZA", "R1"), ("FF1P", "Y"), ("ZA", "Y"), ("QK", "Y")} <= groups
    for group in space.fusions():
        insides = list(space.insides(group))
        assert insides
        if len(group) > 5:
            assert all(inside.shared for inside in insides)


def test_a_run_has_loops_that_all_of_it_walks_in_one_pass() -> None:
    space = layer("tpu-v4i")
    for group in space.fusions():
        shared = {rank for inside in space.insides(group) for rank in inside.shared}
        assert all(rank in einsum.ranks for einsum in group for rank in shared)
        made = {einsum.name: einsum for einsum in group}
        for einsum in group:
            for read in einsum.reads:
                assert not (read.tensor in made and shared & set(made[read.tensor].reduced))


@pytest.mark.parametrize("preset", ["tpu-v4i", "fusemax-cloud", "u280-flightllm"])
def test_points_of_runs_cost_what_the_analytical_model_says(preset: str) -> None:
    space = msgspec.structs.replace(layer(preset), resident=())
    rng, found, tick = random.Random(7), 0, space.scale.tick_s
    runs = {tuple(e.name for e in g): g for g in space.fusions() if 5 < len(g) < 14}
    for names in sorted(runs)[::12]:
        groups = tuple(
            space._sample_group(runs[names] if name == names[0] else (space.cascade.einsum(name),), rng)
            for name in (e.name for e in space.einsums)
            if name == names[0] or name not in names
        )
        if any(group is None for group in groups):
            continue
        pair = judged(
            mapping(space.cascade, space.machine, space.point(groups)), space.cascade, space.machine
        )  # type: ignore[arg-type]
        if pair is None:
            continue
        ticks = sum(space.total(group)[0][: len(space.scale.engines)].max() for group in groups)  # type: ignore[arg-type]
        assert pair[1].latency_s == pytest.approx(ticks * tick, rel=1e-9)
        found += 1
    assert found


@pytest.mark.parametrize("objective", ["latency", "energy"])
def test_no_answer_is_below_the_floor_of_its_space(objective: str) -> None:
    space = layer("fusemax-cloud", objective)
    outcome = Search(space, objective, nodes=30_000, few=True, report=lambda *_: None).run()
    best = outcome.found[0]
    assert max(len(group.nests) for group in best.groups) > 3
    assert 0 < outcome.floor <= (best.ticks if objective == "latency" else best.joules) * (1 + 1e-12)
