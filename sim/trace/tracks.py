"""A recording as tracks: what a trace viewer shows, whatever file it reads."""

from __future__ import annotations

import msgspec

from einsim.sim.breakdown import reason
from einsim.sim.trace.recording import Recording

UNITS, STALLS, PORTS, BUFFERS = "units", "stalls", "memory ports", "buffers"
GROUPS = (UNITS, STALLS, PORTS, BUFFERS)


class TraceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A slice of a track, from tick to tick, with what a viewer shows when it is clicked."""

    name: str
    start: int
    end: int
    details: dict[str, str]


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a viewer: slices in order that don't overlap, or samples (tick, bytes) of a counter."""

    group: str
    name: str
    events: tuple[TraceEvent, ...] = ()
    samples: tuple[tuple[int, int], ...] = ()


def tracks(recording: Recording) -> tuple[Track, ...]:
    """A track for each unit, for its stalls, for each port that moved something, and for each buffer."""
    work: dict[str, list[TraceEvent]] = {name: [] for name in (*recording.units, *recording.ports)}
    for span in recording.spans:
        details = {"kind": span.kind, "iteration": span.iteration}
        work[span.engine].append(TraceEvent(name=span.name, start=span.start, end=span.end, details=details))
    waits: dict[str, list[TraceEvent]] = {name: [] for name in recording.units}
    for stall in recording.stalls:
        name = reason(stall.cause, stall.what)
        details = {"cause": stall.cause, "what": stall.what}
        waits[stall.unit].append(TraceEvent(name=name, start=stall.start, end=stall.end, details=details))
    levels: dict[str, list[tuple[int, int]]] = {}
    for level in recording.levels:
        levels.setdefault(level.memory, []).append((level.tick, level.held_bytes))
    return (
        *(Track(group=UNITS, name=unit, events=tuple(work[unit])) for unit in recording.units),
        *(Track(group=STALLS, name=unit, events=tuple(waits[unit])) for unit in recording.units),
        *(Track(group=PORTS, name=port, events=tuple(work[port])) for port in recording.ports),
        *(Track(group=BUFFERS, name=name, samples=tuple(kept)) for name, kept in sorted(levels.items())),
    )
