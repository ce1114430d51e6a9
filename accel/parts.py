"""FPGA parts: what each offers, and the shapes that its memory blocks can be configured to."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, Literal

import msgspec

from einsim.specs.errors import RuleError
from einsim.specs.loader import decode, load_yaml
from einsim.specs.near import near
from einsim.specs.units import Hertz

_DEVICES: Final = Path(__file__).parent / "devices"
RESOURCES: Final = {"dsp": "DSP", "bram36": "BRAM36", "uram": "URAM", "lut": "LUT", "ff": "FF"}
"""Resource keys and the names that people know them by."""

Shapes = tuple[tuple[int, int], ...]
"""Depth and width in bits of every configuration of one memory block, narrowest first."""


class Ram(msgspec.Struct, frozen=True):
    """One kind of memory block: its shapes, the bits that share a write enable (one of `byte_bits` is
    chosen), how many make up the block that a part is sold with, and its cost as Yosys weighs it.
    """

    shapes: Shapes
    byte_bits: tuple[int, ...]
    per_block: int
    cost: int


def _simple_dual_port(kilobits: int) -> Shapes:
    """1, 2, 4 bits without parity, then 9 to 72 with it: UG573 (UltraScale), AM007 (Versal)."""
    plain = 1024 * kilobits * 8 // 9
    widths = (1, 2, 4, 9, 18, 36) if kilobits == 18 else (1, 2, 4, 9, 18, 36, 72)
    return tuple((plain // (width if width < 9 else width * 8 // 9), width) for width in widths)


# Costs: Yosys 0.70, techlibs/xilinx brams_xc4v.txt and urams.txt.
BRAM: Final = (
    Ram(_simple_dual_port(18), byte_bits=(9,), per_block=2, cost=129),
    Ram(_simple_dual_port(36), byte_bits=(9,), per_block=1, cost=257),
)
"""A 36 Kb block RAM, whole or as one of its halves."""
# A 288 Kb UltraRAM is fixed at 4K x 72 in UltraScale+ (UG573) and has four shapes in Versal (UG1273, AM007).
_URAMS: Final[dict[str, tuple[Ram, ...]]] = {
    "none": (),
    "ultrascale": (Ram(((4096, 72),), byte_bits=(8, 9), per_block=1, cost=1024),),
    "versal": (
        Ram(((32768, 9), (16384, 18), (8192, 36), (4096, 72)), byte_bits=(9,), per_block=1, cost=1024),
    ),
}


class WrittenPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part's file in `accel/devices`, named as machines name it; several boards may carry one device."""

    device: str
    slrs: int
    resources: dict[str, int]
    uram: Literal["none", "ultrascale", "versal"]
    fastest: Hertz
    int8_macs_per_dsp: int
    source: str


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One FPGA: resources by the keys of `RESOURCES`, super logic regions, UltraRAM, source.

    `fastest_hz` is the clock of its DSPs in the fastest speed grade.
    """

    name: str
    device: str
    slrs: int
    resources: dict[str, int]
    uram: tuple[Ram, ...]
    fastest_hz: float
    int8_macs_per_dsp: int
    source: str

    def rams(self, ram: str) -> tuple[Ram, ...]:
        """Kinds of block that a `bram` or `uram` buffer can be built of."""
        return BRAM if ram == "bram" else self.uram


def part_names() -> tuple[str, ...]:
    """Parts and boards by the names that a machine's YAML uses."""
    return tuple(sorted(path.stem for path in _DEVICES.glob("*.yaml")))


@cache
def part_named(name: str) -> Part:
    """The part or board of a name; RuleError for an unknown one."""
    if name not in part_names():
        raise RuleError("unknown part", got=name, hint=near(name, part_names()), at=("part",))
    path = _DEVICES / f"{name}.yaml"
    written = decode(load_yaml(path, path.name), WrittenPart, "part")
    return Part(
        name=path.stem, device=written.device, slrs=written.slrs, resources=written.resources,
        uram=_URAMS[written.uram], fastest_hz=float(written.fastest),
        int8_macs_per_dsp=written.int8_macs_per_dsp, source=written.source,
    )  # fmt: skip
