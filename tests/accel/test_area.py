"""Area scales with what is built."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einsim.accel.area import component_areas, total_um2
from einsim.accel.load import load_machine


@given(st.floats(0, 1e6), st.integers(1, 10**6))
def test_twice_the_pes_twice_the_area(each_um2, pes):
    once = component_areas("u", {"mac": each_um2}, pes)["u.mac"]
    assert component_areas("u", {"mac": each_um2}, 2 * pes)["u.mac"] == pytest.approx(2 * once)


def test_parts_of_fusemax_are_the_published_ones_times_the_pes():
    area = load_machine("fusemax-cloud").area_um2
    assert area["gb"] == pytest.approx(94_176_256)
    assert area["array2d.mac"] == pytest.approx(256 * 256 * 1545)
    assert area["array1d.div"] == pytest.approx(256 * 23740.9)


def test_total_is_the_sum_and_zero_without_figures():
    machine = load_machine("fusemax-cloud")
    assert total_um2(machine) == pytest.approx(sum(machine.area_um2.values()))
    assert total_um2(load_machine("sa8295p")) == 0


def test_twice_the_rows_twice_the_array_and_nothing_else():
    once, twice = (
        load_machine("fusemax-cloud").area_um2,
        load_machine("fusemax-cloud", {"array.rows": "512"}).area_um2,
    )
    for part, area in once.items():
        assert twice[part] == pytest.approx(area * (2 if part.startswith("array2d") else 1)), part


def test_twice_the_buffer_twice_its_area():
    twice = load_machine("fusemax-cloud", {"buffer": "32MiB"}).area_um2
    assert twice["gb"] == pytest.approx(2 * 94_176_256)
