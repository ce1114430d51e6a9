"""Every trace file says what the recording says, to a reader that knows only the file's format."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from einsim.dataflow.lower import lower
from einsim.sim.trace.chrome_file import write_chrome
from einsim.sim.trace.perfetto_file import NS_PER_CYCLE, write_perfetto
from einsim.sim.trace.record import record
from einsim.sim.trace.tracks import GROUPS, STALLS, tracks
from einsim.sim.trace.waves import write_waves
from tests.dataflow.cases import program_case
from tests.sim.trace.readers import read_chrome, read_perfetto, read_vcd

SEEDS = st.integers(0, 2**32)


def recording(seed):
    case = program_case(seed, largest=7)
    assume(case is not None)
    work, chip, mapping = case
    return record(lower(mapping, work, chip), mapping, work, chip)


@settings(max_examples=10)
@given(SEEDS)
def test_a_perfetto_trace_read_by_its_wire_format_is_the_recording(tmp_path_factory, seed):
    seen = recording(seed)
    path = tmp_path_factory.mktemp("traces") / "run.pftrace"
    write_perfetto(seen, path)
    found = read_perfetto(path)
    assert {group for group, _ in found} <= set(GROUPS)
    assert len(found) == len(tracks(seen))

    def stamp(tick):
        return tick * NS_PER_CYCLE // seen.ticks_per_cycle

    for track in tracks(seen):
        kept = found[track.group, track.name]
        if track.samples:
            assert kept == [(stamp(tick), value) for tick, value in track.samples]
        else:
            assert kept == [(stamp(e.start), stamp(e.end), e.name, e.details) for e in track.events]


@settings(max_examples=10)
@given(SEEDS)
def test_a_chrome_trace_is_the_recording(tmp_path_factory, seed):
    seen = recording(seed)
    path = tmp_path_factory.mktemp("traces") / "run.json"
    write_chrome(seen, path)
    found = read_chrome(path)
    for track in tracks(seen):
        kept = found[track.group, track.name]
        assert len(kept) == len(track.samples or track.events)
        for one, event in zip(kept, track.events, strict=False):
            assert one[0] == pytest.approx(event.start / seen.ticks_per_cycle)
            assert one[1] == pytest.approx(event.end / seen.ticks_per_cycle)
            assert one[2:] == (event.name, event.details)
        for one, (tick, value) in zip(kept, track.samples, strict=False):
            assert one == (pytest.approx(tick / seen.ticks_per_cycle), value)


@settings(max_examples=8)
@given(SEEDS)
def test_waves_read_by_wellen_are_the_recording(tmp_path_factory, seed):
    seen = recording(seed)
    path = tmp_path_factory.mktemp("traces") / "run.vcd"
    write_waves(seen, path)
    values = read_vcd(path)
    for track in tracks(seen):
        scope = f"{track.group.replace(' ', '_')}.{track.name.replace('.', '_')}"
        text, flag = ("reason", "stalled") if track.group == STALLS else ("work", "busy")
        for event in track.events:
            start, end = (tick * 1000 // seen.ticks_per_cycle for tick in (event.start, event.end))
            if start < end:
                assert values[f"{scope}.{text}"](start) == event.name.replace(" ", "_")
                assert values[f"{scope}.{flag}"](start) == 1
                assert values[f"{scope}.{flag}"](end - 1) == 1
        latest = {tick * 1000 // seen.ticks_per_cycle: held for tick, held in track.samples}
        for time, held in latest.items():
            assert values[f"buffers.{track.name}_bytes"](time) == held
