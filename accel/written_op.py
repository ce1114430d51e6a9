"""An op of a unit as a machine's YAML writes it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from einsim.accel.machine import OpCost
from einsim.specs.schema import text
from einsim.specs.units import Picojoules

Cycles = Annotated[int, msgspec.Meta(ge=1, le=10**6)]
Latency = Annotated[int, msgspec.Meta(ge=0, le=10**6)]

Widths = Annotated[
    str, text("[1-9][0-9]{0,2}(x[1-9][0-9]{0,2})?", "bits such as 16, or 16x8 for two operands")
]
"""Bits of operands: `16` for both, `16x8` where they differ."""


class WrittenWidth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An op on operands of one width: `16: {cycles: 4, energy: 1.2pJ}`."""

    cycles: Cycles = 1
    """Cycles between two issues of the op on one lane, on operands of this width."""
    energy: Picojoules | None = None
    """Energy of one op on one lane, on operands of this width; not stated where it is left out."""


def stated(written: float | None) -> float | None:
    """A quantity as a number; None where it isn't written."""
    return None if written is None else float(written)


class WrittenOp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One op as written: `exp: {made_of: {mac: 6}}` or `mac: {cycles: 1, energy: 17.1645pJ}`."""

    cycles: Cycles = 1
    """Cycles between two issues of this op on one lane."""
    energy: Picojoules | None = None
    """Energy of one op on one lane; not stated where it is left out."""
    made_of: Annotated[dict[str, Cycles], msgspec.Meta(min_length=1)] | None = None
    """Other ops of this unit that it is issued as, such as `{mac: 6}`: its cycles and energy are theirs."""
    latency_cycles: Latency = 0
    """Further cycles until the result is visible."""
    by_bits: dict[Widths, WrittenWidth] = {}
    """The op on operands of other widths than the unit's `bits`: `{16: {cycles: 2, energy: 0.9pJ}}`, or
    `16x8` where the operands of a product differ. Widths in neither are made of passes of a narrower one.
    """

    def cost(self) -> OpCost:
        """The machine's op."""
        return OpCost(
            cycles=self.cycles,
            energy_pj=stated(self.energy),
            made_of=self.made_of,
            latency_cycles=self.latency_cycles,
            by_bits={
                bits: OpCost(
                    cycles=one.cycles, energy_pj=stated(one.energy), latency_cycles=self.latency_cycles
                )
                for bits, one in self.by_bits.items()
            },
        )
