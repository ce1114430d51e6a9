"""What takes turns: modes of one array of DSPs, which can't be busy together and hold its one port, and a
unit with the transfers of a memory that stands still while it computes.
"""

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
    port that stands for it; those that stop a memory, and its port.
    """
    users: dict[str, set[str]] = {}
    units = tuple(dict.fromkeys(units))
    stopping = {unit: machine.unit(unit).stops for unit in units if machine.unit(unit).stops}
    for unit in units:
        if name := arithmetic_name(machine, unit):
            users.setdefault(name, set()).add(unit)
    return stopping | {unit: name for name, units in users.items() if len(units) > 1 for unit in units}


def holding(volume: Volume, port: str) -> Volume:
    """A computation that holds a port, too, for as long as it takes."""
    works = tuple(PortWork(port, rate, amount) for rate, amount in volume.own)
    return msgspec.structs.replace(volume, streams=(*volume.streams, *works))
