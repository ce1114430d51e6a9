"""NPUs: the precision sets both rates."""

from __future__ import annotations

import pytest

from einsim.accel.load import load_machine
from einsim.specs.errors import SpecError


def macs_per_s(machine):
    tensor = machine.unit("tensor")
    return tensor.pes * machine.clock_hz / tensor.cost("mac").cycles


def test_int8_is_twice_int16():
    int16, int8 = load_machine("sa8295p"), load_machine("sa8295p", {"precision": "8"})
    assert macs_per_s(int8) == 2 * macs_per_s(int16)
    assert int8.unit("vector").pes == 2 * int16.unit("vector").pes == 4 * 128


def test_int8_peak_is_within_the_published_range():
    assert 40e12 <= 2 * macs_per_s(load_machine("sa8295p", {"precision": "8"})) <= 50e12


def test_everything_of_a_core_counts_once_a_core():
    one, two = load_machine("sa8295p", {"cores": "1"}), load_machine("sa8295p")
    assert two.memory("gb").capacity_bytes == 2 * one.memory("gb").capacity_bytes == 16 * 2**20
    assert macs_per_s(two) == 2 * macs_per_s(one)
    assert two.unit("vector").pes == 2 * one.unit("vector").pes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precision": "4"}, "--set precision: unknown value (got 4); known: 8, 16"),
        ({"vector.width_bits": "1000"}, "--set vector.width_bits: must be a multiple of 16 (got 1000)"),
        ({"tensor.mac_cycles.int4": "1"}, "--set tensor.mac_cycles.int4: unknown key; did you mean 'int8'?"),
        ({"scratchpad": "0"}, "--set scratchpad: must be >= 1 bytes (got 0)"),
        ({"dram.efficiency": "2"}, "--set dram.efficiency: must be <= 1.0 (got 2)"),
        ({"dram.bandwidth": "null"}, "accel.dram: missing key 'bandwidth'"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(SpecError) as caught:
        load_machine("sa8295p", change)
    assert message in str(caught.value)
