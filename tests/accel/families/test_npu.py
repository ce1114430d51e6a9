"""NPUs: the bits of what is multiplied set the tensor engine's rate, the precision a vector's lanes."""

from __future__ import annotations

import pytest

from einsim.accel.load import load_machine
from einsim.accel.widths import issued
from einsim.specs.errors import SpecError


def cycles(unit, op, *bits):
    return sum(unit.cost(name).cycles for name in issued(unit, op, bits))


def macs_per_s(machine, *bits):
    tensor = machine.unit("tensor")
    return tensor.pes * machine.clock_hz / cycles(tensor, "mac", *(bits or (8, 8)))


def test_each_doubling_of_an_operand_halves_the_rate():
    machine = load_machine("sa8295p")
    assert macs_per_s(machine, 8, 8) == 2 * macs_per_s(machine, 16, 8) == 4 * macs_per_s(machine, 16, 16)
    assert macs_per_s(machine, 16, 4) == macs_per_s(machine, 4, 16) == macs_per_s(machine, 16, 8)
    quick = load_machine("sa8295p", {"tensor.mac_cycles.int16": "1"})
    assert macs_per_s(quick, 16, 8) == macs_per_s(quick, 8, 8) == 2 * macs_per_s(quick, 16, 16)
    narrow = load_machine("sa8295p", {"tensor.mac_cycles.int16": "1", "tensor.bits": "[8]"})
    assert macs_per_s(narrow, 8, 8) == 2 * macs_per_s(narrow, 16, 8)


def test_a_vector_has_as_many_lanes_as_elements():
    wide, narrow = (load_machine("sa8295p", {"precision": bits}).unit("vector") for bits in ("16", "8"))
    assert narrow.pes == 2 * wide.pes == 4 * 128
    for op in ("add", "mul", "exp"):
        assert cycles(narrow, op, 16) == 2 * cycles(narrow, op, 8) == 2 * cycles(wide, op, 16)


def test_int8_peak_is_within_the_published_range():
    assert 40e12 <= 2 * macs_per_s(load_machine("sa8295p")) <= 50e12


def test_everything_of_a_core_counts_once_a_core():
    one, two = load_machine("sa8295p", {"cores": "1"}), load_machine("sa8295p")
    assert two.memory("gb").capacity_bytes == 2 * one.memory("gb").capacity_bytes == 16 * 2**20
    assert macs_per_s(two) == 2 * macs_per_s(one)
    assert two.unit("vector").pes == 2 * one.unit("vector").pes


def test_a_block_of_pixels_is_as_large_in_bytes_at_both_precisions():
    """Of 16 bits half the pixels go through, in half the cycles for 8-bit weights: half the rate, as ever."""
    short, wide = (load_machine("sa8295p-core", {"precision": bits}).unit("tensor") for bits in ("8", "16"))
    assert (short.dims["pixels"], wide.dims["pixels"]) == (64, 32)
    assert (cycles(short, "mac", 8, 8), cycles(wide, "mac", 16, 8), cycles(wide, "mac", 16, 16)) == (
        16,
        16,
        32,
    )
    assert short.pes / cycles(short, "mac", 8, 8) == 4 * wide.pes / cycles(wide, "mac", 16, 16) == 4096


def test_functions_of_short_operands_are_looked_up():
    """Of 8 bits a sigmoid takes 4 cycles whatever it is made of; of 16 bits it is computed."""
    short, wide = (load_machine("sa8295p-core", {"precision": bits}).unit("vector") for bits in ("8", "16"))
    assert cycles(short, "sigmoid", 8) == cycles(short, "exp", 8) == 4
    assert cycles(wide, "sigmoid", 16) == cycles(wide, "exp", 16) + cycles(wide, "add", 16) + cycles(
        wide, "div", 16
    )


def test_a_start_takes_longer_with_wide_activations():
    given = {"dispatch.run_cycles": "100", "wide_run_cycles": "30"}
    starts = [
        load_machine("sa8295p-core", {**given, "precision": bits}).dispatch.run_cycles for bits in ("8", "16")
    ]
    assert starts == [100, 130]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precision": "4"}, "--set precision: unknown value (got 4); known: 8, 16"),
        ({"vector.width_bits": "1000"}, "--set vector.width_bits: must be a multiple of 16 (got 1000)"),
        ({"tensor.mac_cycles.int4": "1"}, "--set tensor.mac_cycles.int4: unknown key; did you mean 'int8'?"),
        ({"tensor.ops.mac.cycles": "2"}, "--set tensor.ops.mac.cycles: is what mac_cycles says here"),
        ({"scratchpad": "0"}, "--set scratchpad: must be >= 1 bytes (got 0)"),
        ({"dram.efficiency": "2"}, "--set dram.efficiency: must be <= 1.0 (got 2)"),
        ({"dram.bandwidth": "null"}, "accel.dram: missing key 'bandwidth'"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(SpecError) as caught:
        load_machine("sa8295p", change)
    assert message in str(caught.value)
