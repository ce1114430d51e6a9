"""A DRAM port in the event engine that takes its times from a standard instead of being an ideal pipe.

A transfer that is asked for at time r and granted at g moves its first data at

    max(g, r + lead, end of the data before + turn if the direction changes)

where lead opens a row (tRCD + CL or CWL), hidden while the port still moves other data, and turn is the bus's
turnaround. It then takes the service time of its tile (`sim.memory.service`), and never less than the pipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from accel.machine import Machine, Memory
from dataflow.program import Cost, Program
from sim.memory.service import Shape, dram, lead_clocks, service_clocks, turn_clocks

Key = tuple[int, ...]  # tile extents of an operation


class DramPort:
    """State of one port: which way the data bus was used last, and until when, in ticks."""

    def __init__(self, program: Program, memory: Memory) -> None:
        self.name = memory.name
        self.standard = dram(memory.timing, memory.timing_channels)
        per_clock = (
            Fraction(program.clock_hz) * program.ticks_per_cycle / Fraction(self.standard.clock_hz.value)
        )
        self.lead = tuple(_ticks(lead_clocks(self.standard, write=way) * per_clock) for way in (False, True))
        self.turn = tuple(_ticks(turn_clocks(self.standard, write=way) * per_clock) for way in (False, True))
        self.service = _services(program, memory, per_clock)
        self.writes: bool | None = None
        self.data_end = 0

    def hold(self, op: int, key: Key, asked: int, granted: int, ideal: int) -> int:
        """Ticks that the port is held from `granted` on; `ideal` is what the pipe would take."""
        parts = self.service.get((op, key), ())
        if not parts:
            return ideal
        at = granted
        for write, ticks in parts:
            turn = self.turn[write] if self.writes not in (None, write) else 0
            at = max(at, asked + self.lead[write], self.data_end + turn) + ticks
            self.writes, self.data_end = write, at
        self.data_end = max(at, granted + ideal)
        return self.data_end - granted

    def state(self, now: int) -> tuple[bool | None, int]:
        """What decides later transfers, relative in time: two equal states have the same future."""
        return self.writes, max(0, self.data_end + max(self.turn) - now)

    def shift(self, ticks: int) -> None:
        """The run has jumped."""
        self.data_end += ticks


def dram_ports(program: Program, machine: Machine) -> Mapping[str, DramPort]:
    """Timed ports by engine name; none where DRAM is an ideal pipe. SpecError for an unknown standard."""
    used = {engine.name for engine in program.engines}
    timed = (memory for memory in machine.memories if memory.timing and memory.name in used)
    return {memory.name: DramPort(program, memory) for memory in timed}


def _services(
    program: Program, memory: Memory, per_clock: Fraction
) -> dict[tuple[int, Key], tuple[tuple[bool, int], ...]]:
    """(writes, ticks) of every part of every operation's tiles that passes this port."""
    found = {}
    for op in program.ops:
        for key, cost in op.costs.items():
            parts = tuple(
                (
                    shape.write,
                    _ticks(service_clocks(memory.timing, memory.timing_channels, shape) * per_clock),
                )
                for shape in _shapes(cost, memory.name)
            )
            if parts:
                found[op.id, key] = parts
    return found


def _shapes(cost: Cost, memory: str) -> list[Shape]:
    found = []
    for access in cost.accesses:
        if access.memory != memory:
            continue
        run, pitch = access.run_bytes, access.pitch_bytes
        for size, write in ((access.read_bytes, False), (access.write_bytes, True)):
            if size:
                found.append(Shape(size_bytes=size, run_bytes=run, pitch_bytes=pitch, write=write))
    return found


def _ticks(value: Fraction) -> int:
    """The next whole tick."""
    return -(-value.numerator // value.denominator)
