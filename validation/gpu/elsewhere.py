"""A capture from anywhere, of any shapes: every row beside its predictions, groups, and the bars."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from scipy.stats import kendalltau

from einsim.accel.gpu.machine import Gpu, load_gpu
from einsim.specs.errors import SpecError
from einsim.validation.gpu.fit import DEVICES, captured
from einsim.validation.gpu.fit_machine import case_of
from einsim.validation.gpu.kernels.registry import MICRO
from einsim.validation.gpu.measurement import Measurement, read_any
from einsim.validation.gpu.split import split
from einsim.validation.gpu.suite import ALL, Comparison, compared, errors
from einsim.validation.row import GroupedRow
from einsim.validation.silicon.file_kinds import NotKnown
from einsim.validation.silicon.split import FIT, HELD_OUT

LEVELS = ("calibrated", "zero_fit", "roofline")
# On shapes that others choose: the mean error, its 90th percentile, and that of any row.
MEAN_LIMIT, P90_LIMIT, MOST_LIMIT = 0.06, 0.14, 0.40


class GpuOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """All rows with their figures, and those that weren't judged."""

    rows: tuple[GroupedRow, ...]
    unknown: tuple[NotKnown, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether a bar isn't met."""
        return any(not row.ok for row in self.rows)


def preset_of(device: str) -> str:
    """The preset of a device by its own name, or by that of its preset; "" for one that isn't described."""
    plain = device.strip().lower().replace(" ", "-")
    return next((name for name, stem in DEVICES.items() if plain in (stem, name)), "")


def judge_file(path: Path, accel: str = "") -> GpuOutcome:
    """Rows of each level, then figures of families and of all, held-out ones with their limits.

    accel: the GPU (a preset or a file) that all rows are taken to be of; without it, of each row's device the
    preset. SpecError for a file that can't be read, or none of whose rows can be judged.
    """
    points, unknown = list[Comparison](), list[NotKnown]()
    for line, row in read_any(path):
        what = f"{row.device} {'/'.join(row.key[:3])}"
        try:
            points.append(_compared(row, accel))
        except SpecError as error:
            unknown.append(NotKnown(line=line, what=what, why=str(error)))
    if not points:
        why = f"line {unknown[0].line}: {unknown[0].why}" if unknown else "it has no row"
        raise SpecError("", "has no row that can be judged", where=str(path), hint=why)
    rows = (*(made for point in points for made in _rows(point, path)), *_figures(points, path))
    return GpuOutcome(rows=rows, unknown=tuple(unknown))


def _compared(row: Measurement, accel: str) -> Comparison:
    if row.family in MICRO:
        raise SpecError("family", "constants of a GPU are fitted on microbenchmarks", got=row.family)
    gpu: Gpu = load_gpu(accel or _described(row.device))
    name = gpu.name if gpu.name in DEVICES else preset_of(row.device) or next(iter(DEVICES))
    return compared(case_of(row), row, name, gpu, held=row.key not in _fitted(name))


def _described(device: str) -> str:
    found = preset_of(device)
    if not found:
        raise SpecError(
            "device", "no preset is of this GPU", got=device, hint="--accel says which it is, or a file"
        )
    return found


@cache
def _fitted(name: str) -> frozenset[tuple[str, str, str, str]]:
    """Keys of the rows that a preset's factors were fitted on."""
    return frozenset(row.key for row in split(captured(name))[0])


def _rows(point: Comparison, path: Path) -> Iterator[GroupedRow]:
    """A row a level: seconds, and joules where they were measured."""
    row = point.row
    figures = [("latency_s", level, row.median_s, float(getattr(point, f"{level}_s"))) for level in LEVELS]
    if row.energy_j > 0:
        figures.append(("energy_j", LEVELS[0], row.energy_j, point.joules))
    for quantity, level, measured, ours in figures:
        yield GroupedRow(
            suite="gpu", case=f"gpu:{point.gpu}/{'/'.join(row.key)}", quantity=quantity,
            level=level.replace("_", "-"), reference=measured, ours=ours, error=ours / measured - 1.0,
            limit=None, ok=True, source=path.name, group=row.family, side=_side(point),
        )  # fmt: skip


def _side(point: Comparison) -> str:
    return HELD_OUT if point.held else FIT


def _figures(points: Sequence[Comparison], path: Path) -> Iterator[GroupedRow]:
    """Of every family and side, and of all: how far rows are off, and whether their order is right."""
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for point in points:
        groups.setdefault((point.row.family, _side(point)), []).append(point)
    for point in points:
        groups.setdefault((ALL, _side(point)), []).append(point)
    for (group, side), members in groups.items():
        for level in LEVELS:
            judged = (group, side, level) == (ALL, HELD_OUT, LEVELS[0])
            for quantity, value, limit in _told(members, level):
                yield _figure(group, side, level, quantity, value, limit if judged else None, members, path)
        powered = [point for point in members if point.row.energy_j > 0]
        if powered:
            off = float(np.mean([abs(point.joules / point.row.energy_j - 1.0) for point in powered]))
            yield _figure(group, side, LEVELS[0], "mean error of energy", off, None, powered, path)


def _told(members: Sequence[Comparison], level: str) -> Iterator[tuple[str, float, float | None]]:
    off = errors(members, level)
    yield "mean error", float(np.mean(off)), MEAN_LIMIT
    yield "median error", float(np.median(off)), None
    yield "90th percentile", float(np.percentile(off, 90)), P90_LIMIT
    yield "largest error", max(off), MOST_LIMIT
    if len(members) > 1:
        measured = [point.row.median_s for point in members]
        tau = kendalltau(measured, [getattr(point, f"{level}_s") for point in members]).statistic
        if not math.isnan(tau):
            yield "1 - Kendall tau", 1.0 - float(tau), None


def _figure(
    group: str, side: str, level: str, quantity: str, value: float, limit: float | None,
    members: Sequence[Comparison], path: Path,
) -> GroupedRow:  # fmt: skip
    return GroupedRow(
        suite="gpu", case=f"gpu:{group}", quantity=quantity, level=level.replace("_", "-"), reference=0.0,
        ours=value, error=value, limit=limit, ok=limit is None or value <= limit, source=path.name,
        note=f"{len(members)} rows", group=group, side=side,
    )  # fmt: skip
