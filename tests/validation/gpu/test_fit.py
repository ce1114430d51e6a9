"""Fitting gives the committed figures and finds what was put in."""

from __future__ import annotations

import msgspec
import pytest

from einsim.accel.gpu.machine import load_gpu
from einsim.sim.gpu.factors import Efficiency, read_factors
from einsim.sim.gpu.predict import predict
from einsim.validation.gpu.fit import capture_path, efficiencies, fitted, kept, least, read_roofline, roofline
from einsim.validation.gpu.fit_machine import paired
from einsim.validation.gpu.measurement import read
from einsim.validation.gpu.split import split

GPU, ROWS = load_gpu("h100-sxm"), read(capture_path("h100-sxm"))


def test_the_committed_figures_are_those_of_the_fit_split() -> None:
    some = [row for row in ROWS if row.family in {"ffn", "reduction"}]
    found, factors, baseline = fitted(some, GPU), read_factors("h100-sxm"), read_roofline("h100-sxm")
    for family in ("ffn", "reduction"):
        assert found.model[family].rate == pytest.approx(factors[family].rate, rel=0.02)
        assert found.roofline[family] == pytest.approx(baseline[family], rel=0.02)


def test_held_rows_change_nothing() -> None:
    some = [row for row in ROWS if row.family == "reduction"]
    assert fitted(some, GPU) == fitted(split(some)[0] + split(some)[1], GPU)


def test_two_figures_are_recovered() -> None:
    found = least(lambda one, two: abs(one - 0.8) + abs(two - 1.4), ((1.0, 1.0), (0.7, 1.5)))
    assert found == pytest.approx((0.8, 1.4), rel=0.02)


def test_factors_that_were_put_in_come_out_where_rows_are_many() -> None:
    pairs = paired([row for row in split(ROWS)[0] if row.family == "gemm-f16"])[::8]
    made = Efficiency(rate=0.9, latency=1.5)
    rows = [
        (case, msgspec.structs.replace(row, median_s=predict(case, GPU, l2=row.l2, efficiency=made).seconds))
        for case, row in pairs
    ]
    assert efficiencies(rows, GPU).rate == pytest.approx(0.9, rel=0.03)
    assert kept(rows, GPU) != Efficiency()


def test_factors_that_serve_no_other_shape_are_not_kept() -> None:
    pairs = paired([row for row in split(ROWS)[0] if row.family == "reduction"])
    shapes = list(dict.fromkeys(row.sizes for _, row in pairs))
    rows = [  # half the shapes twice as slow as predicted, the others twice as fast
        (
            case,
            msgspec.structs.replace(
                row, median_s=predict(case, GPU).seconds * (2.0 if shapes.index(row.sizes) % 2 else 0.5)
            ),
        )
        for case, row in pairs
    ]
    assert kept(rows, GPU) == Efficiency()


def test_a_roofline_is_never_below_its_two_bounds() -> None:
    for case, _ in paired([row for row in ROWS if row.family == "gemm-f16"]):
        assert roofline(case, GPU, 1.0, 1.0) >= case.unique_bytes / GPU.dram_bytes_per_s
