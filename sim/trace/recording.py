"""A recorded window of a run: spans of units and ports, stalls with their reasons, levels of the buffers."""

from __future__ import annotations

import msgspec


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """An engine at work from `start` to `end`, in ticks, cut to the window. `iteration` is "m1=3 p=0"."""

    engine: str
    name: str
    kind: str  # "compute", "load" or "store"
    iteration: str
    start: int
    end: int


class Stall(msgspec.Struct, frozen=True, kw_only=True):
    """A unit that stood still from tick `start` to `end`; `cause` and `what` as in `einsim.sim.breakdown`."""

    unit: str
    cause: str
    what: str
    start: int
    end: int


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes held by the tiles in a memory, or in a unit's registers, from this tick on."""

    memory: str
    tick: int
    held_bytes: int


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in ticks `begin` to `end`; `ended` says that the run was over by then.

    `units` and `ports` are the engines in the machine's order. Spans, stalls and levels are sorted by time.
    """

    workload: str
    accel: str
    mapping: str
    clock_hz: float
    ticks_per_cycle: int
    begin: int
    end: int
    ended: bool
    units: tuple[str, ...]
    ports: tuple[str, ...]
    spans: tuple[Span, ...]
    stalls: tuple[Stall, ...]
    levels: tuple[Level, ...]

    def cycle(self, tick: int) -> float:
        """A time in cycles of the machine's clock."""
        return tick / self.ticks_per_cycle
