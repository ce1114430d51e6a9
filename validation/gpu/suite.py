"""The GPU suite: kernels as captured against kernels as predicted, on rows that nothing was fitted on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from scipy.stats import kendalltau

from einsim.accel.gpu.machine import Gpu, load_gpu
from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.factors import read_factors
from einsim.sim.gpu.kernels.families import FAMILIES
from einsim.sim.gpu.predict import predict
from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.validation.gpu.dealt_kernels import FAMILIES_DEALT, engine_errors
from einsim.validation.gpu.fit import (
    DEVICES,
    SHARE,
    capture_path,
    captured,
    fresh_path,
    models_path,
    read_roofline,
    roofline,
    unseen_path,
)
from einsim.validation.gpu.fit_machine import paired
from einsim.validation.gpu.kernels.registry import MICRO
from einsim.validation.gpu.measurement import Measurement, read
from einsim.validation.gpu.model_shapes import FIRST, MORE
from einsim.validation.gpu.split import split
from einsim.validation.row import Row

ALL = "all"
MEASURED = tuple(FAMILIES)
UNSEEN = "unseen"
MODELS = "models"
FRESH = "fresh"
ASIDE = (UNSEEN, MODELS, FRESH)
NAMES = (*MEASURED, ALL, *ASIDE)
# Set before the model was: mean error of a family, of all rows, 90th percentile, without a fit, of energy.
FAMILY_LIMIT, ALL_LIMIT, P90_LIMIT, ZERO_FIT_LIMIT, ENERGY_LIMIT = 0.15, 0.10, 0.20, 0.20, 0.15
ROOFLINE_SHARE = 2 / 3  # at least a third below the baseline
TRANSFER_LIMIT = 0.12  # another device by changing the YAML alone
ENGINE_LIMITS = {
    ("h200-sxm", "gemm-f16"): 0.07,
    ("h200-sxm", "gemm-f32"): 0.12,
}  # of the shared engine, of which nothing is fitted
TRANSFERS = {"h200-sxm": "h100-sxm", "h100-sxm": "h200-sxm"}  # whose factors predict whose rows


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One captured row beside its predictions: seconds measured, without fit, calibrated, calibrated on the
    other device (NaN where that has no row of the family), and by roofline, and joules (NaN where not
    measured).
    """

    gpu: str
    row: Measurement
    held: bool
    zero_fit_s: float
    calibrated_s: float
    transfer_s: float
    roofline_s: float
    joules: float
    clock_hz: float


@cache
def points(name: str, of: str = ALL) -> tuple[Comparison, ...]:
    """Every row of a preset's captures but microbenchmarks, predicted; or of shapes that nothing was fitted
    on, which are all held: UNSEEN ones, those of published MODELS that the split holds out, or FRESH ones.
    """
    rows = captured(name)
    out = {row.key for row in split(rows)[1]}
    if of == MODELS:
        rows = tuple(row for row in read(models_path(name)) if row.family in MORE and row.key in out)
    elif of != ALL:
        rows = read({UNSEEN: unseen_path, FRESH: fresh_path}[of](name))
    held = out if of == ALL else {row.key for row in rows}
    pairs = paired([row for row in rows if row.family not in MICRO])
    return tuple(compared(case, row, name, load_gpu(name), held=row.key in held) for case, row in pairs)


def compared(case: KernelCase, row: Measurement, name: str, gpu: Gpu, *, held: bool) -> Comparison:
    """A row beside its predictions on a GPU; factors, those of the other device and the roofline's shares are
    those of a preset's name.
    """
    known, foreign, baseline = read_factors(name), read_factors(TRANSFERS[name]), read_roofline(name)
    factors = known.get(case.family) or foreign[case.family]
    best = predict(case, gpu, l2=row.l2, efficiency=factors)
    transfer_s = math.nan
    if case.family in foreign:
        transfer_s = predict(case, gpu, l2=row.l2, efficiency=foreign[case.family]).seconds
    return Comparison(
        gpu=gpu.name,
        row=row,
        held=held,
        zero_fit_s=predict(case, gpu, l2=row.l2).seconds,
        calibrated_s=best.seconds,
        transfer_s=transfer_s,
        roofline_s=roofline(case, gpu, *baseline.get(case.family, (SHARE, SHARE))),
        joules=best.joules,
        clock_hz=best.clock_hz,
    )


def errors(chosen: Sequence[Comparison], level: str) -> list[float]:
    """Relative errors of one level ("zero_fit", "calibrated", "transfer", "roofline"), without sign."""
    return [abs(getattr(point, f"{level}_s") / point.row.median_s - 1.0) for point in chosen]


