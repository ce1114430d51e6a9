"""Top-down breakdown: what every cycle of every unit went to, in words; a unit's rows add up."""

from __future__ import annotations

import msgspec

from dataflow.result import Result

# Cause -> its text; {} is the memory or the operation that it is about.
TEXTS = {
    "busy": "busy",
    "bandwidth": "starved by {}",
    "dependency": "waiting for {}",
    "capacity": "no room until {} is done",
    "fill": "filling",
    "drain": "draining",
    "not busy": "not busy",  # all that the analytical level knows
}
IDLE = "no work left"  # a dependency on nothing: after the unit's last operation


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One reason of one unit. `cause` is a key of `TEXTS`, `what` the memory or operation, "" for neither."""

    unit: str
    cause: str
    what: str
    cycles: int
    share: float

    @property
    def text(self) -> str:
        """For example "starved by dram" or "waiting for RM"."""
        if self.cause == "dependency" and not self.what:
            return IDLE
        return TEXTS[self.cause].format(self.what)


def breakdown(result: Result) -> tuple[Row, ...]:
    """Rows by unit, busy first, then the largest loss first; a unit's cycles add up to `result.cycles`."""
    rows = []
    for unit, reasons in result.breakdown_by_unit.items():
        mine = []
        for key, cycles in reasons.items():
            cause, _, what = key.partition(":")
            share = cycles / result.cycles if result.cycles else 0.0
            mine.append(Row(unit=unit, cause=cause, what=what, cycles=cycles, share=share))
        rows += sorted(mine, key=lambda row: (row.cause != "busy", -row.cycles, row.cause, row.what))
    return tuple(rows)
