"""What of a machine decides how a mapping is lowered: all but its rates, room, energies and sources."""

from __future__ import annotations

import msgspec

from einsim.accel.machine import Machine, Memory, OpCost, RegisterFile, Unit


def structure_of(machine: Machine) -> Machine:
    """The machine with clocks, bandwidths, capacities and energies replaced by the same for all, so that a
    mapping need be lowered once for all machines that have the same structure.
    """
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
    plain = structure_of(machine)
    units = tuple(
        msgspec.structs.replace(unit, clock_hz=(own.clock_hz or machine.clock_hz) / machine.clock_hz)
        for unit, own in zip(plain.units, machine.units, strict=True)
    )
    found = msgspec.structs.replace(plain, units=units)
    return found, msgspec.msgpack.encode(found)


def frame_of(structure: Machine) -> bytes:
    """A key for what of a structure an operation sees beside the units that compute it."""
    units = [(one.name, one.dims.get("cores", 1), one.memories, one.exploits) for one in structure.units]
    return msgspec.msgpack.encode((structure.memories, structure.noc, structure.multicast, units))


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
        registers=unit.registers and RegisterFile(bytes_per_pe=unit.registers.bytes_per_pe),
    )


def _op(cost: OpCost) -> OpCost:
    """Of ways to compose a width that take as long, the one of least energy is taken: then energies stay."""
    return cost if cost.by_bits else msgspec.structs.replace(cost, energy_pj=None)
