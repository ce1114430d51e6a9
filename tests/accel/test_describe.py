"""Descriptions hold every figure a reader looks for."""

from __future__ import annotations

import pytest

from einsim.accel.describe import long, one_line
from einsim.accel.load import load_machine, preset_names


def test_one_line_whole():
    line = "spatial-array | array2d 256x256, array1d 256 lanes | 940MHz | gb 16MiB | DRAM 429.5 GB/s"
    assert one_line(load_machine("fusemax-cloud")) == line


@pytest.mark.parametrize("name", preset_names())
def test_the_page_names_every_part_and_source(name):
    machine = load_machine(name)
    page = long(machine)
    for part in (*machine.units, *machine.memories):
        assert f"  {part.name}" in page
    for path, source in machine.sources.items():
        assert f"{path}: {source}" in page
    for path in machine.assumed:
        assert f"  {path}" in page
    assert "\n" not in one_line(machine)


def test_area_and_resources_show_where_they_are():
    assert "area 485.15 mm2" in long(load_machine("fusemax-cloud"))
    assert "6,345 DSP" in long(load_machine("u280-flightllm"))
    assert "area" not in long(load_machine("sa8295p")).splitlines()
