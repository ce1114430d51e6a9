"""Writes a recording as a Perfetto trace (protobuf), for Perfetto's viewer and its tools.

Perfetto's clock counts ns. One cycle of the machine's clock is written as 1000 of them, so that the viewer's
1 us is one cycle and a tile that starts between two cycles keeps three decimals.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from einsim.sim.trace.recording import Recording
from einsim.sim.trace.tracks import GROUPS, Track, tracks
from einsim.specs.errors import SpecError
from einsim.specs.files import replacing

NS_PER_CYCLE: Final = 1000
SEQUENCE: Final = 1  # one writer: any number that all its packets share
CLEARED: Final = 1  # TracePacket.SEQ_INCREMENTAL_STATE_CLEARED


def write_perfetto(recording: Recording, path: Path) -> None:
    """Write the trace. SpecError where the `perfetto` package is not installed."""
    try:
        # The package publishes no types.
        from perfetto.trace_builder.proto_builder import (  # type: ignore[import-untyped]
            StreamingTraceProtoBuilder,
        )
    except ImportError:
        rule = "needs the 'perfetto' package (pip install perfetto), or a name that ends in .json"
        raise SpecError("", rule, where=str(path)) from None
    with replacing(path) as part, part.open("wb") as file:
        builder = StreamingTraceProtoBuilder(file)
        for fill in _packets(recording):
            packet = builder.create_packet()
            packet.trusted_packet_sequence_id = SEQUENCE
            fill(packet)
            builder.write_packet(packet)


def _packets(recording: Recording) -> Iterator[Any]:
    """Functions that fill one packet each, in the file's order: descriptors, then events by time."""
    title = f"{recording.workload} on {recording.accel} (1 us is one cycle)"
    yield _descriptor(1, 0, title, order=0, first=True)
    found = tracks(recording)
    for order, group in enumerate(GROUPS):
        yield _descriptor(2 + order, 1, group, order=order)
    first = 2 + len(GROUPS)
    for number, track in enumerate(found):
        parent = 2 + GROUPS.index(track.group)
        yield _descriptor(first + number, parent, track.name, order=number, counter=track.group == GROUPS[-1])
    timed = [
        (stamp, order, first + number, what)
        for number, track in enumerate(found)
        for stamp, order, what in _stamps(track, recording.ticks_per_cycle)
    ]
    for stamp, _, number, what in sorted(timed, key=lambda entry: entry[:3]):
        yield _event(stamp, number, what)


def _stamps(track: Track, ticks_per_cycle: int) -> Iterator[tuple[int, int, Any]]:
    """(ns, order, what) of a track: at one ns, the end of a slice comes before the start of the next."""
    place = 0
    for event in track.events:
        yield (event.start * NS_PER_CYCLE) // ticks_per_cycle, place, event
        yield (event.end * NS_PER_CYCLE) // ticks_per_cycle, place + 1, None
        place += 2
    for tick, value in track.samples:
        yield (tick * NS_PER_CYCLE) // ticks_per_cycle, 0, value


def _descriptor(
    number: int, parent: int, name: str, *, order: int, counter: bool = False, first: bool = False
) -> Any:
    def fill(packet: Any) -> None:
        if first:
            packet.sequence_flags = CLEARED
        packet.track_descriptor.uuid = number
        packet.track_descriptor.name = name
        packet.track_descriptor.child_ordering = packet.track_descriptor.EXPLICIT
        packet.track_descriptor.sibling_order_rank = order
        if parent:
            packet.track_descriptor.parent_uuid = parent
        if counter:
            packet.track_descriptor.counter.unit = packet.track_descriptor.counter.UNIT_SIZE_BYTES

    return fill


def _event(stamp: int, number: int, what: Any) -> Any:
    def fill(packet: Any) -> None:
        packet.timestamp = stamp
        event = packet.track_event
        event.track_uuid = number
        if what is None:
            event.type = event.TYPE_SLICE_END
        elif isinstance(what, int):
            event.type = event.TYPE_COUNTER
            event.counter_value = what
        else:
            event.type = event.TYPE_SLICE_BEGIN
            event.name = what.name
            for key, text in what.details.items():
                note = event.debug_annotations.add()
                note.name, note.string_value = key, text

    return fill
