"""The suite's figures come from held-out rows, and every bar is judged."""

from __future__ import annotations

import pytest

from einsim.accel.gpu.machine import load_gpu
from einsim.sim.gpu.factors import read_factors
from einsim.sim.gpu.predict import predict
from einsim.specs.errors import SpecError
from einsim.validation.gpu.fit import DEVICES
from einsim.validation.gpu.fit_machine import paired
from einsim.validation.gpu.model_shapes import FIRST
from einsim.validation.gpu.shapes import CAPTURED
from einsim.validation.gpu.suite import ALL, ASIDE, MEASURED, TRANSFERS, UNSEEN, points, rows


def test_every_family_and_all_together_have_every_level() -> None:
    got = {(row.case, row.level) for row in rows(engine=False) if row.quantity == "MAPE"}
    levels = ("zero-fit", "calibrated", "roofline")
    groups = {(gpu, family) for gpu in DEVICES for family in (*CAPTURED, ALL)}
    groups |= {("h200-sxm", family) for family in FIRST}
    assert {family for _, family in groups} == {*MEASURED, ALL}
    nothing = {("h100-sxm", UNSEEN), *(("h200-sxm", name) for name in ASIDE)}
    assert got == {(f"gpu:{gpu}/{family}", level) for gpu, family in groups for level in levels} | {
        (f"gpu:{gpu}/{name}", level) for gpu, name in nothing for level in levels[:2]
    }


def test_figures_are_of_held_rows_only() -> None:
    held = [point for point in points("h100-sxm") if point.held and point.row.family == "ffn"]
    row = next(row for row in rows(["ffn"]) if row.quantity == "MAPE" and row.level == "calibrated")
    off = [abs(point.calibrated_s / point.row.median_s - 1) for point in held]
    assert row.ours == pytest.approx(sum(off) / len(off))
    assert row.note == f"{len(off)} rows"


def test_every_bar_holds_on_every_device() -> None:
    judged = [row for row in rows(engine=False) if row.limit is not None]
    assert len(judged) == len(DEVICES) * (len(CAPTURED) + 8 + 3) + len(FIRST) + 2 * 3
    for row in judged:
        assert row.ok, row


def test_a_transfer_uses_the_other_devices_factors() -> None:
    for name, source in TRANSFERS.items():
        point = next(point for point in points(name) if point.row.family == "gemm-f16")
        ((case, row),) = paired([point.row])
        known = read_factors(source)["gemm-f16"]
        assert name != source
        assert point.transfer_s == predict(case, load_gpu(name), l2=row.l2, efficiency=known).seconds


def test_a_figure_over_its_limit_is_not_ok() -> None:
    for row in rows(engine=False):
        assert row.ok == (row.limit is None or row.ours <= row.limit)


def test_an_unknown_family_is_told_with_a_near_one() -> None:
    with pytest.raises(SpecError, match="softmax"):
        list(rows(["softmx"]))
