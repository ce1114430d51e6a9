"""A machine's timed DRAM for the engine: the program in ticks that divide the DRAM's clock, and its port."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.program import Program
from einsim.dataflow.volume import finer
from einsim.sim.dram.standard import Figure, Standard
from einsim.sim.dram.standard import standard as standard_of
from einsim.sim.memory.addresses import Addresses
from einsim.sim.memory.dram_port import DramPort, slowed
from einsim.specs.errors import SpecError


def timed(program: Program, machine: Machine) -> tuple[Program, dict[str, DramPort]]:
    """The program in ticks that divide the DRAM's clock, and its timed ports by engine name.

    The program as it is, and no ports, where DRAM is an ideal pipe. SpecError for an unknown standard,
    or one that doesn't state what the machine asks for.
    """
    memory = machine.dram
    if not memory.timing or memory.name not in {engine.name for engine in program.engines}:
        return program, {}
    standard = dram(memory.timing, memory.timing_channels)
    if memory.refresh == "per-bank" and not standard.timing.t_rfc_bank.value:
        rule = "'per-bank' needs a standard that states timing.t_rfc_bank"
        hint = "write the standard's YAML with it, or refresh: exact"
        raise SpecError(f"accel.{memory.name}.refresh", rule, got=standard.name, hint=hint)
    slowest = standard.clock_hz.value / standard.timing.clocks.t_refi
    if program.clock_hz < slowest:
        rule = (
            f"must be >= {slowest:.4g} Hz, one cycle a refresh, where {memory.name} follows {standard.name}"
        )
        hint = "leave out the timing: a machine so slow sees the bandwidth alone"
        raise SpecError("accel.clock", rule, got=program.clock_hz, hint=hint)
    rate = Fraction(standard.clock_hz.value) * slowed(standard, exact=memory.refresh != "average")
    per_clock = Fraction(program.clock_hz) * program.ticks_per_cycle / rate
    split = scaled(program, per_clock.denominator)
    engines = max(1, sum(each.dma_engines for each in machine.memories if memory.name in each.parents))
    where = Addresses(program, memory.name, standard)
    return split, {memory.name: DramPort(memory, standard, per_clock.numerator, where, engines)}


@lru_cache(maxsize=64)
def dram(name: str, channels: int) -> Standard:
    """A standard by name or file with that many channels, 0 for its own; SpecError for an unknown one."""
    found = standard_of(name)
    if not channels:
        return found
    count = Figure(value=channels, source="the machine's own number of channels")
    organisation = msgspec.structs.replace(found.organisation, channels=count)
    return msgspec.structs.replace(found, organisation=organisation)


def scaled(program: Program, factor: int) -> Program:
    """The same program with `factor` times as many ticks in a cycle."""
    if factor == 1:
        return program
    return msgspec.structs.replace(
        program,
        ticks_per_cycle=program.ticks_per_cycle * factor,
        ops=tuple(finer(op, factor) for op in program.ops),
    )
