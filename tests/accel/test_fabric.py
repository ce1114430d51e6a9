"""Laws of what RTL takes of the fabric: more of anything takes no less; registers and DSPs by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einsim.accel.fabric.arrays import fusemax_array, nm_chain, systolic_os, systolic_ws
from einsim.accel.fabric.elements import Take, and_or, index_bits, lane_memory, skew
from einsim.accel.fabric.feeders import loaded_array, sorted_array, top_n_sorter
from einsim.specs.errors import RuleError

SIDE, BITS = st.integers(1, 24), st.integers(2, 17)


def no_less(more: Take, less: Take) -> bool:
    return more.lut >= less.lut and more.ff >= less.ff and more.dsp >= less.dsp


@given(SIDE, SIDE, BITS, st.sampled_from((1, 4, 8)))
def test_a_larger_array_takes_no_less(rows, cols, bits, group):
    for array in (systolic_os, systolic_ws):
        one = array(rows, cols, bits, 32, group)
        assert no_less(array(rows + 1, cols, bits, 32, group), one)
        assert no_less(array(rows, cols + 1, bits, 32, group), one)
        assert one.dsp == (rows * cols if bits >= 5 else 0)


@given(SIDE, SIDE, SIDE)
def test_a_longer_chain_takes_no_less_and_a_dsp_a_slice(rows, cols, length):
    one = nm_chain(rows, cols, length)
    assert one.dsp == rows * cols * length
    assert no_less(nm_chain(rows, cols, length + 1), one)


def test_registers_by_hand():
    """A 2 x 2 array of 8 bits: 4 elements of acc, {value, 3} and {value, index, 1}; one skewed lane each side."""
    assert systolic_os(2, 2).ff == 4 * (32 + 11 + 10) + 11 + 10 + 51
    assert top_n_sorter(4, 2, 8).ff == 4 * 2 * (8 + 3 + 1) + 16 + 1 + 4 + 4
    assert skew(4, 5).ff == (1 + 2 + 3) * 5


def test_memories_of_lanes_by_hand():
    assert lane_memory(32, 8).lut == 8  # two RAM32M of four LUTs
    assert lane_memory(64, 8).lut == 12  # three RAM64M
    assert loaded_array(1, 1, depth=16).lut < loaded_array(1, 1, depth=200).lut


def test_selectors_and_indices():
    assert [and_or(inputs) for inputs in (0, 1, 3, 4)] == [0, 1, 1, 2]
    assert [index_bits(group) for group in (1, 2, 4, 5, 8)] == [1, 1, 2, 3, 3]


def test_the_parts_of_a_whole_add_up():
    whole, sorter, array = sorted_array(3, 4, 2, 8), top_n_sorter(4, 2, 8), systolic_os(3, 4, group=8)
    assert whole.ff == sorter.ff + array.ff + 4 * 2 * 11 + 4
    assert whole.dsp == array.dsp
    assert fusemax_array(2, 3).dsp == 6 * 10


@pytest.mark.parametrize("bits", [1, 19])
def test_operands_that_were_not_counted_are_refused(bits):
    with pytest.raises(RuleError, match="must be 2 to 18"):
        systolic_os(2, 2, bits)
