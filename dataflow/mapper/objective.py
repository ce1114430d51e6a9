"""What a search minimises: objectives, the figure that breaks each one's ties, the dominance filter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from einsim.specs.compiled import njit

Objective = Literal["latency", "energy", "edp", "buffer", "pareto"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)

#: How an archive compares what it holds: by the columns of a row (PARTS), by (ticks, joules, bytes) or
#: (ticks, joules), keeping all that nothing dominates; from LATENCY on by an objective, keeping the best.
PARTS, FRONT, PAIR, LATENCY, ENERGY, EDP, BUFFER = range(7)
MODES = {"latency": LATENCY, "energy": ENERGY, "edp": EDP, "buffer": BUFFER, "pareto": FRONT}

Key = tuple[float, float]

#: Objectives that are the sum of the groups' own.
ADDITIVE = ("latency", "energy")
Item = TypeVar("Item")


def order(mode: int, ticks: float, joules: float, held: float) -> Key:
    """The objective, then the figure that breaks ties; smaller is better. Fronts begin with the fastest."""
    if mode == ENERGY:
        return joules, ticks
    if mode == EDP:
        return ticks * joules, ticks
    if mode == BUFFER:
        return held, ticks
    return ticks, joules


compiled_order: Any = njit(error_model="numpy", nogil=True, allocates=False)(order)


def key_by(objective: str, ticks: float, joules: float, held: float) -> Key:
    """`order` by an objective's name."""
    return order(MODES[objective], ticks, joules, held)


def mode_of(objective: str, alone: bool) -> int:
    """How groups are compared: by the objective where groups add up (or there is one), else as a front."""
    return PAIR if objective == "edp" and not alone else MODES[objective]


def nondominated(items: Iterable[Item], figures: Callable[[Item], tuple[float, ...]]) -> list[Item]:
    """The items that no other is as good as in every figure, ascending; of equal ones the first."""
    every = sorted(items, key=figures)
    rows = np.array([figures(one) for one in every])
    front, kept = np.empty_like(rows), list[int]()
    for at, row in enumerate(rows):
        if not np.all(front[: len(kept)] <= row, axis=1).any():
            front[len(kept)] = row
            kept.append(at)
    return [every[at] for at in kept]
