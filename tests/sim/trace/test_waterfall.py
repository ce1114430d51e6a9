"""The waterfall draws what was recorded, the same bytes each time, and refuses what nobody could see."""

from __future__ import annotations

import re

import pytest

from einsim.sim.trace import waterfall
from einsim.sim.trace.recording import Level, Recording, Span, Stall
from einsim.specs.errors import SpecError

COLOURS = {"QK": "#3b7dd8", "load K": "#b9a5cf", "unseen": "#123456"}


def small(**changes):
    spans = (
        Span(engine="dram", name="load K", kind="load", iteration="m=0", start=0, end=40),
        Span(engine="array", name="QK", kind="compute", iteration="m=0", start=40, end=100),
    )
    values = {
        "workload": "w", "accel": "a", "mapping": "w on a (flat)\nfor m/1", "clock_hz": 1e9, "ticks_per_cycle": 2,
        "begin": 0, "end": 100, "ended": True, "units": ("array",), "ports": ("dram", "gb"), "spans": spans,
        "stalls": (Stall(unit="array", cause="bandwidth", what="dram", start=0, end=40),),
        "levels": (Level(memory="gb", tick=0, held_bytes=1024),),
    }  # fmt: skip
    return Recording(**(values | changes))


def drawn(tmp_path, recording, name="w.svg"):
    waterfall.write_waterfall(recording, tmp_path / name, COLOURS)
    return (tmp_path / name).read_bytes()


def test_a_bar_of_its_colour_for_every_span_and_its_length_in_cycles(tmp_path):
    text = drawn(tmp_path, small()).decode()
    bars = re.findall(
        r'<path d="M ([\d.]+) [\d.]+ \nL ([\d.]+) [^"]*" clip-path[^>]*style="fill: (#\w+)', text
    )
    found = {colour: [] for _, _, colour in bars}
    for left, right, colour in bars:
        found[colour].append(abs(float(right) - float(left)))
    assert found["#3b7dd8"][0] / found["#b9a5cf"][0] == pytest.approx(60 / 40, rel=0.01)
    assert "#123456" not in text  # an Einsum outside the window is not in the legend
    for name in ("w on a (flat)", "starved by dram", "QK", "load K", "cycles", "gb (1 KiB)"):
        assert f"<!-- {name} -->" in text
    assert "<!-- gb -->" not in text  # a port that moved nothing has no lane


@pytest.mark.parametrize("name", ["w.svg", "w.png"])
def test_the_same_recording_gives_the_same_bytes(tmp_path, name):
    assert drawn(tmp_path, small(), name) == drawn(tmp_path, small(), name)


def test_a_window_with_too_much_in_it_is_refused(tmp_path):
    crowded = small(spans=small().spans * 1501)
    with pytest.raises(
        SpecError, match=r"at most 3000 spans; choose a shorter window with --to \(got 3002\)"
    ):
        drawn(tmp_path, crowded)