def rows(
    cases: Sequence[str] = (), progress: Callable[[str], None] = lambda _: None, *, engine: bool = True
) -> Iterator[Row]:
    """Errors of the families that are named, or of every one and all together, on every device; with `engine`
    also those of the shared engine, of the families that have a mapping on it (a minute).

    `reference` is 0, `ours` and `error` the figure; a figure above its limit fails. SpecError for a family
    that doesn't exist.
    """
    for case in cases:
        if case not in NAMES:
            raise SpecError("case", "no kernel family of this name", got=case, hint=near(case, NAMES))
    for gpu in DEVICES:
        for name in cases or NAMES:
            progress(f"{gpu} {name}")
            if name in ASIDE:
                yield from fitted_on_nothing(gpu, name)
                continue
            chosen = [point for point in points(gpu) if name in (ALL, point.row.family)]
            if name == ALL:  # families that both devices have, so that one bar serves both
                chosen = [point for point in chosen if point.row.family not in FIRST]
            if chosen:
                yield from group(name, chosen, engine=engine)


def group(name: str, chosen: Sequence[Comparison], *, engine: bool) -> Iterator[Row]:
    """The figures of one group of rows of one device; the held-out ones unless a figure says otherwise."""
    whole, gpu = name == ALL, chosen[0].gpu
    held = [point for point in chosen if point.held]
    baseline = float(np.mean(errors(held, "roofline")))
    limits = {
        "calibrated": ALL_LIMIT if whole else FAMILY_LIMIT,
        "zero_fit": ZERO_FIT_LIMIT if whole else None,
    }

    def told(quantity: str, level: str, value: float, limit: float | None, of: Sequence[object]) -> Row:
        path = models_path(gpu) if name in FIRST else capture_path(gpu)
        return figure(f"{gpu}/{name}", quantity, level, value, limit, len(of), path)

    for level in ("zero_fit", "calibrated", "roofline"):
        found = errors(held, level)
        yield told("MAPE", level, float(np.mean(found)), limits.get(level), found)
        yield told("median error", level, float(np.median(found)), None, found)
        p90 = P90_LIMIT if whole and level == "calibrated" else None
        yield told("90th percentile", level, float(np.percentile(found, 90)), p90, found)
    if engine and name in FAMILIES_DEALT:
        shared = engine_errors(gpu, name)
        limit = ENGINE_LIMITS.get((gpu, name))
        yield told("MAPE", "engine", float(np.mean(shared)), limit, shared)
        yield told("median error", "engine", float(np.median(shared)), None, shared)
        yield told("90th percentile", "engine", float(np.percentile(shared, 90)), None, shared)
    order = kendalltau([p.row.median_s for p in held], [p.calibrated_s for p in held]).statistic
    yield told("1 - Kendall tau", "calibrated", 1.0 - float(order), None, held)
    if whole:
        ratio = float(np.mean(errors(held, "calibrated"))) / baseline
        yield told("MAPE over the roofline's", "calibrated", ratio, ROOFLINE_SHARE, held)
    limit, source = (TRANSFER_LIMIT if whole else None), TRANSFERS[gpu]
    for quantity, of in (
        (f"MAPE, factors of {source}", held),
        (f"MAPE, factors of {source}, every row", chosen),
    ):
        if name not in FIRST:
            yield told(quantity, "transfer", float(np.mean(errors(of, "transfer"))), limit, of)
    powered = [point for point in chosen if point.row.energy_j > 0]
    for quantity, some in (
        ("energy MAPE", [point for point in powered if point.held]),
        ("energy MAPE, fit rows too", powered),
    ):
        off = [abs(point.joules / point.row.energy_j - 1.0) for point in some]
        if off:
            yield told(quantity, "calibrated", float(np.mean(off)), ENERGY_LIMIT if whole else None, off)


def fitted_on_nothing(gpu: str, name: str) -> Iterator[Row]:
    """The figures of shapes that nothing was fitted on: UNSEEN ones, those of MODELS, or FRESH ones."""
    path = {UNSEEN: unseen_path, MODELS: models_path, FRESH: fresh_path}[name](gpu)
    if not path.exists():
        return
    chosen = points(gpu, name)
    for level, mean, p90 in (("zero_fit", ZERO_FIT_LIMIT, None), ("calibrated", ALL_LIMIT, P90_LIMIT)):
        found = errors(chosen, level)
        for quantity, value, limit in (
            ("MAPE", float(np.mean(found)), mean),
            ("median error", float(np.median(found)), None),
            ("90th percentile", float(np.percentile(found, 90)), p90),
        ):
            yield figure(f"{gpu}/{name}", quantity, level, value, limit, len(found), path)


def figure(
    name: str, quantity: str, level: str, value: float, limit: float | None, count: int, path: Path
) -> Row:
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
        source=f"validation/gpu/captures/{path.name}: one device, held-out rows",
        note=f"{count} rows",
    )
