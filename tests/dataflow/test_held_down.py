"""LaunchCost and power cap: what starting takes comes on top, and a run is held down until its power meets the cap."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.accel.launch import LaunchCost
from einsim.accel.load import load_machine
from einsim.accel.power import Power
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.best import best_mapping
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.specs.errors import SpecError
from einsim.workload import find_workload

LEVELS = (analyse, simulate)
FULL = msgspec.structs.replace(load_machine("fusemax-cloud"), leakage_w=20.0)


def run(machine, level, seq=1024, dram=None):
    cascade = find_workload("attention").build({"b": "1", "h": "4", "seq": str(seq), "passes": "1"})
    plain = msgspec.structs.replace(machine, power=None, launch=LaunchCost())
    return level(lower(build_mapping(cascade, plain), cascade, machine), machine)


def capped(cap_w, exponent=2.0, machine=FULL):
    return msgspec.structs.replace(machine, power=Power(cap_w=cap_w, exponent=exponent))


@pytest.mark.parametrize("level", LEVELS)
def test_a_launch_comes_on_top_of_a_run_and_every_units_cycles_add_up(level):
    told = msgspec.structs.replace(FULL, launch=LaunchCost(start_s=3e-6, first_touch_s=1e-6))
    before, after = run(FULL, level), run(told, level)
    assert after.latency_s - before.latency_s == pytest.approx(4e-6, abs=2 / FULL.clock_hz)
    assert all(sum(rows.values()) == after.cycles for rows in after.breakdown_by_unit.values())
    assert after.energy_by["leakage"] == pytest.approx(20.0 * after.latency_s)


@pytest.mark.parametrize("level", LEVELS)
def test_a_cap_that_is_not_reached_changes_nothing(level):
    free = run(FULL, level)
    assert run(capped(free.power_w * 1.001), level) == free


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
def test_above_the_cap_the_mean_power_is_the_cap(level, share):
    free = run(FULL, level)
    cap = 20.0 + (free.power_w - 20.0) * share
    held = run(capped(cap), level)
    assert held.power_w == pytest.approx(cap, rel=1e-6)
    assert held.latency_s > free.latency_s
    assert held.traffic == free.traffic
    assert any("held down by the power cap" in note for note in held.notes)


def test_work_on_the_chip_alone_takes_what_the_exponent_says():
    """P = static + E s^k / (t / s): all time goes by the clock, so s is the (k + 1)-th root of what is left.

    DRAM's energy stays, and is taken as none here; its port never limits. Between two of the 64 clocks time is
    linear where it is 1 / s: at half the clock 1 / (8 * 32^2) of it at most.
    """
    memories = tuple(
        one
        if one.parent
        else msgspec.structs.replace(one, read_pj=0.0, write_pj=0.0, read_bytes_per_s=10**15)
        for one in FULL.memories
    )
    chip = msgspec.structs.replace(FULL, memories=memories)
    free = run(chip, analyse)
    for exponent in (0.0, 1.0, 2.0):
        for share in (0.3, 0.6):
            cap = 20.0 + (free.power_w - 20.0) * share
            held = run(capped(cap, exponent, chip), analyse)
            assert free.latency_s / held.latency_s == pytest.approx(share ** (1 / (exponent + 1)), rel=2e-3)


def test_what_dram_limits_is_slowed_no_more_than_its_power_asks():
    """Where all time is DRAM's a slower clock saves energy and costs nothing, as long as DRAM still limits."""
    memories = tuple(
        one if one.parent else msgspec.structs.replace(one, read_bytes_per_s=one.read_bytes_per_s // 64)
        for one in FULL.memories
    )
    chip = msgspec.structs.replace(FULL, memories=memories)
    free = run(chip, analyse)
    held = run(capped(free.power_w * 0.97, machine=chip), analyse)
    assert held.latency_s == pytest.approx(free.latency_s, rel=1e-9)
    assert held.energy_stated_j < free.energy_stated_j


@settings(max_examples=8, deadline=None)
@given(st.floats(0.05, 1.2), st.sampled_from([0.0, 1.0, 2.5]), st.sampled_from([256, 600]))
def test_the_analytical_level_stays_below_the_simulated_one_under_a_cap(share, exponent, seq):
    free = run(FULL, simulate, seq)
    chip = capped(20.0 + (free.power_w - 20.0) * share, exponent)
    bound, ran = run(chip, analyse, seq), run(chip, simulate, seq)
    assert bound.latency_s <= ran.latency_s * (1 + 1e-9)


def test_more_power_is_never_slower():
    times = [run(capped(cap), simulate, 512).latency_s for cap in (25.0, 30.0, 40.0, 60.0, 100.0, 200.0)]
    assert times == sorted(times, reverse=True)


def test_what_a_cap_cannot_count_and_who_cannot_count_it_are_refused():
    unit = FULL.units[0]
    ops = {name: msgspec.structs.replace(cost, energy_pj=None) for name, cost in unit.ops.items()}
    blind = msgspec.structs.replace(FULL, units=(msgspec.structs.replace(unit, ops=ops), *FULL.units[1:]))
    with pytest.raises(SpecError, match=r"power\.cap.*isn't stated"):
        run(capped(100.0, machine=blind), analyse)
    with pytest.raises(SpecError, match="a search doesn't know the clock"):
        best_mapping(find_workload("attention").build({}), capped(100.0))
    with pytest.raises(SpecError, match=r"power\.cap: must be above the 40 W"):
        load_machine("fusemax-cloud", {"power.cap": "30W", "leakage": "40W"})
    with pytest.raises(SpecError, match=r"power\.static: stands for leakage, which is written too"):
        load_machine("fusemax-cloud", {"power.cap": "30W", "power.static": "4W"})
