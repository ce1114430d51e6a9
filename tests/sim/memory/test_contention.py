"""Banks, buses and descriptors: each costs what it says, contends exactly, and leaves traffic and the jump alone."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine, OpCost, Unit
from einsim.accel.memory import Memory
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Mapping, Pipeline, chain, keep
from einsim.sim.engine import simulate
from einsim.sim.trace.record import record
from einsim.specs.errors import SpecError
from einsim.workloads.notation import parse
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
                "dma_engines": st.sampled_from([0, 1, 2, 3]),
                "bus": st.just("noc"),
                "bus_bytes_per_s": st.just(RATE),
            }
        ),
    }
)


@settings(max_examples=12)
@given(SEEDS, CHANGES)
def test_the_jump_stays_exact_traffic_the_same_and_the_bound_a_bound(seed, changes):
    work, chip, other, mapping = drawn(seed, **changes)
    program = lower(mapping, work, other)
    result = simulate(program, other)
    assert alike(result, simulate(program, other, jump=False))
    assert result.traffic == simulate(lower(mapping, work, chip), chip).traffic
    assert analyse(program, other).cycles <= result.cycles


@settings(max_examples=8)
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


@settings(max_examples=8)
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


@settings(max_examples=8)
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


def fetched(*, engines, descriptor, tiles=40):
    """Cycles of a product whose operand comes in tiles of 64 B at 1 B a cycle, next to 8 cycles of work each."""
    memories = (
        Memory(name="dram", parent=None, capacity_bytes=None, read_bytes_per_s=10**9, write_bytes_per_s=None),
        Memory(
            name="gb", parent="dram", capacity_bytes=None, read_bytes_per_s=None, write_bytes_per_s=None,
            descriptor_cycles=descriptor, dma_engines=engines,
        ),
    )  # fmt: skip
    unit = Unit(name="mm", kind="array", dims={"rows": 1, "cols": 4}, ops={"mac": OpCost()}, reads_from="gb")
    chip = Machine(name="chip", family="generic", clock_hz=1e9, memories=memories, units=(unit,))
    work = parse("Z[n] = A[n,k] * B[k]", name="gemv", sizes={"n": 4, "k": 8 * tiles})
    tree = chain(
        keep("Z", "gb"), ("k", 8), keep("A", "gb", buffers=4), keep("B", "gb"),
        Compute(einsum="Z", unit="mm", spatial={"cols": ("n",)}),
    )  # fmt: skip
    mapping = Mapping(cascade="gemv", machine="chip", template="by hand", tree=tree)
    program = lower(mapping, work, chip)
    return simulate(program, chip).cycles


def test_a_second_dma_engine_hides_one_tensors_descriptors_behind_the_others_data():
    """A tile of A is 64 B and of B 16 B, each with a descriptor of 100 cycles; the port is 80 cycles a tile."""
    held = fetched(engines=0, descriptor=100)
    one, two, four = (fetched(engines=count, descriptor=100) for count in (1, 2, 4))
    ideal = fetched(engines=0, descriptor=0)
    assert ideal == pytest.approx(40 * 80, rel=0.03)
    assert held == one == pytest.approx(40 * (80 + 200), rel=0.03)
    assert two == pytest.approx(40 * 164, rel=0.03)  # B beside A, whose own transfers follow each other
    assert four == two


def two_readers(banks, order="AYBZ"):
    """Two units that each read a tensor of their own from a memory of 8 B a cycle in all, side by side."""
    memories = (
        Memory(name="dram", parent=None, capacity_bytes=None, read_bytes_per_s=None, write_bytes_per_s=None),
        Memory(
            name="gb", parent="dram", capacity_bytes=None, read_bytes_per_s=8 * 10**9, write_bytes_per_s=None,
            banks=banks,
        ),
    )  # fmt: skip
    units = tuple(
        Unit(name=name, kind="vector", dims={"lanes": 1}, ops={"exp": OpCost()}, reads_from="gb")
        for name in ("left", "right")
    )
    chip = Machine(name="chip", family="generic", clock_hz=1e9, memories=memories, units=units)
    work = parse("Y[i] = exp(A[i])\nZ[i] = exp(B[i])", name="two", sizes={"i": 4096})
    work = msgspec.structs.replace(work, tensors=tuple(work.tensor(name) for name in order))
    leaves = (Compute(einsum="Y", unit="left"), Compute(einsum="Z", unit="right"))
    tree = chain(keep("A Y B Z", "gb"), ("i", 64), Pipeline(children=leaves))
    mapping = Mapping(cascade="two", machine="chip", template="by hand", tree=tree)
    return lower(mapping, work, chip), chip


def test_what_units_read_and_write_passes_the_banks_too():
    """Each tile of 64 points reads and writes 128 B: one port serves all; in four banks each tensor has its own."""
    program, chip = two_readers(4)
    ports = {
        (access.tensor, stream.port)
        for op in program.ops if op.kind == "compute"
        for cost in op.costs.values() for access, stream in zip(cost.accesses, cost.streams, strict=True)
    }  # fmt: skip
    assert {tensor for tensor, _ in ports} == {"A", "Y", "B", "Z"}
    assert len({port for _, port in ports}) == 4
    together, _ = two_readers(1)
    assert {s.port for op in together.ops for cost in op.costs.values() for s in cost.streams} == {"gb"}
    recorded = simulate(program, chip)
    assert {row for row in recorded.bound_by if row.startswith("gb.")} == {f"gb.{n}" for n in range(4)}


@pytest.mark.parametrize("order", ["AYBZ", "ABYZ", "ZBYA"])
def test_tensors_take_banks_as_the_mapping_comes_to_them_however_they_are_declared(order):
    """Of two banks A and B share one, Y and Z the other."""
    program, _ = two_readers(2, order)
    ports = {
        access.tensor: stream.port
        for op in program.ops if op.kind == "compute"
        for cost in op.costs.values() for access, stream in zip(cost.accesses, cost.streams, strict=True)
    }  # fmt: skip
    assert ports == {"A": "gb.0", "Y": "gb.1", "B": "gb.0", "Z": "gb.1"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"dram.dma_engines": "2"}, "stands on the memory that is filled, not on DRAM"),
        (
            {"buffer_port.bus": "noc"},
            "accel.buffer_port.bus_bandwidth: is missing beside bus: gb's bus needs both",
        ),
        (
            {"buffer_port.bus_bandwidth": "9B/s"},
            "accel.buffer_port.bus: is missing beside bus_bandwidth: gb's bus needs both",
        ),
        ({"dram.descriptor_cycles": "9"}, "stands on the memory that is filled, not on DRAM"),
        ({"dram.banks": "4", "dram.timing": "hbm2"}, "a timing has its own banks (got 4)"),
    ],
)
def test_what_makes_no_sense_is_refused(overrides, message):
    with pytest.raises(SpecError) as caught:
        load_machine("flat-cloud", overrides)
    assert str(caught.value).endswith(message)
