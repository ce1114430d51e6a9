"""DRAM so small that random programs come back to the same banks, columns and channels within a few tiles."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import msgspec

from einsim.accel.machine import Machine
from einsim.sim.dram.standard import FOLDER, names, standard

SIZES = {"channels": 1, "bank_groups": 2, "banks_per_group": 2, "bursts_per_row": 1, "burst_bytes": 2}
RATE = 50_000_000_000


def small(name: str, **sizes: int) -> str:
    """A standard's YAML with another organisation, as a file."""
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    for key, value in {**SIZES, **sizes}.items():
        text, found = re.subn(
            rf"^  {key}: {{value: \d+", f"  {key}: {{value: {value}", text, flags=re.MULTILINE
        )
        assert found == 1
    path = Path(tempfile.mkdtemp(prefix="einsim-dram-")) / f"small-{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


FILES = {name: small(name) for name in names()}
SMALL = standard(FILES["ddr4-3200"])


def timed(
    chip: Machine, timing: str, *, rate: int = RATE, refresh: str = "average", row_hit_cap: int = 0
) -> tuple[Machine, Machine]:
    """The machine with one shared DRAM port of this rate, as a pipe and by the standard."""
    root = msgspec.structs.replace(chip.dram, read_bytes_per_s=rate, write_bytes_per_s=None, shared_port=True)
    inner = tuple(memory for memory in chip.memories if memory.parent is not None)
    pipe = msgspec.structs.replace(chip, memories=(root, *inner))
    root = msgspec.structs.replace(root, timing=timing, refresh=refresh, row_hit_cap=row_hit_cap)
    return pipe, msgspec.structs.replace(chip, memories=(root, *inner))
