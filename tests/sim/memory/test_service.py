"""A tile's service time: near the peak in sequence, never under the pipe, worse the more it is scattered."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.dram.standard import names, standard
from sim.memory.service import Shape, dram, lead_clocks, service_clocks, turn_clocks
from specs.errors import SpecError


def share_of_peak(name, shape, channels=0):
    found = dram(name, channels)
    seconds = float(service_clocks(name, channels, shape)) / found.clock_hz.value
    return shape.size_bytes / seconds / found.peak_bytes_per_s


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("size", [4096, 32768, 1 << 20])
def test_a_sequential_stream_reaches_90_to_97_percent_of_peak(name, write, size):
    shape = Shape(size_bytes=size, run_bytes=0, pitch_bytes=0, write=write)
    assert 0.90 <= share_of_peak(name, shape) <= 0.97


@settings(max_examples=60)
@given(st.sampled_from(names()), st.integers(1, 40), st.integers(1, 600), st.integers(0, 2000), st.booleans())
def test_no_tile_beats_the_peak_less_refresh(name, rows, run, gap, write):
    shape = Shape(size_bytes=rows * run, run_bytes=run, pitch_bytes=run + gap if rows > 1 else 0, write=write)
    clocks = standard(name).timing.clocks
    assert share_of_peak(name, shape) <= (1 - clocks.t_rfc / clocks.t_refi) * 1.01


@pytest.mark.parametrize("name", names())
def test_scattered_runs_cost_their_whole_bursts(name):
    burst = standard(name).burst_bytes
    whole = Shape(size_bytes=1 << 15, run_bytes=4 * burst, pitch_bytes=64 * burst, write=False)
    halves = Shape(size_bytes=1 << 15, run_bytes=burst // 2, pitch_bytes=64 * burst, write=False)
    sequential = Shape(size_bytes=1 << 15, run_bytes=0, pitch_bytes=0, write=False)
    assert share_of_peak(name, halves) <= 0.5
    assert share_of_peak(name, halves) < share_of_peak(name, whole) <= share_of_peak(name, sequential)


def test_refresh_takes_its_share_of_every_tile():
    shape = Shape(size_bytes=1 << 16, run_bytes=0, pitch_bytes=0, write=False)
    clocks = standard("ddr4-3200").timing.clocks
    assert share_of_peak("ddr4-3200", shape) == pytest.approx(1 - clocks.t_rfc / clocks.t_refi, rel=0.003)


def test_more_channels_are_that_much_faster():
    shape = Shape(size_bytes=1 << 20, run_bytes=0, pitch_bytes=0, write=False)
    ratio = service_clocks("hbm2e", 16, shape) / service_clocks("hbm2e", 32, shape)
    assert float(ratio) == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("name", names())
def test_lead_and_turn_are_the_standards_distances(name):
    found = standard(name)
    clocks = found.timing.clocks
    assert lead_clocks(found, write=False) == clocks.t_rcd_read + clocks.cl
    assert lead_clocks(found, write=True) == clocks.t_rcd_write + clocks.cwl
    assert turn_clocks(found, write=True) >= 0
    assert turn_clocks(found, write=False) == clocks.t_wtr_s + clocks.cl


def test_an_unknown_standard_is_refused_with_the_near_one():
    with pytest.raises(SpecError, match=r"dram: no standard of that name \(got 'hbm2f'\); did you mean"):
        dram("hbm2f", 0)
