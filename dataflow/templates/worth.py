"""What the points of a list are chosen by: the ticks that they cost, or the energy of what they move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from einsim.accel.machine import Machine
from einsim.dataflow.account import PICO, byte_pj
from einsim.dataflow.clock import Clock
from einsim.dataflow.ends import F, share_cost
from einsim.dataflow.program import READ, WRITE
from einsim.dataflow.volume import MACHINE, Rates


class Worth(NamedTuple):
    """Ticks of a unit's cycle and a port's byte; for energy, picojoules of a byte by memory, and those that
    leak in a tick.
    """

    rates: Rates
    byte_pj: Mapping[str, float] = {}
    leak_pj: float = 0.0

    def cost(self, bound: F, busy: F, tiles: F, moved: Mapping[str, F]) -> F:
        """Ticks by a bound, what all engines are busy, and tiles; or picojoules of the bytes `moved` through
        memories. What is computed takes the same wherever it is.
        """
        if not self.byte_pj:
            return share_cost(bound, busy, self.rates[MACHINE] * tiles)
        return sum((self.byte_pj[name] * size for name, size in moved.items()), self.leak_pj * bound)


def worth_of(machine: Machine, objective: str) -> Worth:
    """By energy where that is the objective, else by time."""
    clock = Clock(machine)
    if objective != "energy":
        return Worth(clock.rates)
    means = {
        memory.name: (byte_pj(machine, memory.name, READ) + byte_pj(machine, memory.name, WRITE)) / 2
        for memory in machine.memories
    }
    leak_pj = machine.static_w / PICO / clock.ticks_per_cycle / machine.clock_hz
    return Worth(clock.rates, means, leak_pj)
