"""FPGA resources: blocks by geometry, totals, refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einsim.accel.parts import BRAM, RESOURCES, part_named
from einsim.accel.resources import blocks, check_fit, packed_blocks, total
from einsim.specs.errors import RuleError

URAM = part_named("u280").rams("uram")


@pytest.mark.parametrize(
    ("capacity", "width", "rams", "count"),
    [
        (1, 8, BRAM, 1),
        (4096, 8, BRAM, 1),
        (4096, 64, BRAM, 1),
        (4097, 64, BRAM, 2),
        (32768, 64, URAM, 1),
        (1, 512, URAM, 8),
        (8 * 2**20, 512, URAM, 256),
    ],
)
def test_blocks_by_hand(capacity, width, rams, count):
    assert blocks(capacity, width, rams) == count


@given(st.integers(1, 2**26), st.integers(1, 8192), st.sampled_from([BRAM, URAM]))
def test_blocks_hold_the_buffer_and_reach_its_width(capacity, width, rams):
    count = blocks(capacity, width, rams)
    shapes = [shape for ram in rams if ram.per_block == 1 for shape in ram.shapes]
    bits = max(depth * each for depth, each in shapes)
    assert count * bits >= 8 * capacity
    assert count * max(each for _, each in shapes) >= width
    assert blocks(capacity + 1, width, rams) >= count


@pytest.mark.parametrize(
    ("depth", "width", "rams", "count"),
    [
        (512, 72, BRAM, 1),
        (512, 36, BRAM, 1),  # one half
        (1514, 40, BRAM, 2),  # three rows of 512 x 45 bits are 135 bits: two blocks of 72
        (5000, 100, URAM, 3),  # two rows of 4096 x 104 bits are 208 bits: three blocks of 72
        (131072, 64, URAM, 29),  # 32 rows of 64 bits
    ],
)
def test_packed_blocks_by_hand(depth, width, rams, count):
    assert packed_blocks(depth, width, rams) == count


@given(st.integers(1, 2**17), st.integers(1, 512), st.sampled_from([BRAM, URAM]))
def test_packed_blocks_hold_the_memory_and_are_no_more_than_unpacked_ones(depth, width, rams):
    count = packed_blocks(depth, width, rams)
    assert count * max(deep * wide for ram in rams for deep, wide in ram.shapes) >= depth * width
    assert count >= 1


def test_totals_name_every_resource():
    assert total([{"dsp": 2}, {"dsp": 3, "lut": 1}], 4) == {
        "dsp": 20,
        "bram36": 0,
        "uram": 0,
        "lut": 4,
        "ff": 0,
    }


def test_a_design_at_the_limit_fits_and_one_more_does_not():
    part = part_named("u280")
    check_fit(part.resources, part)
    for key, label in RESOURCES.items():
        over = {**part.resources, key: part.resources[key] + 1}
        with pytest.raises(RuleError) as caught:
            check_fit(over, part)
        assert f"needs {over[key]:,} {label}, u280 has {part.resources[key]:,}" in str(caught.value)


def test_every_shortage_is_told():
    with pytest.raises(RuleError) as caught:
        check_fit({**part_named("u280").resources, "dsp": 9200, "uram": 961}, part_named("u280"))
    assert str(caught.value) == (
        "part: the design does not fit: needs 9,200 DSP, u280 has 9,024 and needs 961 URAM, u280 has 960"
    )
