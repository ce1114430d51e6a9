"""The time base of a program: ticks that divide every unit's cycle and port's byte, and ports' names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from einsim.accel.machine import Machine
from einsim.accel.memory import Memory
from einsim.accel.port import whole_bytes
from einsim.dataflow.program import MemoryAccess, Stream
from einsim.dataflow.volume import MACHINE, PortWork
from einsim.workloads.cascade import Einsum


class Clock:
    """The time base: every unit's cycle and every port's byte is a whole number of ticks.

    `einsums` stand as the mapping comes to them: so their tensors take a memory's banks. In what order those
    are declared says nothing.
    """

    def __init__(self, machine: Machine, einsums: Sequence[Einsum] = ()) -> None:
        self.machine = machine
        self.turn: dict[str, int] = {}
        for einsum in einsums:
            for tensor in (*(read.tensor for read in einsum.reads), einsum.name):
                self.turn.setdefault(tensor, len(self.turn))
        base = Fraction(machine.clock_hz)
        cycles = {unit.name: base / Fraction(unit.clock_hz or machine.clock_hz) for unit in machine.units}
        rates: dict[str, Fraction] = {}
        for memory in machine.memories:
            write = memory.read_bytes_per_s if memory.shared_port else memory.write_bytes_per_s
            for port, rate in (("read", memory.read_bytes_per_s), ("write", write)):
                if rate:
                    rates[port_name(memory, port == "read")] = base / rate
            if memory.bus_bytes_per_s:
                rates[bus_name(memory)] = base / memory.bus_bytes_per_s
        if machine.noc:
            rates[NOC] = base / machine.noc.bytes_per_s
        self.ticks_per_cycle = math.lcm(*(step.denominator for step in (*cycles.values(), *rates.values())))
        self.unit_ticks = {name: int(step * self.ticks_per_cycle) for name, step in cycles.items()}
        self.byte_ticks = {name: int(step * self.ticks_per_cycle) for name, step in rates.items()}

    @property
    def rates(self) -> dict[str, int]:
        """Ticks of a unit's cycle, of a port's byte and of the machine's cycle."""
        return {**self.unit_ticks, **self.byte_ticks, MACHINE: self.ticks_per_cycle}

    def passing(self, access: MemoryAccess) -> tuple[PortWork, ...]:
        """Bytes of one access that hold its port; none where the port never limits."""
        memory = self.machine.memory(access.memory)
        found: dict[tuple[str, str], int] = {}
        for size, reads in ((access.read_bytes, True), (access.write_bytes, False)):
            rate = port_name(memory, reads)
            if size and rate in self.byte_ticks:
                at = self.port(memory, access.tensor, reads), rate
                found[at] = found.get(at, 0) + whole_bytes(size, memory.access_bytes) * memory.banks
        return tuple(PortWork(port, rate, amount) for (port, rate), amount in found.items())

    def transfer(self, access: MemoryAccess) -> list[Stream]:
        """Port time of one access; none where the port never limits."""
        return [Stream(port=p, ticks=n * self.byte_ticks[rate]) for p, rate, n in self.passing(access)]

    def port(self, memory: Memory, tensor: str, reads: bool) -> str:
        """Engine name of the port that a tensor passes, of its bank if there are any; "" if unlimited."""
        name = port_name(memory, reads)
        if name not in self.byte_ticks:
            return ""
        return f"{name}.{self.turn.get(tensor, 0) % memory.banks}" if memory.banks > 1 else name


def port_name(memory: Memory, reads: bool) -> str:
    """Engine name of a memory's port: the memory's own name where reads and writes share it."""
    if memory.shared_port:
        return memory.name
    return f"{memory.name}.{'read' if reads else 'write'}"


NOC = "noc"
"""Engine name of the network to the cores."""


def bus_name(memory: Memory) -> str:
    """Engine name of the bus between a memory and its parent."""
    return f"bus {memory.bus}"
