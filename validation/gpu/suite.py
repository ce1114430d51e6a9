"""The GPU suite: kernels as captured against kernels as predicted, on rows that nothing was fitted on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import msgspec
import numpy as np
from scipy.stats import kendalltau

from accel.gpu.machine import load_gpu
from specs.errors import SpecError
from specs.near import near
from validation.gpu.case import KernelCase
from validation.gpu.fit import CAPTURE, read_fitted, roofline
from validation.gpu.fit_machine import paired
from validation.gpu.predict import predict
from validation.gpu.rows import Row as Captured
from validation.gpu.rows import read
from validation.gpu.split import split
from validation.row import Row

ALL = "all"
FAMILY_LIMIT, ALL_LIMIT, P90_LIMIT, ZERO_FIT_LIMIT, ENERGY_LIMIT = 0.15, 0.10, 0.20, 0.20, 0.15  # issue 6
ROOFLINE_SHARE = 2 / 3  # issue 6: at least a third below the baseline
SOURCE = "validation/gpu/captures/nvidia-h200.csv: one NVIDIA H200, 2026-11-22, held-out rows"


class Point(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One captured row beside its predictions: seconds measured, without fit, calibrated and by roofline,
    and joules (NaN where not measured).
    """

    row: Captured
    held: bool
    zero_fit_s: float
    calibrated_s: float
    roofline_s: float
    joules: float
    clock_hz: float


@cache
def points() -> tuple[Point, ...]:
    """Every row of the H200 capture but `micro`, predicted."""
    rows, gpu, known = read(CAPTURE), load_gpu("h200-sxm"), read_fitted()
    held = {row.key for row in split(rows)[1]}

    def point(case: KernelCase, row: Captured) -> Point:
        best = predict(case, gpu, l2=row.l2, efficiency=known.model[case.family])
        return Point(
            row=row,
            held=row.key in held,
            zero_fit_s=predict(case, gpu, l2=row.l2).seconds,
            calibrated_s=best.seconds,
            roofline_s=roofline(case, gpu, *known.roofline[case.family]),
            joules=best.joules,
            clock_hz=best.clock_hz,
        )

    return tuple(point(case, row) for case, row in paired([row for row in rows if row.family != "micro"]))


def errors(chosen: Sequence[Point], level: str) -> list[float]:
    """Relative errors of one level ("zero_fit", "calibrated", "roofline"), without sign."""
    return [abs(getattr(point, f"{level}_s") / point.row.median_s - 1.0) for point in chosen]


def rows(cases: Sequence[str] = (), progress: Callable[[str], None] = lambda _: None) -> Iterator[Row]:
    """Errors of the families that are named, or of every one and all together.

    `reference` is 0, `ours` and `error` the figure; a figure above its limit fails. SpecError for a family
    that doesn't exist.
    """
    held = [point for point in points() if point.held]
    families = tuple(dict.fromkeys(point.row.family for point in held))
    for case in cases:
        if case not in (*families, ALL):
            raise SpecError(
                "case", "no kernel family of this name", got=case, hint=near(case, (*families, ALL))
            )
    for name in cases or (*families, ALL):
        progress(name)
        yield from group(name, [point for point in held if name in (ALL, point.row.family)])


def group(name: str, held: Sequence[Point]) -> Iterator[Row]:
    """The figures of one group of held-out rows."""
    whole = name == ALL
    baseline = float(np.mean(errors(held, "roofline")))
    limits = {
        "calibrated": ALL_LIMIT if whole else FAMILY_LIMIT,
        "zero_fit": ZERO_FIT_LIMIT if whole else None,
    }
    for level in ("zero_fit", "calibrated", "roofline"):
        found = errors(held, level)
        yield figure(name, "MAPE", level, float(np.mean(found)), limits.get(level), len(found))
        yield figure(name, "median error", level, float(np.median(found)), None, len(found))
        p90 = P90_LIMIT if whole and level == "calibrated" else None
        yield figure(name, "90th percentile", level, float(np.percentile(found, 90)), p90, len(found))
    order = kendalltau([p.row.median_s for p in held], [p.calibrated_s for p in held]).statistic
    yield figure(name, "1 - Kendall tau", "calibrated", 1.0 - float(order), None, len(held))
    if whole:
        ratio = float(np.mean(errors(held, "calibrated"))) / baseline
        yield figure(name, "MAPE over the roofline's", "calibrated", ratio, ROOFLINE_SHARE, len(held))
    powered = [p for p in points() if p.row.energy_j > 0 and (whole or p.row.family == name)]
    for held_only, quantity in ((True, "energy MAPE"), (False, "energy MAPE, fit rows too")):
        off = [abs(p.joules / p.row.energy_j - 1.0) for p in powered if p.held or not held_only]
        if off:
            limit = ENERGY_LIMIT if whole else None
            yield figure(name, quantity, "calibrated", float(np.mean(off)), limit, len(off))


def figure(name: str, quantity: str, level: str, value: float, limit: float | None, count: int) -> Row:
    """A row whose reference is no error at all."""
    return Row(
        suite="gpu",
        case=f"gpu:{name}",
        quantity=quantity,
        level=level.replace("_", "-"),
        reference=0.0,
        ours=value,
        error=value,
        limit=limit,
        ok=limit is None or (math.isfinite(value) and value <= limit),
        source=SOURCE,
        note=f"{count} rows",
    )
