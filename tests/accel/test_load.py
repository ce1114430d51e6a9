"""Loading: presets by name, files by path, overrides as if written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import einsim.accel
from einsim.accel.load import load_machine, preset_names
from einsim.accel.provenance import figures
from einsim.specs.errors import SpecError
from einsim.specs.loader import load_yaml

PRESETS = Path(einsim.accel.__file__).parent / "presets"
REQUIRED = {
    "fusemax-cloud", "flat-cloud", "flat-edge", "tpu-v4i", "eyeriss-like",
    "u280-flightllm", "vhk158-flightllm", "vcu1525-sat", "sa8295p",
}  # fmt: skip


def test_the_presets_are_there():
    assert set(preset_names()) >= REQUIRED
    assert list(preset_names()) == sorted(preset_names())


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_a_preset_and_its_file_are_the_same(name):
    assert load_machine(name) == load_machine(str(PRESETS / f"{name}.yaml"))


@pytest.mark.parametrize("name", ["fusemax", "", "../x", "nowhere.yaml", "a\0b.yaml", "/", "Fusemax-Cloud"])
def test_unknown_names_are_one_error(name):
    with pytest.raises(SpecError) as caught:
        load_machine(name)
    assert len(str(caught.value).splitlines()) == 1


def test_a_near_name_is_offered():
    with pytest.raises(SpecError) as caught:
        load_machine("fusemax-clod")
    message = "accel: unknown accelerator (a preset name or a .yaml file) (got 'fusemax-clod')"
    assert str(caught.value) == message + "; did you mean 'fusemax-cloud'?"


@pytest.mark.parametrize("name", sorted(REQUIRED))
@settings(max_examples=3, deadline=None)
@given(bandwidth=st.integers(10**6, 10**13))
def test_every_machine_takes_a_dram_bandwidth(name, bandwidth):
    less = load_machine(name, {"dram.bandwidth": str(bandwidth)})
    more = load_machine(name, {"dram.bandwidth": str(2 * bandwidth)})
    assert less.dram.read_bytes_per_s < more.dram.read_bytes_per_s
    assert less.units == more.units


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_an_override_with_the_written_value_changes_only_its_source(name):
    once = load_machine(name)
    again = load_machine(name, {"clock": str(int(once.clock_hz))})
    assert again.sources == {**once.sources, "clock": "set by the user"}
    assert (again.units, again.memories, again.area_um2) == (once.units, once.memories, once.area_um2)


def test_the_order_of_overrides_does_not_matter():
    one = load_machine("fusemax-cloud", {"array.rows": "128", "buffer": "8MiB"})
    other = load_machine("fusemax-cloud", {"buffer": "8MiB", "array.rows": "128"})
    assert one == other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"array.rows": "0"}, "--set array.rows: must be >= 1 (got 0)"),
        ({"array.rows": "-4"}, "--set array.rows: must be >= 1 (got -4)"),
        ({"array.rows": "1000000"}, "--set array.rows: must be <= 65536 (got 1000000)"),
        ({"array.rows": "16MiB"}, "--set array.rows: must be an integer (got '16MiB')"),
        ({"array.rws": "4"}, "--set array.rws: unknown key; did you mean 'rows'?"),
        ({"buffer": "-16MiB"}, "--set buffer: must be >= 1 bytes (got '-16MiB')"),
        ({"buffer": "16"}, None),
        ({"dram.bandwith": "1GB/s"}, "--set dram.bandwith: unknown key; did you mean 'bandwidth'?"),
        (
            {"dram.bandwidth": "1GB"},
            "--set dram.bandwidth: unit 'GB' is not one of bytes/s (got '1GB'); did you mean",
        ),
        ({"clock": "1EHz"}, "--set clock: unit 'EHz' is not one of Hz (got '1EHz'); did you mean"),
        ({"family": "npu"}, "unknown key"),
        ({"array.ops.mac.energy": "-1"}, "--set array.ops.mac.energy: must be >= 0 pJ (got -1)"),
        (
            {"array.kind": "systolc"},
            "--set array.kind: unknown value (got 'systolc'); did you mean 'systolic'?",
        ),
    ],
)
def test_override_refusals(change, message):
    if message is None:
        assert load_machine("fusemax-cloud", change).memory("gb").capacity_bytes == 16
        return
    with pytest.raises(SpecError) as caught:
        load_machine("fusemax-cloud", change)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["fusemax-cloud", "u280-flightllm", "sa8295p"])  # one a family
def test_any_value_anywhere_is_a_machine_or_one_error(name):
    paths = figures(load_yaml(PRESETS / f"{name}.yaml").data)
    parents = {path.rpartition(".")[0] for path in paths} - {""}
    for path in (*paths, *parents, "sources", "assumed", "family"):
        for text in ("0", "-1", "1e30", "x", "null", "[]", "{}"):
            try:
                outcome = load_machine(name, {path: text}).name
            except SpecError as error:
                outcome = str(error)
            assert len(outcome.splitlines()) == 1
            assert "xpected `" not in outcome, "a message of msgspec came through"
