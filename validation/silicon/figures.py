"""How far predictions are off: figures of a group of rows, and of those that a bar was set for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from scipy.stats import kendalltau

from einsim.validation.row import GroupedRow
from einsim.validation.silicon.bars import BARS, Bar
from einsim.validation.silicon.chip_figure import ChipFigure
from einsim.validation.silicon.split import FIT, HELD_OUT, Side

SUITE = "silicon"
CALIBRATED, SOURCED, ROOFLINE = "calibrated", "sourced", "roofline"


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement with the figure of each level; `best` is the level of the preset as it is."""

    measured: ChipFigure
    by_level: dict[str, float]
    best: str
    why: str = ""

    def error(self, level: str) -> float:
        """(ours - measured) / measured."""
        return self.by_level[level] / self.measured.value - 1.0

    @property
    def seconds(self) -> float:
        """As measured, where it is a time or a rate."""
        value = self.measured.value
        return (
            value
            if self.measured.quantity.endswith("_s") and "per" not in self.measured.quantity
            else 1 / value
        )

    def rows(self) -> Iterator[GroupedRow]:
        """A row a level."""
        for level, ours in self.by_level.items():
            one = self.measured
            yield GroupedRow(
                suite=SUITE, case=one.case, quantity=one.quantity, level=level, reference=one.value,
                ours=ours, error=self.error(level), limit=None, ok=True, source=one.source, group=one.group,
                side=one.side,
            )  # fmt: skip


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Of rows at one level: how many, the mean, the median and the 90th percentile of errors without sign,
    the mean of those with sign, and Kendall's tau between what was run (None of fewer than two).
    """

    count: int
    mean: float
    median: float
    p90: float
    bias: float
    tau: float | None


def figures(rows: Sequence[Judged], level: str) -> Figures | None:
    """None without a row that has the level."""
    rows = [row for row in rows if level in row.by_level]
    if not rows:
        return None
    off = np.array([row.error(level) for row in rows])
    return Figures(
        count=len(rows), mean=float(np.mean(abs(off))), median=float(np.median(abs(off))),
        p90=float(np.percentile(abs(off), 90)), bias=float(np.mean(off)), tau=order(rows, level),
    )  # fmt: skip


def order(rows: Sequence[Judged], level: str) -> float | None:
    """Kendall's tau between networks or shapes on one machine and in one variant, since precisions and
    runtimes aren't what a designer compares: the mean over them, each by its rows.
    """
    by_variant: dict[tuple[str, ...], list[Judged]] = {}
    for row in rows:
        one = row.measured
        by_variant.setdefault((one.machine, one.kind, one.variant, one.quantity), []).append(row)
    found = []
    for several in by_variant.values():
        if len(several) > 1:
            tau = kendalltau(
                [row.measured.value for row in several], [row.by_level[level] for row in several]
            )
            found.append((float(tau.statistic), len(several)))
    found = [(tau, count) for tau, count in found if not math.isnan(tau)]  # all are equal
    return sum(tau * count for tau, count in found) / sum(count for _, count in found) if found else None


def of_sparse(rows: Sequence[Judged], level: str) -> float | None:
    """Mean error without sign of what sparse weights gain: of the time with them over that of the same
    network and release with dense ones. None without such a pair.
    """
    dense: dict[tuple[str, ...], Judged] = {}
    for row in rows:
        one = row.measured
        if "sparse" not in one.settings and level in row.by_level:
            dense[one.machine, one.quantity, one.name, one.variant] = row
    found = []
    for row in (row for row in rows if "sparse" in row.measured.settings and level in row.by_level):
        one = row.measured
        variant = one.variant.removesuffix(" 2:4-sparse")
        twin = dense.get((one.machine, one.quantity, one.name, variant))
        if twin:
            found.append(abs((1 + row.error(level)) / (1 + twin.error(level)) - 1))
    return sum(found) / len(found) if found else None


def on_side(rows: Sequence[Judged], side: Side) -> list[Judged]:
    """The rows of a side."""
    return [row for row in rows if row.measured.side == side]


def summary(rows: Sequence[Judged]) -> Iterator[GroupedRow]:
    """Figures of each group and side, then those that a bar was set for, with their limits.

    `reference` is 0, and `ours` and `error` the figure; one above its limit fails.
    """
    groups: dict[str, list[Judged]] = {}
    for row in rows:
        groups.setdefault(row.measured.group, []).append(row)
    for group, members in groups.items():
        for side in (FIT, HELD_OUT):
            for level in (CALIBRATED, SOURCED, ROOFLINE):
                found = figures(on_side(members, side), level)
                if found:
                    yield from _told(group, side, level, found)
    for bar in BARS:
        mine = [row for row in rows if row.measured.group in bar.groups]
        some = [row for row in mine if row.measured.quantity in (bar.quantities or (row.measured.quantity,))]
        yield from judged_by(bar, on_side(some, HELD_OUT))


def _told(group: str, side: str, level: str, found: Figures) -> Iterator[GroupedRow]:
    for quantity, value in (
        ("mean error", found.mean), ("median error", found.median), ("90th percentile", found.p90),
        ("1 - Kendall tau", None if found.tau is None else 1 - found.tau),
    ):  # fmt: skip
        if value is not None:
            yield _figure(group, group, quantity, level, value, None, found.count, side)


def judged_by(bar: Bar, rows: Sequence[Judged]) -> Iterator[GroupedRow]:
    """The figures of a bar on held-out rows; none where there are no rows."""
    best = CALIBRATED if any(CALIBRATED in row.by_level for row in rows) else SOURCED
    found, without, baseline = (figures(rows, level) for level in (best, SOURCED, ROOFLINE))
    if found is None:
        return
    long = figures([row for row in rows if row.seconds > bar.long_s], best)
    tau, share = found.tau, found.mean / baseline.mean if baseline else None
    most = max(abs(row.error(best)) for row in rows if best in row.by_level)
    every = (
        ("largest error", most, bar.most, best),
        ("mean error", found.mean, bar.mean, best), ("median error", found.median, bar.median, best),
        ("90th percentile", found.p90, bar.p90, best),
        ("mean error", without.mean if without else None, bar.sourced, SOURCED),
        (f"mean error above {bar.long_s * 1e6:g} us", long.mean if long else None, bar.long_mean, best),
        ("1 - Kendall tau", tau and 1 - tau, bar.order and 1 - bar.order, best),
        ("mean error over the roofline's", share, bar.of_roofline, best),
        ("mean error of 2:4 over dense", of_sparse(rows, best), bar.sparse_ratio, best),
    )  # fmt: skip
    for quantity, value, limit, level in every:
        if value is not None and limit is not None:
            yield _figure(bar.name, f"bar:{bar.name}", quantity, level, value, limit, found.count, HELD_OUT)


def _figure(
    group: str, case: str, quantity: str, level: str, value: float, limit: float | None, count: int, side: str
) -> GroupedRow:
    return GroupedRow(
        suite=SUITE, case=case, quantity=quantity, level=level, reference=0.0, ours=value, error=value,
        limit=limit, ok=limit is None or value <= limit, source="validation/silicon/rows",
        note=f"{count} rows", group=group, side=side,
    )  # fmt: skip
