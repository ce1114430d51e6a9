"""Banks, buses and descriptors: each costs what it says, contends exactly, and leaves traffic and the jump alone."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from accel.load import load_machine
from dataflow.analytical import analyse
from dataflow.lower import lower
from sim.engine import simulate
from sim.trace.record import record
from specs.errors import SpecError
from tests.dataflow.cases import program_case

SEEDS = st.integers(0, 2**32)
RATE = 3_000_000_000


def drawn(seed, **changes):
    """A random case as it is, and with changes to its memories."""
    case = program_case(seed, largest=10)
    assume(case is not None)
    work, chip, mapping = case
    memories = tuple(
        msgspec.structs.replace(memory, **changes.get(memory.name, {})) if memory.name in changes else memory
        for memory in chip.memories
    )
    return work, chip, msgspec.structs.replace(chip, memories=memories), mapping


def alike(one, other):
    return msgspec.structs.replace(one, timeline=()) == msgspec.structs.replace(other, timeline=())


CHANGES = st.fixed_dictionaries(
    {
        "gb": st.fixed_dictionaries(
            {
                "banks": st.sampled_from([1, 2, 3]),
                "descriptor_cycles": st.sampled_from([0, 5]),
                "bus": st.just("noc"),
                "bus_bytes_per_s": st.just(RATE),
            }
        ),
    }
)


@settings(max_examples=60)
@given(SEEDS, CHANGES)
def test_the_jump_stays_exact_traffic_the_same_and_the_bound_a_bound(seed, changes):
    work, chip, other, mapping = drawn(seed, **changes)
    program = lower(mapping, work, other)
    result = simulate(program, other)
    assert alike(result, simulate(program, other, jump=False))
    assert result.traffic == simulate(lower(mapping, work, chip), chip).traffic
    assert analyse(program, other).cycles <= result.cycles


@settings(max_examples=40)
@given(SEEDS)
def test_a_bus_carries_every_transfer_of_its_memories_one_at_a_time(seed):
    work, _, other, mapping = drawn(seed, gb={"bus": "noc", "bus_bytes_per_s": RATE})
    program = lower(mapping, work, other)
    seen = record(program, mapping, work, other)
    moved = simulate(program, other).traffic
    spans = [span for span in seen.spans if span.engine == "bus noc"]
    assert all(one.end <= two.start for one, two in itertools.pairwise(spans))
    ticks = sum(span.end - span.start for span in spans)
    assert ticks * RATE <= sum(moved["gb"].values()) * program.clock_hz * program.ticks_per_cycle
    crossing = [
        op for op in program.ops for cost in op.costs.values() for s in cost.streams if s.port == "bus noc"
    ]
    assert bool(spans) == bool(crossing)


@settings(max_examples=40)
@given(SEEDS, st.sampled_from([2, 3, 4]))
def test_a_bank_gives_its_share_of_the_rate_and_one_bank_is_no_banks(seed, banks):
    rates = {"read_bytes_per_s": 8_000_000_000, "shared_port": True, "write_bytes_per_s": None}
    work, _, one, mapping = drawn(seed, gb={**rates, "banks": 1})
    _, _, many, _ = drawn(seed, gb={**rates, "banks": banks})
    whole, parts = lower(mapping, work, one), lower(mapping, work, many)
    assert {engine.name for engine in parts.engines if engine.name.startswith("gb")} <= {
        f"gb.{n}" for n in range(banks)
    }
    for left, right in zip(whole.ops, parts.ops, strict=True):
        for key, cost in left.costs.items():
            ours = [stream.ticks for stream in right.costs[key].streams if stream.port.startswith("gb")]
            theirs = [stream.ticks for stream in cost.streams if stream.port.startswith("gb")]
            assert sum(ours) == banks * sum(theirs)


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 50))
def test_a_descriptor_costs_its_cycles_for_every_transfer(seed, cycles):
    work, chip, other, mapping = drawn(seed, gb={"descriptor_cycles": cycles})
    ideal, real = lower(mapping, work, chip), lower(mapping, work, other)
    for before, after in zip(ideal.ops, real.ops, strict=True):
        for key, cost in before.costs.items():
            grown = after.costs[key].ticks / real.ticks_per_cycle - cost.ticks / ideal.ticks_per_cycle
            fills = before.kind != "compute" and any(
                access.memory == "gb" and (access.write_bytes if before.kind == "load" else access.read_bytes)
                for access in cost.accesses
            )
            assert grown == pytest.approx(cycles if fills else 0)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"buffer_port.bus": "noc"}, "a bus has a name and a bandwidth (got 'noc')"),
        ({"dram.descriptor_cycles": "9"}, "stands on the memory that is filled, not on DRAM"),
        ({"dram.banks": "4", "dram.timing": "hbm2"}, "a timing has its own banks (got 4)"),
    ],
)
def test_what_makes_no_sense_is_refused(overrides, message):
    with pytest.raises(SpecError) as caught:
        load_machine("flat-cloud", overrides)
    assert str(caught.value).endswith(message)
