"""What a search has found so far: figures with the points that have them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from einsim.dataflow.mapper.objective import Key, key_by, nondominated
from einsim.dataflow.mapper.point import GroupPoint


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Ticks, joules (with leakage) and the most bytes held on chip at once, and the groups that take them."""

    ticks: float
    joules: float
    held: float
    groups: tuple[GroupPoint, ...] = ()
    resident: tuple[str, ...] = ()
    global_buffer: str = ""

    def then(self, other: Found) -> Found:
        """One after the other: times and energies add, bytes are used in turn."""
        return Found(
            ticks=self.ticks + other.ticks, joules=self.joules + other.joules,
            held=max(self.held, other.held),
            groups=(*self.groups, *other.groups), resident=self.resident, global_buffer=self.global_buffer,
        )  # fmt: skip


def score(found: Found, objective: str) -> Key:
    """The objective and the figure that breaks ties; smaller is better."""
    return key_by(objective, found.ticks, found.joules, found.held)


def best_of(found: Sequence[Found], objective: str) -> list[Found]:
    """Those worth keeping: the best one; for EDP and for a front every one that no other beats."""
    if not found:
        return []
    if objective not in ("edp", "pareto"):
        return [min(found, key=lambda one: score(one, objective))]
    if objective == "edp":
        least_held = sorted(found, key=lambda one: one.held)
        return nondominated(least_held, lambda one: (one.ticks, one.joules))
    return nondominated(found, lambda one: (one.ticks, one.joules, one.held))
