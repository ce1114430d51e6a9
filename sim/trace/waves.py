"""A recording as waves: what units and ports work on, why a unit stands still, how full buffers are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from einsim.sim.trace.recording import Recording
from einsim.sim.trace.tracks import BUFFERS, STALLS, Track, tracks
from einsim.sim.trace.vcd import PS_PER_CYCLE, Signal, write_vcd

IDLE: Final = "-"


def write_waves(recording: Recording, path: Path) -> None:
    """Write a VCD: `busy` and `work` of units and ports, `stalled` and `reason`, bytes of buffers."""
    end = recording.end * PS_PER_CYCLE // recording.ticks_per_cycle
    title = f"{recording.workload} on {recording.accel}"
    write_vcd(signals(recording), path, end=end, comment=title)


def signals(recording: Recording) -> Iterator[Signal]:
    """The variables of a recording, scoped `units.array2d`, `memory_ports.dram`, `buffers`."""
    begin = recording.begin * PS_PER_CYCLE // recording.ticks_per_cycle
    for track in tracks(recording):
        scope = (_identifier(track.group), _identifier(track.name))
        if track.group == BUFFERS:
            samples = tuple(
                (tick * PS_PER_CYCLE // recording.ticks_per_cycle, value) for tick, value in track.samples
            )
            yield Signal(scope=scope[:1], name=f"{scope[1]}_bytes", bits=64, changes=samples)
            continue
        work = _changes(track, recording.ticks_per_cycle, begin)
        text, flag = ("reason", "stalled") if track.group == STALLS else ("work", "busy")
        yield Signal(scope=scope, name=text, bits=0, changes=tuple(work))
        busy = tuple((time, int(name != IDLE)) for time, name in work)
        yield Signal(scope=scope, name=flag, bits=1, changes=busy)


def _changes(track: Track, ticks_per_cycle: int, begin: int) -> list[tuple[int, str]]:
    """Names by time, `-` where nothing happens; one event that follows another at once leaves no gap."""
    found: dict[int, str] = {begin: IDLE}
    for event in track.events:
        found[event.start * PS_PER_CYCLE // ticks_per_cycle] = event.name
        found[event.end * PS_PER_CYCLE // ticks_per_cycle] = IDLE
    return sorted(found.items())


def _identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name)
