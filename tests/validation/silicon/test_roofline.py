"""The baseline of a product is what its sizes and the preset's sourced figures give by hand."""

from __future__ import annotations

import pytest

from einsim.accel.load import load_machine
from einsim.validation.silicon.roofline import bound_s, moved_bytes
from einsim.workloads.load import load_model, load_workload
from einsim.workloads.settings import read_settings

MACHINE = load_machine("tpu-v4i")


def test_a_large_product_is_bound_by_the_peak_and_a_thin_one_by_dram():
    unit = max(MACHINE.matrix_units, key=lambda unit: unit.pes)
    peak = unit.pes * (unit.clock_hz or MACHINE.clock_hz)
    square = load_workload("gemm", {"m": 4096, "n": 4096, "k": 4096})
    assert bound_s(square, MACHINE) == pytest.approx(4096**3 / peak)
    thin = load_workload("gemm", {"m": 1, "n": 4096, "k": 4096})
    bytes_ = 2 * (4096 + 4096 * 4096 + 4096)
    assert moved_bytes(thin) == bytes_
    assert bound_s(thin, MACHINE) == pytest.approx(bytes_ / MACHINE.dram.read_bytes_per_s)


def test_of_a_table_only_the_rows_that_are_read_are_moved():
    model = load_model("bert-base-mlm")
    phase = model.phases(read_settings(model.parameters, {"seq": 8}, model.name))[0]
    embed = next(part for part in phase.parts(1, {}) if part.name.startswith("embed"))
    assert moved_bytes(embed.cascade) < 30522 * 768 * 2 / 50
