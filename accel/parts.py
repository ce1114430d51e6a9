"""FPGA parts: what each offers, and the shapes that its memory blocks can be configured to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

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
_URAM_ULTRASCALE: Final = (Ram(((4096, 72),), byte_bits=(8, 9), per_block=1, cost=1024),)
_URAM_VERSAL: Final = (
    Ram(((32768, 9), (16384, 18), (8192, 36), (4096, 72)), byte_bits=(9,), per_block=1, cost=1024),
)


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


_U280: Final = Part(
    name="u280",
    device="XCU280",
    slrs=3,
    resources={"dsp": 9024, "bram36": 2016, "uram": 960, "lut": 1_303_680, "ff": 2_607_360},
    uram=_URAM_ULTRASCALE,
    fastest_hz=891e6,  # [S] AMD DS923: DSP48E2 of speed grade -3, all registers used
    int8_macs_per_dsp=2,  # WP486: two INT8 products that share a factor in one DSP48E2
    source="[S] AMD DS963, Alveo U280 data sheet",
)
_VHK158: Final = Part(
    name="vhk158",
    device="XCVH1582",
    slrs=4,
    resources={"dsp": 7392, "bram36": 2541, "uram": 1301, "lut": 1_753_984, "ff": 3_507_968},
    uram=_URAM_VERSAL,
    fastest_hz=1.15e9,  # [S] AMD DS960: DSP58 of speed grade -3, integer multiplies
    int8_macs_per_dsp=3,  # AM004: the DSP58's INT8 mode is a dot product of three elements
    source="[S] AMD Versal HBM product selection table; FF is two a LUT (UG1273: 64 and 32 in a CLB)",
)
_XCVU9P: Final = Part(
    name="xcvu9p",
    device="XCVU9P",
    slrs=3,
    resources={"dsp": 6840, "bram36": 2160, "uram": 960, "lut": 1_182_240, "ff": 2_364_480},
    uram=_URAM_ULTRASCALE,
    fastest_hz=891e6,  # [S] AMD DS923: DSP48E2 of speed grade -3, all registers used
    int8_macs_per_dsp=2,
    source="[S] AMD UltraScale+ product selection table (XMP103)",
)
PARTS: Final[Mapping[str, Part]] = {part.name: part for part in (_U280, _VHK158, _XCVU9P)} | {
    "vcu1525": _XCVU9P
}
"""Parts by the name that a machine's YAML uses; the VCU1525 board carries the XCVU9P."""
