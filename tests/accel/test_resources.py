"""FPGA resources: blocks by geometry, totals, refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel.parts import BRAM36_SHAPES, PARTS, RESOURCES
from accel.resources import blocks, check_fit, total
from specs.errors import RuleError

URAM = PARTS["u280"].shapes("uram")


@pytest.mark.parametrize(
    ("capacity", "width", "shapes", "count"),
    [
        (1, 8, BRAM36_SHAPES, 1),
        (4096, 8, BRAM36_SHAPES, 1),
        (4096, 64, BRAM36_SHAPES, 1),
        (4097, 64, BRAM36_SHAPES, 2),
        (32768, 64, URAM, 1),
        (1, 512, URAM, 8),
        (8 * 2**20, 512, URAM, 256),
    ],
)
def test_blocks_by_hand(capacity, width, shapes, count):
    assert blocks(capacity, width, shapes) == count


@given(st.integers(1, 2**26), st.integers(1, 8192), st.sampled_from([BRAM36_SHAPES, URAM]))
def test_blocks_hold_the_buffer_and_reach_its_width(capacity, width, shapes):
    count = blocks(capacity, width, shapes)
    bits = max(depth * each for depth, each in shapes)
    assert count * bits >= 8 * capacity
    assert count * max(each for _, each in shapes) >= width
    assert blocks(capacity + 1, width, shapes) >= count


def test_totals_name_every_resource():
    assert total([{"dsp": 2}, {"dsp": 3, "lut": 1}], 4) == {
        "dsp": 20,
        "bram36": 0,
        "uram": 0,
        "lut": 4,
        "ff": 0,
    }


def test_a_design_at_the_limit_fits_and_one_more_does_not():
    part = PARTS["u280"]
    check_fit(part.resources, part)
    for key, label in RESOURCES.items():
        over = {**part.resources, key: part.resources[key] + 1}
        with pytest.raises(RuleError) as caught:
            check_fit(over, part)
        assert f"needs {over[key]:,} {label}, u280 has {part.resources[key]:,}" in str(caught.value)


def test_every_shortage_is_told():
    with pytest.raises(RuleError) as caught:
        check_fit({**PARTS["u280"].resources, "dsp": 9200, "uram": 961}, PARTS["u280"])
    assert str(caught.value) == (
        "part: the design does not fit: needs 9,200 DSP, u280 has 9,024 and needs 961 URAM, u280 has 960"
    )
