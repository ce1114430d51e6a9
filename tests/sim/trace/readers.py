"""Readers of trace files that share nothing with their writers: protobuf by its wire format, VCD by wellen."""

from __future__ import annotations

import json
import struct

import pywellen


def fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """(field number, value) of one protobuf message, by the wire format alone."""
    found, at = [], 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            found.append((number, varint()))
        elif kind == 2:
            size = varint()
            assert at + size <= len(data)
            found.append((number, data[at : at + size]))
            at += size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            found.append((number, struct.unpack_from("<q" if kind == 1 else "<i", data, at)[0]))
            at += size
        else:
            raise AssertionError(f"wire type {kind}")
    return found


def one(message, number, default=None):
    found = [value for field, value in message if field == number]
    return found[-1] if found else default


def read_perfetto(path):
    """{(group, track): slices or samples}, each slice (start ns, end ns, name, details).

    Field numbers: Trace.packet 1; TracePacket.timestamp 8, track_event 11, track_descriptor 60,
    trusted_packet_sequence_id 10; TrackDescriptor.uuid 1, name 2, parent_uuid 5, counter 8;
    TrackEvent.type 9, track_uuid 11, name 23, counter_value 30, debug_annotations 4;
    DebugAnnotation.name 10, string_value 6 (protos/perfetto/trace of Perfetto).
    """
    names, parents, counters, open_slices, found = {}, {}, set(), {}, {}
    before = {}
    for number, packet in fields(path.read_bytes()):
        assert number == 1
        message = fields(packet)
        assert one(message, 10) == 1
        described = one(message, 60)
        if described is not None:
            track = fields(described)
            uuid = one(track, 1)
            names[uuid], parents[uuid] = one(track, 2).decode(), one(track, 5)
            if one(track, 8) is not None:
                counters.add(uuid)
            found.setdefault(uuid, [])
            continue
        time, event = one(message, 8, 0), fields(one(message, 11))
        uuid, kind = one(event, 11), one(event, 9)
        assert time >= before.get(uuid, 0)  # a track's events come in order
        before[uuid] = time
        if kind == 4:
            assert uuid in counters
            found[uuid].append((time, one(event, 30, 0)))
        elif kind == 1:
            assert uuid not in open_slices  # slices of a track don't overlap
            notes = [fields(value) for field, value in event if field == 4]
            details = {one(note, 10).decode(): one(note, 6).decode() for note in notes}
            open_slices[uuid] = (time, one(event, 23).decode(), details)
        else:
            assert kind == 2
            start, name, details = open_slices.pop(uuid)
            found[uuid].append((start, time, name, details))
    assert not open_slices
    return {(names[parents[u]], names[u]): kept for u, kept in found.items() if parents[u] not in (None, 1)}


def read_chrome(path):
    """{(group, track): slices or samples}, times in cycles."""
    events = json.loads(path.read_text())["traceEvents"]
    groups = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    named = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    found = {(groups[pid], name): [] for (pid, _), name in named.items()}
    for event in events:
        if event["ph"] == "M":
            continue
        where = groups[event["pid"]], named[event["pid"], event["tid"]]
        if event["ph"] == "C":
            found[where].append((event["ts"], event["args"]["bytes"]))
        else:
            assert event["ph"] == "X"
            found[where].append((event["ts"], event["ts"] + event["dur"], event["name"], event["args"]))
    return found


def read_vcd(path):
    """{full name: function from a time in ps to the value}, as wellen reads it."""
    wave = pywellen.Waveform(str(path))
    assert str(wave.timescale) == "1ps"
    return {str(var.full_name): var.signal.value_at for var in wave.all_vars()}
