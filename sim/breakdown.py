"""Top-down breakdown: what every cycle of every unit went to, in words; a unit's rows add up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec

from einsim.dataflow.result import Result

# Cause -> its text; {} is the memory or the operation that it is about.
TEXTS = {
    "busy": "busy",
    "bandwidth": "starved by {}",
    "dependency": "waiting for {}",
    "capacity": "no room until {} is done",
    "fill": "filling",
    "drain": "draining",
    "dispatch": "being dispatched",
    "not busy": "not busy",  # all that the analytical level knows
}
STARTS = "fill and drain"  # of a GPU's kernels: the launches' start and the last blocks' end
IDLE = "no work left"  # a dependency on nothing: after the unit's last operation


class BreakdownRow(msgspec.Struct, frozen=True, kw_only=True):
    """One reason of one unit. `cause` is a key of `TEXTS`, `what` the memory or operation, "" for neither."""

    unit: str
    cause: str
    what: str
    cycles: int
    share: float

    @property
    def text(self) -> str:
        """For example "starved by dram" or "waiting for RM"."""
        return reason(self.cause, self.what)


def reason(cause: str, what: str) -> str:
    """A cause and what it is about, in words."""
    return IDLE if cause == "dependency" and not what else TEXTS[cause].format(what)


def breakdown(result: Result) -> tuple[BreakdownRow, ...]:
    """Rows by unit, busy first, then the largest loss first; a unit's cycles add up to `result.cycles`."""
    rows = []
    for unit, reasons in result.breakdown_by_unit.items():
        mine = []
        for key, cycles in reasons.items():
            cause, _, what = key.partition(":")
            share = cycles / result.cycles if result.cycles else 0.0
            mine.append(BreakdownRow(unit=unit, cause=cause, what=what, cycles=cycles, share=share))
        rows += sorted(mine, key=lambda row: (row.cause != "busy", -row.cycles, row.cause, row.what))
    return tuple(rows)


def by_unit(result: Result, most: int = 8) -> dict[str, tuple[tuple[str, int, str], ...]]:
    """For each unit lines of (reason, cycles, percentage), at most `most`: smaller ones are summed.

    A unit's cycles add up to the run's and its percentages, as printed, to 100.00 exactly. Empty where a
    result has no breakdown.
    """
    found = {}
    for unit, group in groupby(breakdown(result), key=lambda row: row.unit):
        rows = [(row.text, row.cycles) for row in group]
        if len(rows) > most:
            rest = rows[most - 1 :]
            rows = [*rows[: most - 1], (f"{len(rest)} more reasons", sum(cycles for _, cycles in rest))]
        shares = hundredths([cycles for _, cycles in rows])
        found[unit] = tuple(
            (name, cycles, f"{share // 100}.{share % 100:02} %")
            for (name, cycles), share in zip(rows, shares, strict=True)
        )
    return found


def hundredths(parts: Sequence[int]) -> list[int]:
    """Hundredths of a percent that each part is of the sum; they add up to 10,000 (largest remainder)."""
    whole = sum(parts)
    if not whole:
        return [0] * len(parts)
    floors = [part * 10_000 // whole for part in parts]
    order = sorted(range(len(parts)), key=lambda at: (-(parts[at] * 10_000 % whole), at))
    for at in order[: 10_000 - sum(floors)]:
        floors[at] += 1
    return floors
