"""The suite's figures come from held-out rows, and the whole of issue 6's bars is judged."""

from __future__ import annotations

import pytest

from specs.errors import SpecError
from validation.gpu.suite import ALL, points, rows


def test_every_family_and_all_together_have_every_level() -> None:
    got = {(row.case, row.level) for row in rows() if row.quantity == "MAPE"}
    families = {point.row.family for point in points()} | {ALL}
    assert got == {(f"gpu:{f}", level) for f in families for level in ("zero-fit", "calibrated", "roofline")}


def test_figures_are_of_held_rows_only() -> None:
    held = [point for point in points() if point.held and point.row.family == "ffn"]
    row = next(row for row in rows(["ffn"]) if row.quantity == "MAPE" and row.level == "calibrated")
    off = [abs(point.calibrated_s / point.row.median_s - 1) for point in held]
    assert row.ours == pytest.approx(sum(off) / len(off))
    assert row.note == f"{len(off)} rows"


def test_bars_of_all_kernels_hold() -> None:
    for row in rows([ALL]):
        assert row.ok, row


def test_a_figure_over_its_limit_is_not_ok() -> None:
    for row in rows():
        assert row.ok == (row.limit is None or row.ours <= row.limit)


def test_an_unknown_family_is_told_with_a_near_one() -> None:
    with pytest.raises(SpecError, match="softmax"):
        list(rows(["softmx"]))
