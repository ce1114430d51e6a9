"""Writes a recording in the Chrome trace event format (JSON): Perfetto's viewer and older ones open it.

Format: Google, "Trace Event Format": complete events "X", counters "C" and metadata "M". `ts` and `dur` are
in us, and here 1 us is one cycle of the machine's clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from einsim.sim.trace.recording import Recording
from einsim.sim.trace.tracks import GROUPS, tracks
from einsim.specs.files import replacing


def write_chrome(recording: Recording, path: Path) -> None:
    """Write the trace: a process for each group of tracks, a thread for each track."""
    head = {
        "workload": recording.workload, "accel": recording.accel, "mapping": recording.mapping,
        "clock_hz": recording.clock_hz, "time": "1 us is one cycle",
    }  # fmt: skip
    with replacing(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(f'{{"otherData": {json.dumps(head)},\n"traceEvents": [\n')
        file.write(",\n".join(json.dumps(event) for event in _events(recording)))
        file.write("\n]}\n")


def _events(recording: Recording) -> Iterator[dict[str, Any]]:
    for process, group in enumerate(GROUPS, start=1):
        yield {"ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": {"name": group}}
        order = {"sort_index": process}
        yield {"ph": "M", "name": "process_sort_index", "pid": process, "tid": 0, "args": order}
    for thread, track in enumerate(tracks(recording), start=1):
        process = GROUPS.index(track.group) + 1
        place: dict[str, Any] = {"pid": process, "tid": thread}
        yield {"ph": "M", "name": "thread_name", **place, "args": {"name": track.name}}
        for event in track.events:
            start, end = recording.cycle(event.start), recording.cycle(event.end)
            span = {"ts": start, "dur": end - start}
            yield {"ph": "X", "name": event.name, **place, **span, "args": event.details}
        for tick, value in track.samples:
            at = {"ts": recording.cycle(tick)}
            yield {"ph": "C", "name": track.name, **place, **at, "args": {"bytes": value}}
