"""How long a simulation may go on unasked: so many tiles one by one, after which it is refused with a hint.

Tiles, not seconds: what is refused is the same on every machine.
"""

from __future__ import annotations

import math
from typing import Final

from einsim.accel.machine import Machine
from einsim.dataflow.account import static_counts
from einsim.dataflow.program import Program
from einsim.dataflow.result import Result
from einsim.specs.errors import SpecError

MOST_TILES: Final = 300_000
"""Tiles that a run goes through one by one, skipped periods aside: some ten seconds."""
LOWER_BOUND: Final = "--level analytical gives a lower bound at once, --long lets it go on"


def patience(*, long: bool) -> float:
    """Tiles that a run may go through; endless where it was said that it may be `long`."""
    return math.inf if long else MOST_TILES


def simulated(program: Program, machine: Machine, *, long: bool) -> Result:
    """The run of a program; SpecError where it goes through more than MOST_TILES and may not be `long`."""
    from einsim.sim.engine import CutShort, simulate  # simpy is only imported when it is needed

    try:
        return simulate(program, machine, tiles=patience(long=long))
    except CutShort:
        raise too_long(program) from None


def too_long(program: Program, hint: str = LOWER_BOUND) -> SpecError:
    """The error of a run that goes through more than MOST_TILES, with what else there is."""
    every = sum(sum(counts.values()) for counts in static_counts(program).values())
    rule = f"{program.workload} on {program.accel} has {every:,} tiles"
    rule += f", of which more than {MOST_TILES:,} would be simulated one by one"
    return SpecError("", rule, where="simulation", hint=hint)
