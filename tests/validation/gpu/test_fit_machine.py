"""The preset's measured constants are what the captures give."""

from __future__ import annotations

import pytest

from einsim.accel.gpu.machine import load_gpu
from einsim.validation.gpu.fit import DEVICES, capture_path, models_path
from einsim.validation.gpu.fit_machine import (
    STREAM,
    constants,
    hopper_constants,
    replaced,
    stream_constants,
    value,
)
from einsim.validation.gpu.measurement import read

GPU = load_gpu("h200-sxm")


@pytest.mark.parametrize("name", DEVICES)
def test_constants_of_microbenchmarks_are_those_of_the_preset(name: str) -> None:
    gpu = load_gpu(name)
    for path, found in constants(read(capture_path(name)), gpu).items():
        assert value(gpu, path) == pytest.approx(found, rel=5e-3), path


def test_constants_of_warp_groups_are_the_h200s_in_both_presets() -> None:
    for path, found in hopper_constants(read(models_path("h200-sxm")), GPU).items():
        assert value(GPU, path) == value(load_gpu("h100-sxm"), path) == pytest.approx(found, rel=5e-3), path


def test_what_only_copies_show_is_the_h100s_in_both_presets() -> None:
    gpu = load_gpu("h100-sxm")
    found = stream_constants(read(capture_path("h100-sxm")), gpu)
    for path in STREAM:
        assert value(gpu, path) == value(GPU, path) == pytest.approx(found[path], rel=0.03), path


def test_constants_see_no_row_of_another_family() -> None:
    rows = read(capture_path("h100-sxm"))
    gpu = load_gpu("h100-sxm")
    assert constants([row for row in rows if row.family == "micro"], gpu) == constants(rows, gpu)


def test_replacing_a_constant_leaves_the_others() -> None:
    changed = replaced(GPU, {"latency.l2": 1.0, "dram_write_cost": 2.0})
    assert (changed.latency.l2, changed.dram_write_cost) == (1.0, 2.0)
    assert replaced(changed, {"latency.l2": GPU.latency.l2, "dram_write_cost": GPU.dram_write_cost}) == GPU
