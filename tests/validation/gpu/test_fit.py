"""Fitting gives the committed figures and finds what was put in."""

from __future__ import annotations

import pytest

from accel.gpu.machine import load_gpu
from validation.gpu.fit import CAPTURE, fitted, least, read_fitted, roofline
from validation.gpu.fit_machine import paired
from validation.gpu.rows import read
from validation.gpu.split import split

GPU, ROWS = load_gpu("h200-sxm"), read(CAPTURE)


def test_the_committed_figures_are_those_of_the_fit_split() -> None:
    some = [row for row in ROWS if row.family in {"ffn", "reduction"}]
    found, committed = fitted(some, GPU), read_fitted()
    for family in ("ffn", "reduction"):
        assert found.model[family].rate == pytest.approx(committed.model[family].rate, rel=0.02)
        assert found.roofline[family] == pytest.approx(committed.roofline[family], rel=0.02)


def test_held_rows_change_nothing() -> None:
    some = [row for row in ROWS if row.family == "ffn"]
    assert fitted(some, GPU) == fitted(split(some)[0] + split(some)[1], GPU)


def test_two_figures_are_recovered() -> None:
    pairs = paired([row for row in ROWS if row.family == "reduction"])
    one, two = least(pairs, lambda case, row, a, b: row.median_s * (abs(a - 0.8) + abs(b - 1.4) + 1.0))
    assert (one, two) == pytest.approx((0.8, 1.4), rel=0.02)


def test_a_roofline_is_never_below_its_two_bounds() -> None:
    for case, _ in paired([row for row in ROWS if row.family == "gemm-f16"]):
        assert roofline(case, GPU, 1.0, 1.0) >= case.unique_bytes / GPU.dram_bytes_per_s
