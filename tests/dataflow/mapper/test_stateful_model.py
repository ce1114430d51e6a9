"""The model of a stateful group is the analytical model, and every point is legal and runs."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stateful_small import problem

from einsim.accel.load import load_machine
from einsim.dataflow.account import static_counts
from einsim.dataflow.analytical import analyse
from einsim.dataflow.chain import chain_ticks
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.stateful.group import why_not_exact
from einsim.dataflow.mapper.stateful.point import StatefulPoint, mapping
from einsim.dataflow.mapper.stateful.space import StatefulSpace
from einsim.sim.engine import simulate
from einsim.workloads import library


def agrees(space: StatefulSpace, point: StatefulPoint) -> None:
    """The point is legal, costs what lowering it says, and runs with the traffic that it says."""
    tree = mapping(space.group, space.machine, point)
    check(tree, space.cascade, space.machine)
    program = lower(tree, space.cascade, space.machine)
    result = analyse(program, space.machine)
    figures = space.model.figures(point)
    ticks = result.latency_s * program.ticks_per_cycle * program.clock_hz
    chain = chain_ticks(program, static_counts(program))  # which the model leaves out
    assert max(figures.bound, chain) == pytest.approx(ticks, rel=1e-12)
    paced = space.model.leak_j * (figures.ticks - ticks)
    assert figures.joules - paced == pytest.approx(result.energy_stated_j, rel=1e-9)
    assert {k: v for k, v in figures.held.items() if v} == {k: v for k, v in program.buffers.items() if v}
    run = simulate(program, space.machine)
    assert run.traffic == result.traffic
    assert run.cycles >= result.cycles


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_the_model_is_the_analytical_one_on_small_machines(seed: int) -> None:
    space = problem(seed, 10**6)
    point = space.sample(random.Random(seed), 100)
    if point is not None:
        agrees(space, point)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**9), banks=st.sampled_from((2, 3)), wide=st.sampled_from((0, 16, 32)))
def test_the_model_knows_banks_and_says_that_it_does_not_know_value_bits(
    seed: int, banks: int, wide: int
) -> None:
    space = problem(seed, 10**6)
    dram, *inner = space.machine.memories
    inner = [msgspec.structs.replace(memory, banks=banks, value_bits=wide) for memory in inner]
    chip = msgspec.structs.replace(space.machine, memories=(dram, *inner))
    space = msgspec.structs.replace(space, machine=chip)
    point = space.sample(random.Random(seed), 100)
    if wide:
        assert "value_bits" in why_not_exact(space.cascade, chip)
    elif point is not None:
        agrees(space, point)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**9), layouts=st.sampled_from(("full", "any")))
def test_the_model_is_the_analytical_one_on_attention(seed: int, layouts: str) -> None:
    machine = load_machine("fusemax-cloud")
    work = library.build("attention", passes=1, seq=96, b=2, h=3, e=8, f=16, m0=32)
    space = StatefulSpace(cascade=work, machine=machine, menu="perfect", layouts=layouts)  # type: ignore[arg-type]
    point = space.sample(random.Random(seed))
    assert point is not None
    agrees(space, point)
