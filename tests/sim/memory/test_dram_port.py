"""A machine whose DRAM is timed: the same traffic, never ahead of the pipe, and the jump stays exact."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from accel.load import load_machine
from dataflow.lower import lower
from dataflow.templates import build_mapping
from sim.dram.standard import names
from sim.engine import Run, simulate
from sim.memory.dram_port import dram_ports
from sim.memory.service import dram, lead_clocks, service_clocks
from specs.errors import SpecError
from tests.dataflow.cases import program_case
from workloads.load import load_workload

SEEDS = st.integers(0, 2**32)


def timed(chip, name, rate=50_000_000_000):
    """The machine with one shared DRAM port of this rate, as a pipe and by the standard."""
    root = msgspec.structs.replace(chip.dram, read_bytes_per_s=rate, write_bytes_per_s=None, shared_port=True)
    inner = tuple(memory for memory in chip.memories if memory.parent is not None)
    pipe = msgspec.structs.replace(chip, memories=(root, *inner))
    return pipe, msgspec.structs.replace(chip, memories=(msgspec.structs.replace(root, timing=name), *inner))


def attention(**overrides):
    chip = load_machine("flat-cloud", {"array.rows": "8", "array.cols": "8", "vector.lanes": "8"} | overrides)
    values = {"passes": "3", "b": "1", "h": "4", "e": "16", "f": "16", "m": "256", "p": "256"}
    cascade = load_workload("attention", values)
    return lower(build_mapping(cascade, chip, "unfused"), cascade, chip), chip


@settings(max_examples=100)
@given(SEEDS, st.sampled_from(names()))
def test_jump_equals_the_plain_run_with_timing_on(seed, name):
    case = program_case(seed, largest=12)
    assume(case is not None)
    work, chip, mapping = case
    pipe, chip = timed(chip, name)
    program = lower(mapping, work, chip)
    plain, jumped = simulate(program, chip, jump=False), simulate(program, chip)
    assert msgspec.structs.replace(plain, timeline=()) == msgspec.structs.replace(jumped, timeline=())
    assert jumped.traffic == simulate(lower(mapping, work, pipe), pipe).traffic


@settings(max_examples=60)
@given(SEEDS, st.sampled_from(names()))
def test_no_transfer_is_faster_than_the_pipe(seed, name):
    case = program_case(seed, largest=12)
    assume(case is not None)
    work, chip, mapping = case
    _, chip = timed(chip, name)
    program = lower(mapping, work, chip)
    for port in dram_ports(program, chip).values():
        now = 0
        for op in program.ops:
            for key, cost in op.costs.items():
                for ideal in [cost.ticks] * (op.engine == port.name) + [
                    s.ticks for s in cost.streams if s.port == port.name
                ]:
                    held = port.hold(op.id, key, now, now, ideal)
                    assert held >= ideal
                    now += held + 17


def test_a_long_run_jumps_with_timing_on():
    program, chip = attention(**{"dram.bandwidth": "25GB/s", "dram.timing": "ddr4-3200"})
    run = Run(program, jump=True, ports=dram_ports(program, chip))
    run.go()
    assert run.skipped > 0.5 * run.ledger.last


@pytest.mark.parametrize("name", ["ddr4-3200", "lpddr4x-4266"])
def test_a_run_bound_by_dram_gets_what_sequential_streams_get(name):
    peak = f"{dram(name, 0).peak_bytes_per_s / 1e9}GB/s"
    program, chip = attention(**{"dram.bandwidth": peak})
    ideal = simulate(program, chip)
    program, chip = attention(**{"dram.bandwidth": peak, "dram.timing": name})
    real = simulate(program, chip)
    moved = real.dram_bytes / real.latency_s / dram(name, 0).peak_bytes_per_s
    assert ideal.cycles < real.cycles
    assert moved <= 0.97
    assert real.traffic == ideal.traffic
    assert real.stalls_by_unit["array2d"]["bandwidth"] > ideal.stalls_by_unit["array2d"]["bandwidth"]


def test_the_first_transfer_waits_for_its_row_and_one_behind_another_does_not():
    program, chip = attention(**{"dram.bandwidth": "1TB/s", "dram.timing": "hbm2e"})
    port = dram_ports(program, chip)["dram"]
    found = dram("hbm2e", 0)
    op = next(op for op in program.ops if op.kind == "load")
    key, cost = next(iter(op.costs.items()))
    access = next(access for access in cost.accesses if access.memory == "dram")
    clocks = program.clock_hz * program.ticks_per_cycle / found.clock_hz.value
    lead = lead_clocks(found, write=False) * clocks
    ((write, ticks),) = port.service[op.id, key]
    assert not write
    first = port.hold(op.id, key, 1000, 1000, cost.ticks)
    assert first == pytest.approx(lead + ticks, abs=1)
    then = 1000 + first
    assert port.hold(op.id, key, 1000, then, cost.ticks) == ticks  # asked for long ago: its row is open
    assert access.read_bytes / (ticks / program.ticks_per_cycle / program.clock_hz) <= found.peak_bytes_per_s


def test_a_change_of_direction_costs_the_turnaround():
    program, chip = attention(**{"dram.bandwidth": "1TB/s", "dram.timing": "ddr4-3200"})
    port = dram_ports(program, chip)["dram"]
    load, store = (next(op for op in program.ops if op.kind == kind) for kind in ("load", "store"))
    keys = [next(iter(op.costs)) for op in (load, store)]
    end = port.hold(load.id, keys[0], 0, 0, 0)
    ((_, ticks),) = port.service[store.id, keys[1]]
    assert port.hold(store.id, keys[1], 0, end, 0) == ticks + port.turn[True]
    end += ticks + port.turn[True]
    ((_, ticks),) = port.service[load.id, keys[0]]
    assert port.hold(load.id, keys[0], 0, end, 0) == ticks + port.turn[False]


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (
            {"dram.timing_channels": "4"},
            "--set dram.timing_channels: needs a timing, whose channels it counts (got 4)",
        ),
        (
            {"dram.bandwidth": "9GB/s", "buffer_port.bandwidth": "9GB/s", "buffer_port.timing": "hbm2"},
            "flat-cloud.yaml:2 accel.timing: only DRAM, the memory without a parent, has one (got 'hbm2')",
        ),
    ],
)
def test_a_timing_that_makes_no_sense_is_refused(settings_, message):
    with pytest.raises(SpecError) as caught:
        load_machine("flat-cloud", settings_)
    assert str(caught.value) == message


def test_service_times_are_those_of_the_tiles_own_runs():
    """A tile of a matrix that is wider than the tile takes longer than its bytes in sequence."""
    program, _ = attention(**{"dram.bandwidth": "1TB/s", "dram.timing": "hbm2e"})
    for op in program.ops:
        for cost in op.costs.values():
            for access in cost.accesses:
                assert access.run_bytes <= access.read_bytes + access.write_bytes
                assert (access.run_bytes == 0) == (access.pitch_bytes == 0)
                assert access.run_bytes <= access.pitch_bytes
    assert all(service_clocks("hbm2e", 0, shape) > 0 for shape in shapes(program))


def shapes(program):
    from sim.memory.dram_port import _shapes

    return [shape for op in program.ops for cost in op.costs.values() for shape in _shapes(cost, "dram")]
