"""The contract of a part of a run that has a state: the jump compares it and moves it forward by periods.

Operations, their engines (a DRAM port's timing inside) and the ledger are such parts. Nobody but the part
itself knows what it consists of.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol


class Base(NamedTuple):
    """What a state is told relative to: the time, and the index that each operation's loop has reached.

    `slots`: at which of its loops each operation stands in it, -1 or none for those that don't. `inner`:
    those of its loops whose iterations are counted from their nearer end.
    """

    now: int
    reached: dict[int, int]
    slots: dict[int, int]
    inner: Mapping[int, tuple[int, ...]] = MappingProxyType({})


class Period(NamedTuple):
    """A period between two equal states: its ticks, and by which of its loops each operation moved on in it.

    Each of these moves on by so many iterations: `strides`. `lag` is the furthest look-back over the loop.
    `inner` are loops in which each keeps its distance from their nearer end.
    """

    ticks: int
    movers: dict[int, int]
    strides: dict[int, int]
    lag: int
    inner: Mapping[int, tuple[int, ...]] = MappingProxyType({})


class Stateful(Protocol):
    """A part of a run."""

    def state(self, base: Base) -> Hashable:
        """All that decides its future, relative to the base: equal states have the same future."""

    def mark(self) -> Any:
        """What tells a period's end from its start."""

    def alike(self, mark: Any, period: Period) -> bool:
        """Whether what it has done since the mark can be repeated as it is."""

    def longer(self, older: Any, mark: Any, rows: int) -> Any:
        """A mark such that what has been done since it is so many rows, the first by as much longer than that
        since `mark` as that was than the one since `older`, and so on.
        """

    def shift(self, mark: Any, period: Period, times: int) -> None:
        """As if it had done so many times more what it has done since the mark."""


def rows_of(now: int, mark: int, older: int, rows: int) -> int:
    """What a counter would have had so many rows ago: see `Stateful.longer`."""
    last, before = now - mark, mark - older
    return now - (rows * last + (last - before) * rows * (rows + 1) // 2)
