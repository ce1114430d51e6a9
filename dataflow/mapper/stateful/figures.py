"""What a point of the stateful space costs, and a share of it."""

from __future__ import annotations

import msgspec


class CostTerm(msgspec.Struct, frozen=True, kw_only=True):
    """A share of a mapping's cost: ticks by engine, and joules without leakage."""

    ticks: tuple[tuple[str, int], ...]
    joules: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a point costs. `bound` are the analytical model's ticks, `ticks` those with the pipeline's pace;
    `held` bytes by memory or by the unit whose registers hold them.
    """

    ticks: int
    bound: int
    joules: float
    held: dict[str, int]
    fits: bool

    @property
    def bytes_held(self) -> int:
        """All bytes held on chip."""
        return sum(self.held.values())
