"""Laws of the simulator on random legal mappings: data, bounds, conservation, determinism."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import CutShort, simulate
from einsim.workloads.load import load_workload
from tests.dataflow.cases import program_case
from tests.sim.replay import Replay

SEEDS = st.integers(0, 2**32)
LAWS = settings(max_examples=12, deadline=None, derandomize=True)


def lowered(seed, **options):
    case = program_case(seed, **options)
    assume(case is not None)
    work, chip, mapping = case
    return lower(mapping, work, chip), chip


@LAWS
@given(SEEDS)
def test_what_is_read_was_written_and_is_still_there(seed):
    case = program_case(seed, largest=4)
    assume(case is not None)
    assert Replay(*case).faults == []


@LAWS
@given(SEEDS)
def test_the_analytical_model_is_a_lower_bound_with_the_same_traffic(seed):
    program, chip = lowered(seed)
    bound, found = analyse(program, chip), simulate(program, chip, jump=False)
    assert bound.cycles <= found.cycles
    assert bound.traffic == found.traffic
    assert bound.dram_bytes == found.dram_bytes == sum(found.traffic["dram"].values())
    assert {name: share.points for name, share in bound.by_einsum.items()} == {
        name: share.points for name, share in found.by_einsum.items()
    }
    dynamic = {name: joules for name, joules in found.energy_by.items() if name != "leakage"}
    for name, joules in dynamic.items():
        if not chip_leaks(chip, name):
            assert bound.energy_by[name] == joules


@LAWS
@given(SEEDS, st.integers(0, 60))
def test_a_run_that_is_cut_short_says_what_it_takes_at_least(seed, tiles):
    program, chip = lowered(seed)
    found, least = simulate(program, chip), 0.0
    try:
        again = simulate(program, chip, tiles=tiles)
    except CutShort as short:
        again, least = found, short.args[0]
    assert again == found
    assert least <= found.latency_s
    assert simulate(program, chip, until_s=found.latency_s) == found


def chip_leaks(chip, name):
    return any(memory.name == name and memory.leakage_w for memory in chip.memories)


@LAWS
@given(SEEDS)
def test_busy_and_stalls_add_up_to_the_cycles(seed):
    program, chip = lowered(seed)
    found = simulate(program, chip)
    assert found.energy_stated_j == math.fsum(found.energy_by.values())
    shared = [share.energy_stated_j or 0.0 for share in found.by_einsum.values()]
    assert sum((*shared, *found.energy_beside.values())) == pytest.approx(found.energy_stated_j)
    missing = {label for share in found.by_einsum.values() for label in share.energy_not_stated}
    assert missing <= set(found.energy_not_stated)
    for engine in program.engines:
        if engine.kind == "unit":
            stalls = found.stalls_by_unit[engine.name]
            busy = found.cycles - sum(stalls.values())
            # whole cycles of a unit's own clock may end between two of the machine's
            assert 0 <= found.bound_by[engine.name] - busy <= 1
            assert min(stalls.values()) >= -1
            assert 0 <= found.utilization[engine.name] <= 1
    assert found.stalls in found.stalls_by_unit.values()


@settings(max_examples=8, deadline=None, derandomize=True)
@given(SEEDS)
def test_the_same_input_gives_the_same_output(seed):
    program, chip = lowered(seed)
    again, _ = lowered(seed)
    assert program == again
    assert simulate(program, chip) == simulate(again, chip)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(SEEDS)
def test_timelines_never_overlap_on_an_engine(seed):
    program, chip = lowered(seed, largest=4)
    found = simulate(program, chip, jump=False)
    ends = {}
    for piece in sorted(found.timeline, key=lambda piece: (piece.start_cycle, piece.end_cycle)):
        assert piece.start_cycle >= ends.get(piece.engine, 0) - 1e-9
        ends[piece.engine] = piece.end_cycle


@pytest.mark.parametrize("causal", ["false", "true"])
@pytest.mark.parametrize("template", ["fusemax-interleaved", "fusemax-stalled"])
def test_templates_replay_clean(template, causal):
    machine = load_machine("fusemax-cloud", {"array.rows": "2", "array.cols": "2", "vector.lanes": "2"})
    settings = {"passes": "1", "b": "1", "h": "2", "e": "2", "f": "2", "m": "8", "p": "8", "m0": "2"}
    cascade = load_workload("attention", {**settings, "causal": causal})
    mapping = build_mapping(cascade, machine, template)
    assert Replay(cascade, machine, mapping).faults == []


def test_flat_replays_clean():
    machine = load_machine("flat-cloud", {"array.rows": "2", "array.cols": "2", "vector.lanes": "2"})
    settings = {"passes": "3", "b": "1", "h": "2", "e": "2", "f": "2", "m": "8", "p": "8"}
    cascade = load_workload("attention", settings)
    assert Replay(cascade, machine, build_mapping(cascade, machine, "flat")).faults == []
