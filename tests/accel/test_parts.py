"""FPGA parts: every table row is complete and consistent."""

from __future__ import annotations

import msgspec
import pytest

from einsim.accel.parts import RESOURCES, part_named, part_names


@pytest.mark.parametrize("name", part_names())
def test_rows_are_complete(name):
    part = part_named(name)
    assert list(part.resources) == list(RESOURCES)
    assert all(amount > 0 for key, amount in part.resources.items() if key != "uram")
    assert bool(part.resources["uram"]) == bool(part.uram)
    assert part.source
    assert (
        part.resources["ff"] == 2 * part.resources["lut"]
    )  # two flip-flops beside every LUT in both families
    assert all(depth * width == 294_912 for ram in part.rams("uram") for depth, width in ram.shapes)
    for ram in part.rams("bram"):  # below 9 bits the parity bits of a byte are not used
        bits = {depth * width for depth, width in ram.shapes}
        assert bits == {36_864 // ram.per_block, 32_768 // ram.per_block}


def test_the_board_and_its_chip_are_one_part():
    assert msgspec.structs.replace(part_named("vcu1525"), name="xcvu9p") == part_named("xcvu9p")
