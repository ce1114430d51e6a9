"""What of a machine decides how a mapping is lowered: all but its rates, room, energies and sources."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from einsim.accel.machine import Machine, OpCost, Unit
from einsim.accel.memory import Memory


class MachineStructure(NamedTuple):
    """A machine with clocks, bandwidths, capacities and energies replaced by the same for all, and a `key`
    for it; `frame` is one for what of it an operation sees beside the units that compute it.
    """

    machine: Machine
    key: bytes
    frame: bytes


def structure_of(machine: Machine) -> MachineStructure:
    """The machine's structure, so that a mapping need be lowered once for all machines that have the same."""
    found: MachineStructure | None = vars(machine).get("structure")
    if found is None:
        made = _structure(machine)
        units = [(one.name, one.dims.get("cores", 1), one.memories, one.exploits) for one in made.units]
        frame = msgspec.msgpack.encode((made.memories, made.noc, made.multicast, units))
        found = vars(machine)["structure"] = MachineStructure(made, msgspec.msgpack.encode(made), frame)
    return found


def _structure(machine: Machine) -> Machine:
    return Machine(
        name="",
        family="",
        clock_hz=1.0,
        memories=tuple(_memory(memory) for memory in machine.memories),
        units=tuple(_unit(unit) for unit in machine.units),
        noc=machine.noc and msgspec.structs.replace(machine.noc, bytes_per_s=1),
        multicast=machine.multicast,
    )


def alike(machine: Machine) -> tuple[Machine, bytes]:
    """The machine's structure with the clocks of its units beside its own, and a key for both."""
    plain = structure_of(machine).machine
    units = tuple(
        msgspec.structs.replace(unit, clock_hz=(own.clock_hz or machine.clock_hz) / machine.clock_hz)
        for unit, own in zip(plain.units, machine.units, strict=True)
    )
    found = msgspec.structs.replace(plain, units=units)
    return found, msgspec.msgpack.encode(found)


def _memory(memory: Memory) -> Memory:
    return msgspec.structs.replace(
        memory,
        capacity_bytes=None,
        read_bytes_per_s=memory.read_bytes_per_s and 1,
        write_bytes_per_s=memory.write_bytes_per_s and 1,
        read_pj=None,
        write_pj=None,
        leakage_w=0.0,
        bus_bytes_per_s=memory.bus_bytes_per_s and 1,
    )


def _unit(unit: Unit) -> Unit:
    return msgspec.structs.replace(
        unit,
        clock_hz=None,
        ops={name: _op(cost) for name, cost in unit.ops.items()},
        registers=unit.registers and msgspec.structs.replace(unit.registers, read_pj=None, write_pj=None),
    )


def _op(cost: OpCost) -> OpCost:
    """Of ways to compose a width that take as long, the one of least energy is taken: then energies stay."""
    return cost if cost.by_bits else msgspec.structs.replace(cost, energy_pj=None)
