"""Latency and transfers under way: Little's law at both levels, hidden as far as buffers reach and no further."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.accel.machine import Machine, OpCost, Unit
from einsim.accel.memory import Memory
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Mapping, chain, keep
from einsim.sim.engine import Simulation, simulate
from einsim.specs.errors import RuleError
from einsim.workloads.notation import parse

GHZ = 10**9
TILE, TILES = 64, 200  # values of 2 bytes: a tile of 128 B takes 8 cycles of 16 B


def machine(latency=0, outstanding=0, lanes=64, near_latency=0):
    memories = (
        Memory(name="dram", parent=None, capacity_bytes=None, read_bytes_per_s=16 * GHZ, write_bytes_per_s=None,
               shared_port=False, latency_cycles=latency),
        Memory(name="near", parent="dram", capacity_bytes=None, read_bytes_per_s=None, write_bytes_per_s=None,
               outstanding=outstanding, latency_cycles=near_latency),
    )  # fmt: skip
    unit = Unit(
        name="vec", kind="vector", dims={"lanes": lanes}, ops={"max": OpCost(), "add": OpCost()},
        reads_from="near",
    )  # fmt: skip
    return Machine(name="chip", family="generic", clock_hz=float(GHZ), memories=memories, units=(unit,))


def stream(chip, buffers, tiles=TILES, jump=True):
    """The sum of a vector, tile by tile: each is loaded, then added up in a cycle of the unit."""
    work = parse("S = sum[n](X[n])", name="stream", sizes={"n": TILE * tiles})
    leaf = Compute(einsum="S", unit="vec", spatial={"lanes": ("n",)})
    tree = chain(keep("S", "near", buffers=1), ("n", TILE), keep("X", "near", buffers=buffers), leaf)
    return lower(Mapping(cascade="stream", machine="chip", template="by hand", tree=tree), work, chip)


@pytest.mark.parametrize("level", [analyse, simulate])
@pytest.mark.parametrize(("latency", "outstanding"), [(100, 1), (100, 4), (100, 9), (400, 16)])
def test_what_arrives_is_what_is_under_way_over_the_latency(level, latency, outstanding):
    """A tile is under way for 8 cycles on the port and its latency: N of them bring N tiles in that time."""
    chip = machine(latency, outstanding)
    found = level(stream(chip, buffers=64), chip).cycles
    per_tile = max(8, (latency + 8) / outstanding)
    assert found == pytest.approx(TILES * per_tile, abs=2 * (latency + 40))
    assert found >= TILES * per_tile


@pytest.mark.parametrize("level", [analyse, simulate])
@pytest.mark.parametrize("buffers", [1, 2, 3, 8])
def test_buffers_hide_latency_as_far_as_they_reach(level, buffers):
    """A buffer is held from its first byte until its tile has been added: 8 + 100 + a cycle + its latency of 6."""
    chip = machine(latency=100)
    found = level(stream(chip, buffers), chip).cycles
    assert found == pytest.approx(TILES * 115 / buffers, rel=0.02)


def test_enough_under_way_hides_all_of_it():
    near = machine(latency=0)
    free = simulate(stream(near, buffers=64), near).cycles
    chip = machine(latency=100, outstanding=16)
    assert simulate(stream(chip, buffers=64), chip).cycles == free + 100


def test_latency_adds_no_busy_cycles_and_no_bytes():
    chip, near = machine(latency=100, outstanding=2), machine()
    slow, quick = simulate(stream(chip, 4), chip), simulate(stream(near, 4), near)
    assert slow.traffic == quick.traffic
    assert slow.bound_by["dram.read"] == quick.bound_by["dram.read"]
    assert all(sum(rows.values()) == slow.cycles for rows in slow.breakdown_by_unit.values())


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 300), st.integers(0, 9), st.integers(1, 9), st.sampled_from([1, 7, 64]), st.integers(1, 90),
    st.integers(0, 20),
)  # fmt: skip
def test_the_analytical_level_is_a_lower_bound_and_the_jump_is_exact(
    latency, outstanding, buffers, lanes, tiles, near_latency
):
    chip = machine(latency, outstanding, lanes, near_latency)
    program = stream(chip, buffers, tiles)
    ran = simulate(program, chip)
    step_by_step = simulate(program, chip, jump=False)
    assert (ran.cycles, ran.breakdown_by_unit) == (step_by_step.cycles, step_by_step.breakdown_by_unit)
    assert analyse(program, chip).cycles <= ran.cycles
    less = machine(latency, outstanding and outstanding + 1, lanes, near_latency)
    assert simulate(stream(less, buffers + 1, tiles), less).cycles <= ran.cycles


def test_never_more_than_the_window_are_under_way():
    chip = machine(latency=50, outstanding=3)
    run = Simulation(stream(chip, buffers=8), jump=False)
    most = 0
    publish = run._publish

    def counted(actor, op):
        nonlocal most
        publish(actor, op)
        most = max(most, sum(len(each.flying) for each in run.actors if each.op.window))

    run._publish = counted
    run.go()
    assert most == 3


def test_a_timing_has_its_own_latency():
    timed = msgspec.structs.replace(machine().dram, timing="ddr4-3200", shared_port=True)
    with pytest.raises(RuleError, match="latency_cycles: a timing has its own"):
        msgspec.structs.replace(timed, latency_cycles=5)
