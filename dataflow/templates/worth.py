"""What the points of a list are chosen by: the ticks that they cost, or the energy of what they move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from einsim.accel.machine import Machine
from einsim.dataflow.account import PICO, action_pj, byte_pj
from einsim.dataflow.clock import Clock
from einsim.dataflow.ends import F, share_cost
from einsim.dataflow.program import READ, WRITE, Action
from einsim.dataflow.volume import MACHINE, Rates


class Worth(NamedTuple):
    """Ticks of a unit's cycle and a port's byte; for energy, picojoules of a byte by memory, of an access of
    a unit's registers, and those that leak in a tick.
    """

    rates: Rates
    byte_pj: Mapping[str, float] = {}
    register_pj: Mapping[Action, float] = {}
    leak_pj: float = 0.0

    def cost(
        self, bound: F, busy: F, tiles: F, moved: Mapping[str, F], registers: Mapping[Action, float] = {}
    ) -> F:
        """Ticks by a bound, what all engines are busy, and tiles; or picojoules of the bytes `moved` through
        memories and of accesses of `registers`. Ops take the same in each nest.
        """
        if not self.byte_pj:
            return share_cost(bound, busy, self.rates[MACHINE] * tiles)
        stays_pj = sum(self.register_pj[action] * times for action, times in registers.items())
        moves_pj = (self.byte_pj[name] * size for name, size in moved.items())
        return sum(moves_pj, self.leak_pj * bound + stays_pj)


def worth_of(machine: Machine, objective: str) -> Worth:
    """By energy where that is the objective, else by time."""
    clock = Clock(machine)
    if objective != "energy":
        return Worth(clock.rates)
    means = {
        memory.name: (byte_pj(machine, memory.name, READ) + byte_pj(machine, memory.name, WRITE)) / 2
        for memory in machine.memories
    }
    ways = (Action(unit.name, "register", way) for unit in machine.units for way in (READ, WRITE))
    registers = {action: action_pj(machine, action) or 0.0 for action in ways}
    leak_pj = machine.static_w / PICO / clock.ticks_per_cycle / machine.clock_hz
    return Worth(clock.rates, means, registers, leak_pj)
