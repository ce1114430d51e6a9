"""FPGA parts: what each offers, and the shapes that its memory blocks can be configured to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

RESOURCES: Final = {"dsp": "DSP", "bram36": "BRAM36", "uram": "URAM", "lut": "LUT", "ff": "FF"}
"""Resource keys and the names that people know them by."""

Shapes = tuple[tuple[int, int], ...]
"""Depth and width in bits of every configuration of one memory block."""

# Simple dual-port shapes of a 36 Kb block RAM: UG573 (UltraScale), UG1273 and AM007 (Versal).
BRAM36_SHAPES: Final[Shapes] = ((512, 72), (1024, 36), (2048, 18), (4096, 9))
# A 288 Kb UltraRAM is fixed at 4K x 72 in UltraScale+ (UG573) and has four shapes in Versal (UG1273, AM007).
_URAM_ULTRASCALE: Final[Shapes] = ((4096, 72),)
_URAM_VERSAL: Final[Shapes] = ((4096, 72), (8192, 36), (16384, 18), (32768, 9))


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One FPGA: resources by the keys of `RESOURCES`, super logic regions, UltraRAM shapes, source."""

    name: str
    device: str
    slrs: int
    resources: dict[str, int]
    uram_shapes: Shapes
    int8_macs_per_dsp: int
    source: str

    def shapes(self, ram: str) -> Shapes:
        """Block shapes of `bram` or `uram`."""
        return BRAM36_SHAPES if ram == "bram" else self.uram_shapes


_U280: Final = Part(
    name="u280",
    device="XCU280",
    slrs=3,
    resources={"dsp": 9024, "bram36": 2016, "uram": 960, "lut": 1_303_680, "ff": 2_607_360},
    uram_shapes=_URAM_ULTRASCALE,
    int8_macs_per_dsp=2,  # WP486: two INT8 products that share a factor in one DSP48E2
    source="[S] AMD DS963, Alveo U280 data sheet",
)
_VHK158: Final = Part(
    name="vhk158",
    device="XCVH1582",
    slrs=4,
    resources={"dsp": 7392, "bram36": 2541, "uram": 1301, "lut": 1_753_984, "ff": 3_507_968},
    uram_shapes=_URAM_VERSAL,
    int8_macs_per_dsp=3,  # AM004: the DSP58's INT8 mode is a dot product of three elements
    source="[S] AMD Versal HBM product selection table; FF is two a LUT (UG1273: 64 and 32 in a CLB)",
)
_XCVU9P: Final = Part(
    name="xcvu9p",
    device="XCVU9P",
    slrs=3,
    resources={"dsp": 6840, "bram36": 2160, "uram": 960, "lut": 1_182_240, "ff": 2_364_480},
    uram_shapes=_URAM_ULTRASCALE,
    int8_macs_per_dsp=2,
    source="[S] AMD UltraScale+ product selection table (XMP103)",
)
PARTS: Final[Mapping[str, Part]] = {part.name: part for part in (_U280, _VHK158, _XCVU9P)} | {
    "vcu1525": _XCVU9P
}
"""Parts by the name that a machine's YAML uses; the VCU1525 board carries the XCVU9P."""
