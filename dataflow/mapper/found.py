"""What a search has found so far: figures with the points that have them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from einsim.dataflow.mapper.archive import BUFFER, EDP, ENERGY, FRONT, LATENCY, PAIR
from einsim.dataflow.mapper.point import GroupPoint

OBJECTIVES = ("latency", "energy", "edp", "buffer", "pareto")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Ticks, joules (with leakage) and the most bytes held on chip at once, and the groups that take them."""

    ticks: float
    joules: float
    held: float
    groups: tuple[GroupPoint, ...] = ()
    resident: tuple[str, ...] = ()
    hub: str = ""

    def then(self, other: Found) -> Found:
        """One after the other: times and energies add, bytes are used in turn."""
        return Found(
            ticks=self.ticks + other.ticks, joules=self.joules + other.joules,
            held=max(self.held, other.held),
            groups=(*self.groups, *other.groups), resident=self.resident, hub=self.hub,
        )  # fmt: skip


def score(found: Found, objective: str) -> tuple[float, float]:
    """The objective and the figure that breaks ties; smaller is better."""
    figures = {
        "latency": (found.ticks, found.joules),
        "energy": (found.joules, found.ticks),
        "edp": (found.ticks * found.joules, found.ticks),
        "buffer": (found.held, found.ticks),
        "pareto": (found.ticks, found.joules),
    }
    return figures[objective]


def mode_of(objective: str, alone: bool) -> int:
    """How groups are compared: by the objective where groups add up (or there is one), else as a front."""
    modes = {"latency": LATENCY, "energy": ENERGY, "buffer": BUFFER, "pareto": FRONT}
    return modes.get(objective, EDP if alone else PAIR)


def best_of(found: Sequence[Found], objective: str) -> list[Found]:
    """Those worth keeping: the best one; for EDP and for a front every one that no other beats."""
    if not found:
        return []
    if objective not in ("edp", "pareto"):
        return [min(found, key=lambda one: score(one, objective))]
    kept: list[Found] = []
    for one in sorted(found, key=lambda item: (item.ticks, item.joules, item.held)):
        held = one.held if objective == "pareto" else -math.inf
        if not any(
            other.joules <= one.joules and (objective == "edp" or other.held <= held) for other in kept
        ):
            kept.append(one)
    return kept
