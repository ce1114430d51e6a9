"""A power cap: what a machine may draw, and how energy follows the clock that it is held down to."""

from __future__ import annotations

from typing import Annotated

import msgspec

from einsim.specs.errors import RuleError
from einsim.specs.units import Watts

Exponent = Annotated[float, msgspec.Meta(ge=0, le=4)]


class Power(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cap in watts, and the power of the clock by which the energy of what is done on the chip falls."""

    cap_w: float
    exponent: float = 2.0


class WrittenPower(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the machine may draw: `{cap: 700W, exponent: 2, static: 160W}`."""

    cap: Watts
    """Mean power of a run at most: clocks and rates of all but DRAM are held down until it meets this."""
    exponent: Exponent = 2.0
    """Energy of what is done on the chip falls with this power of the clock (2: voltage in proportion to it);
    that of DRAM and `static` don't.
    """
    static: Watts | None = None
    """Power that is drawn all the time; stands for the machine's `leakage`."""

    def power(self, static_w: float) -> Power:
        """The machine's, which draws so much all the time; RuleError where that leaves nothing for work."""
        if float(self.cap) <= static_w:
            rule = f"must be above the {static_w:g} W that are drawn all the time"
            raise RuleError(rule, got=f"{float(self.cap):g} W", at=("power", "cap"))
        return Power(cap_w=float(self.cap), exponent=self.exponent)
