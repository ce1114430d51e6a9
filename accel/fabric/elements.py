"""Elements of RTL and what they take: registers, selectors, multipliers, lane memories.

Flip-flops and DSPs are counted bit by bit. LUTs of an element are what Yosys 0.70 (`synth_xilinx`, xc7)
makes of it alone; the syntheses stand in validation/fpga/elements.csv.
"""

from __future__ import annotations

from typing import Final

import msgspec

from einsim.specs.errors import RuleError

NARROWEST_DSP_BITS: Final = 5
"""Products below 9 bits stay in LUTs (Yosys, techlibs/common mul2dsp.v: DSP_Y_MINWIDTH 9)."""
WIDEST_BITS: Final = 18
"""A DSP48's narrower signed operand (UG479)."""
SOFT_MULTIPLIER_LUTS: Final = {2: 2, 3: 12, 4: 28}
"""LUTs of a signed multiplier too narrow for a DSP, by operand bits."""


class Take(msgspec.Struct, frozen=True):
    """LUTs, flip-flops and DSPs of something; sums and multiples of it are taken with + and *."""

    lut: float = 0.0
    ff: int = 0
    dsp: int = 0

    def __add__(self, other: Take) -> Take:
        return Take(self.lut + other.lut, self.ff + other.ff, self.dsp + other.dsp)

    def __mul__(self, copies: int) -> Take:
        return Take(self.lut * copies, self.ff * copies, self.dsp * copies)

    def resources(self) -> dict[str, int]:
        """Whole numbers by the keys of `einsim.accel.parts.RESOURCES`."""
        return {"dsp": self.dsp, "lut": round(self.lut), "ff": self.ff}


def check_bits(bits: int) -> None:
    """RuleError for operands that these counts don't cover."""
    if not min(SOFT_MULTIPLIER_LUTS) <= bits <= WIDEST_BITS:
        raise RuleError(f"must be {min(SOFT_MULTIPLIER_LUTS)} to {WIDEST_BITS}", got=bits, at=("bits",))


def uses_dsp(bits: int) -> bool:
    """Whether a multiplier of two signed operands of `bits` is a DSP."""
    return bits >= NARROWEST_DSP_BITS


def index_bits(group: int) -> int:
    """Bits that select one of a group, at least one."""
    return max(1, (group - 1).bit_length())


def delay(words: int, bits: int) -> Take:
    """A line of `words` registers with reset and enable: flip-flops, never a shift-register LUT."""
    return Take(ff=words * bits)


def skew(lanes: int, bits: int) -> Take:
    """Lane i late by i cycles."""
    return delay(lanes * (lanes - 1) // 2, bits)


def and_or(inputs: int) -> float:
    """LUTs a bit of a selector of one-hot inputs: a LUT6 takes three (select, value) pairs, then fewer."""
    if inputs <= 1:
        return float(inputs)
    return 1.0 if inputs <= 3 else 2.0 if inputs <= 5 else 0.55 * inputs


def chosen_by_index(inputs: int, bits: int) -> float:
    """LUTs of a selector by a binary index; up to four inputs are one LUT6 a bit."""
    if inputs <= 1:
        return 0.0
    return float(bits if inputs <= 4 else bits * (inputs - 2))


def lane_memory(words: int, bits: int) -> Take:
    """Distributed RAM, read in the same cycle: four LUTs hold 32 words of 6 bits or 64 words of 3 (UG474)."""
    address = max(1, (words - 1).bit_length())
    if address <= 5:
        return Take(lut=4.0 * -(-bits // 6))
    rows = 1 << (address - 6)
    selecting = 0.0 if rows == 1 else bits * max(1.0, rows / 2 - 1) + rows
    return Take(lut=4.0 * rows * -(-bits // 3) + selecting)
