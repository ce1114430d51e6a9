"""Units that take turns: modes of one array of DSPs can't be busy together, so both hold its one port."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.volume import PortWork, Volume


def arithmetic_name(machine: Machine, unit: str) -> str:
    """Engine name of the arithmetic that a unit shares with others; "" where it has its own."""
    host = machine.unit(unit).mode_of or unit
    shared = any(other.mode_of == host for other in machine.units)
    return f"dsps of {host}" if shared else ""


def taking_turns(units: Iterable[str], machine: Machine) -> dict[str, str]:
    """Of the units that a program uses those that share their arithmetic with another one of them, and the
    port that stands for it.
    """
    users: dict[str, set[str]] = {}
    for unit in units:
        if name := arithmetic_name(machine, unit):
            users.setdefault(name, set()).add(unit)
    return {unit: name for name, units in users.items() if len(units) > 1 for unit in units}


def holding(volume: Volume, port: str) -> Volume:
    """A computation that holds a port, too, for as long as it takes."""
    works = tuple(PortWork(port, rate, amount) for rate, amount in volume.own)
    return msgspec.structs.replace(volume, streams=(*volume.streams, *works))
