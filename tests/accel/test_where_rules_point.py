"""A rule about a bus, a network or a memory says which one, by file, line and path."""

from __future__ import annotations

from pathlib import Path

import pytest

from einsim.accel.load import load_machine
from einsim.specs.errors import SpecError

UNITS = "units:\n  a: {kind: array, dims: {rows: 2, cols: 2}, reads_from: gb, ops: {mac: {}}}\n"
ALONE = "  dram: {}\n  gb: {parent: dram}\n"
CASES = {
    "  dram: {}\n  gb: {parent: dram, bus: wide}\n":
        "5 accel.memories.gb.bus_bandwidth: is missing beside bus: gb's bus needs both",
    "  dram: {}\n  gb: {parent: dram, bus_bandwidth: 4GB/s}\n":
        "5 accel.memories.gb.bus: is missing beside bus_bandwidth: gb's bus needs both",
    "  dram: {bus: b, bus_bandwidth: 4GB/s}\n  gb: {parent: dram}\n":
        "4 accel.memories.dram.bus: stands on the memory that is filled, not on DRAM",
    "  dram: {}\n  gb: {parent: dram, bus: b, bus_bandwidth: 4GB/s}\n"
    "  gc: {parent: dram, bus: b, bus_bandwidth: 5GB/s}\n":
        "6 accel.memories.gc.bus_bandwidth: must be as gb says of bus 'b', 4,000,000,000 (got 5000000000)",
    "  dram: {}\n  gb: {parent: nope}\n":
        "5 accel.memories.gb.parent: no memory of this name (got 'nope'); known: dram, gb",
    "  dram: {}\n": "6 accel.units.a.reads_from: no memory of this name (got 'gb'); known: dram",
    "  dram: {}\n  gb: {parent: dram, bandwidth: 4GB/s, timing: ddr4-3200}\n":
        "5 accel.memories.gb.timing: only DRAM, the memory without a parent, has one (got 'ddr4-3200')",
    f"{ALONE}noc: {{bandwidth: 4GB/s}}\n":
        "6 accel.noc: needs a unit with several cores that reads from a memory other than DRAM",
    f"{ALONE}multicast: false\nnoc: {{bandwidth: 4GB/s, multicast: true}}\n":
        "7 accel.noc.multicast: must be false: the cores of this machine share no reads (got 'true')",
}  # fmt: skip


@pytest.mark.parametrize("memories", CASES)
def test_the_message_has_file_line_and_path(memories: str, tmp_path: Path) -> None:
    file = tmp_path / "chip.yaml"
    file.write_text(f"machine: chip\nclock: 1GHz\nmemories:\n{memories}{UNITS}")
    with pytest.raises(SpecError) as refused:
        load_machine(str(file))
    assert str(refused.value) == f"{file}:{CASES[memories]}"


def test_a_setting_that_breaks_the_rule_is_named() -> None:
    with pytest.raises(SpecError, match=r"--set noc\.bandwidth: is no part of a DPU"):
        load_machine("dpu-b4096", {"noc.bandwidth": "4GB/s"})
