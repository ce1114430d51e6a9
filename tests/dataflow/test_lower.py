"""Lowering: traffic is what the oracle moves; ticks are exact."""

from __future__ import annotations

import random
from fractions import Fraction

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.accel.machine import OpCost
from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import check
from einsim.dataflow.lower import Clock, lower
from einsim.dataflow.mapping import Compute, Mapping, Pipeline, Sequence, chain, keep
from einsim.dataflow.mapping_text import mapping_text
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError
from einsim.validation.oracle.compare import values_of
from einsim.validation.oracle.walk import run
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse
from tests.dataflow.cases import machine, program_case
from tests.dataflow.read_text import parse_text
from tests.validation.oracle.small import machine as small

LAWS = settings(max_examples=10, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32)


@LAWS
@given(SEEDS)
def test_traffic_is_what_the_oracle_moves(seed):
    case = program_case(seed, largest=5)
    assume(case is not None)
    work, chip, mapping = case
    books = run(work, chip, mapping, values_of(work)).books
    moved = {at: books.reads[at] + books.writes[at] for at in {*books.reads, *books.writes}}
    result = analyse(lower(mapping, work, chip), chip)
    assert {(m, t): n for m, row in result.traffic.items() for t, n in row.items() if n} == moved
    for memory in chip.memories:
        for tensor, whole in result.moved_bytes[memory.name].items():
            assert whole % memory.access_bytes == 0
            assert whole >= result.traffic[memory.name][tensor]


@LAWS
@given(SEEDS)
def test_points_are_conserved(seed):
    """Without bounds, the tiles of an Einsum are its points, each once."""
    case = program_case(seed)
    assume(case is not None and not case[0].bounds)
    work, chip, mapping = case
    for name, share in analyse(lower(mapping, work, chip), chip).by_einsum.items():
        assert share.points == work.points(name)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(SEEDS)
def test_every_duration_is_a_whole_number_of_ticks(seed):
    chip = machine(random.Random(seed))
    clock = Clock(chip)
    for unit in chip.units:
        exact = Fraction(chip.clock_hz) / Fraction(unit.clock_hz or chip.clock_hz)
        assert Fraction(clock.unit_ticks[unit.name], clock.ticks_per_cycle) == exact
    for memory in chip.memories:
        if memory.read_bytes_per_s:
            name = memory.name if memory.shared_port else f"{memory.name}.read"
            exact = Fraction(chip.clock_hz) / memory.read_bytes_per_s
            assert Fraction(clock.byte_ticks[name], clock.ticks_per_cycle) == exact


def faster(chip, times):
    """The same machine with every port `times` as fast."""
    memories = tuple(
        msgspec.structs.replace(
            memory,
            read_bytes_per_s=memory.read_bytes_per_s and memory.read_bytes_per_s * times,
            write_bytes_per_s=memory.write_bytes_per_s and memory.write_bytes_per_s * times,
        )
        for memory in chip.memories
    )
    return msgspec.structs.replace(chip, memories=memories)


@LAWS
@given(SEEDS, st.integers(2, 9))
def test_more_bandwidth_is_never_slower(seed, times):
    """Exactly so in the analytical model; in the simulator the order of service may cost a little."""
    case = program_case(seed)
    assume(case is not None)
    work, chip, mapping = case
    quick = faster(chip, times)
    slow, fast = lower(mapping, work, chip), lower(mapping, work, quick)
    assert analyse(fast, quick).latency_s <= analyse(slow, chip).latency_s
    assert simulate(fast, quick).latency_s <= 1.05 * simulate(slow, chip).latency_s


@pytest.mark.parametrize("template", ["unfused", "flat"])
def test_a_bigger_buffer_is_never_more_traffic(template):
    work = load_workload("attention-3pass", {"seq": "512", "b": "1", "h": "2"})
    last = None
    for size in ("256KiB", "512KiB", "1MiB", "2MiB", "4MiB", "16MiB"):
        chip = load_machine("flat-cloud", {"buffer": size})
        try:
            mapping = build_mapping(work, chip, template)
        except EinsimError:
            assert last is None
            continue
        found = analyse(lower(mapping, work, chip), chip).dram_bytes
        assert last is None or found <= last
        last = found
    assert last is not None


def test_a_sequence_on_one_unit_takes_what_its_parts_take():
    """Ideal ports: the simulator and the analytical model agree to the tick, latencies counted."""
    text = "B[i,j] = exp(A[i,j])\nC[i,j] = B[i,j] + A[i,j]\nD[i,j] = C[i,j] * B[i,j]"
    work = parse(text, name="chain", sizes={"i": 7, "j": 5})
    for seed in range(20):
        chip = machine(random.Random(seed), ideal=True)
        memory = chip.unit("mm").reads_from
        mapping = parse_text(
            f"chain on chip (t)\nfor i/3\n  keep A B C D in {memory} x1\n    sequence\n"
            + "".join(f"      {name} on mm rows=i cols=j\n" for name in "BCD")
        )
        check(mapping, work, chip)
        program = lower(mapping, work, chip)
        assert mapping_text(mapping) == program.mapping
        assert simulate(program, chip, jump=False).cycles == analyse(program, chip).cycles


def test_widths_are_composed_the_same_way_on_the_structure_as_on_the_machine():
    """12 x 8 bits on 8-bit macs: stated, 2 cycles and 2 pJ, or two of 1 cycle and 1.5 pJ: as fast, the dearer."""
    stated = OpCost(energy_pj=1.5, by_bits={"12x8": OpCost(cycles=2, energy_pj=2.0)})
    chip = small(ops={"mac": stated}, bits=(8,))
    work = parse(
        "tensor A[m,k] bits 12\ntensor B[k,n] bits 8\nZ[m,n] = A[m,k] * B[k,n]",
        name="w",
        sizes={"m": 4, "n": 4, "k": 4},
    )
    tree = chain(
        keep("A B Z", "gb"), Compute(einsum="Z", unit="grid", spatial={"rows": ("m",), "cols": ("n",)})
    )
    mapping = Mapping(cascade="w", machine=chip.name, template="test", tree=tree)
    assert analyse(lower(mapping, work, chip), chip).energy_by["grid mac"] == pytest.approx(64 * 2.0e-12)


def test_a_sequence_is_not_remembered_as_the_pipeline_of_its_children():
    """Two cycles and one, six times: by turns they can't overlap, whichever of the two was lowered first."""
    text = "initial S = 0\nS[t+1,c] = S[t,c] * D[c] + X[t,c]\nY[t,c] = S[t,c] * G[c]"
    work, chip = parse(text, name="by turns", sizes={"t": 6, "c": 3}), small()
    leaves = (Compute(einsum="S", unit="lanes", spatial={"lanes": ("c",)}),
              Compute(einsum="Y", unit="grid", spatial={"rows": ("c",)}))  # fmt: skip
    cycles = {}
    for kind in (Pipeline, Sequence):
        tree = chain(keep("S D X G Y", "gb"), ("t", 1), kind(children=leaves))
        made = Mapping(cascade=work.name, machine=chip.name, template="hand", tree=tree)
        check(made, work, chip)
        cycles[kind] = simulate(lower(made, work, chip), chip).cycles
    assert cycles[Pipeline] < 6 * (2 + 1) <= cycles[Sequence]
