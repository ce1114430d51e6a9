"""The preset's measured constants are what the captures give."""

from __future__ import annotations

import pytest

from accel.gpu.machine import load_gpu
from validation.gpu.fit import CAPTURE
from validation.gpu.fit_machine import direct, energies, paired, replaced, value
from validation.gpu.rows import read
from validation.gpu.split import split

GPU, ROWS = load_gpu("h200-sxm"), read(CAPTURE)
MICRO = paired([row for row in ROWS if row.family == "micro"])


@pytest.mark.parametrize(("path", "found"), direct(MICRO, GPU).items())
def test_direct_constants_are_those_of_the_preset(path: str, found: float) -> None:
    assert value(GPU, path) == pytest.approx(found, rel=2e-3)


def test_energies_are_those_of_the_preset() -> None:
    copies = paired([row for row in split(ROWS)[0] if row.family == "copy"])
    for path, found in energies([*MICRO, *copies], GPU).items():
        assert value(GPU, path) == pytest.approx(found, rel=5e-3)


def test_replacing_a_constant_leaves_the_others() -> None:
    changed = replaced(GPU, {"latency.l2": 1.0, "dram_write_cost": 2.0})
    assert (changed.latency.l2, changed.dram_write_cost) == (1.0, 2.0)
    assert replaced(changed, {"latency.l2": GPU.latency.l2, "dram_write_cost": GPU.dram_write_cost}) == GPU
