"""A run under a power cap: the clock that it is held down to, so that its mean power meets the cap.

All that is on the chip slows with its clock: units, memories' ports, buses and the network. DRAM's rate and
the seconds of a launch don't. A clock is a whole share of the full one, in STEPS; where the cap lies between
two of these, one part of the work is done at the lower and the rest at the higher, as a governor does that
goes to and fro. By clock, time falls and energy grows: so of two evaluations of one program the one that is
shorter at every clock is the shorter one under a cap, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Final

import msgspec

from einsim.accel.machine import LEAKAGE, Machine, OpCost, Unit
from einsim.accel.memory import Memory
from einsim.accel.power import Power
from einsim.dataflow.clock import port_name
from einsim.dataflow.combined import combined
from einsim.dataflow.program import Op, Program
from einsim.dataflow.result import Result
from einsim.dataflow.volume import Costs, costs_of
from einsim.specs.errors import SpecError
from einsim.specs.units import format_hertz

STEPS: Final = 64
"""Clocks that are tried, from a STEPS-th of the full one up."""
EXACT: Final = 10**9
"""Parts of the work between two clocks."""

Run = Callable[[Program, Machine], Result]


def under_cap(program: Program, machine: Machine, run: Run) -> Result:
    """A program as `run` evaluates it, at the clock that the machine's power cap leaves, if it has one.

    SpecError as `capped` says.
    """
    if machine.power is None:
        return run(program, machine)
    return capped(machine, lambda step: run(slowed(program, machine, step), _cheaper(machine, step)))


def capped(machine: Machine, run: Callable[[int], Result]) -> Result:
    """What `run` evaluates at so many STEPS-ths of the clock, at those that the machine's power cap leaves.

    SpecError where energy isn't stated that counts towards the cap, and where no clock meets it.
    """
    full = run(STEPS)
    power = machine.power
    if power is None:
        return full
    if full.energy_not_stated:
        rule = "counts all energy, and that of some actions isn't stated"
        raise SpecError("accel.power.cap", rule, got=", ".join(full.energy_not_stated))
    if _above(full, power) <= 0:
        return full
    found = {STEPS: full}

    def at(step: int) -> float:
        if step not in found:
            found[step] = run(step)
        return _above(found[step], power)

    low, high = _between(_first(full, machine, power), at)
    if not low:
        rule = f"is met by no clock down to {format_hertz(machine.clock_hz / STEPS)}"
        raise SpecError("accel.power.cap", rule, got=f"{power.cap_w:g} W")
    below, over = _above(found[low], power), _above(found[high], power)
    share = Fraction(round(EXACT * -below / (over - below)), EXACT)
    clock = machine.clock_hz * (low + float(share)) / STEPS
    both = combined(((found[low], 1 - share), (found[high], share)), workload=full.workload)
    said = f"clock {clock / 1e6:.0f} MHz, held down by the power cap of {power.cap_w:g} W"
    return msgspec.structs.replace(
        both, mapping=full.mapping, timeline=found[low].timeline, notes=(*full.notes, said)
    )


def _above(result: Result, power: Power) -> float:
    """Joules above the cap's."""
    return (result.energy_stated_j or 0.0) - power.cap_w * result.latency_s


def _first(full: Result, machine: Machine, power: Power) -> int:
    """The clock that meets the cap if all time goes by the clock: the one that does is no higher."""
    outside = math.fsum(j for name, j in full.energy_by.items() if name.split(" ")[0] == machine.dram.name)
    leaked = full.energy_by.get(LEAKAGE, 0.0)
    inside = (full.energy_stated_j or 0.0) - outside - leaked
    left = power.cap_w * full.latency_s - leaked
    steps = (
        step
        for step in range(STEPS, 0, -1)
        if outside + inside * (step / STEPS) ** power.exponent <= left * STEPS / step
    )
    return next(steps, 1)


def _between(guess: int, at: Callable[[int], float]) -> tuple[int, int]:
    """Two steps that follow each other, the lower of which meets the cap and the higher of which doesn't; 0
    is below all. The full clock doesn't.
    """
    low, high, stride = 0, STEPS, 1
    step = min(guess, STEPS - 1)
    while high - low > 1:
        if at(step) <= 0:
            low = step
        else:
            high = step
        if (low and high < STEPS) or high - low <= 1:
            step = (low + high) // 2
            continue
        step = min(low + stride, STEPS - 1) if low else max(high - stride, 1)
        stride *= 2
    return low, high


def slowed(program: Program, machine: Machine, step: int) -> Program:
    """A program at so many STEPS-ths of the clock."""
    if step == STEPS:
        return program
    ports = {port_name(machine.dram, reads) for reads in (True, False)}
    return msgspec.structs.replace(
        program,
        clock_hz=program.clock_hz * step / STEPS,
        ticks_per_cycle=program.ticks_per_cycle * STEPS,
        ops=tuple(_slowed_op(op, ports, step) for op in program.ops),
    )


def slower(machine: Machine, step: int) -> Machine:
    """A machine at so many STEPS-ths of its clock, without a cap: rates of all but DRAM in proportion, in
    whole bytes a second.
    """
    plain = _cheaper(machine, step)
    if step == STEPS:
        return plain

    def part(rate: int | None) -> int | None:
        return rate and max(1, rate * step // STEPS)

    memories = (
        one
        if one.parent is None
        else msgspec.structs.replace(
            one,
            read_bytes_per_s=part(one.read_bytes_per_s),
            write_bytes_per_s=part(one.write_bytes_per_s),
            bus_bytes_per_s=part(one.bus_bytes_per_s),
        )
        for one in plain.memories
    )
    units = (
        msgspec.structs.replace(unit, clock_hz=unit.clock_hz and unit.clock_hz * step / STEPS)
        for unit in plain.units
    )
    noc = plain.noc and msgspec.structs.replace(plain.noc, bytes_per_s=part(plain.noc.bytes_per_s))
    return msgspec.structs.replace(
        plain, clock_hz=machine.clock_hz * step / STEPS, memories=tuple(memories), units=tuple(units), noc=noc
    )


def _cheaper(machine: Machine, step: int) -> Machine:
    """A machine without its cap and with the energies of a slower clock."""
    share = (step / STEPS) ** (machine.power.exponent if machine.power else 0.0)
    return msgspec.structs.replace(
        machine,
        power=None,
        memories=tuple(
            one if one.parent is None else _cheaper_memory(one, share) for one in machine.memories
        ),
        units=tuple(_cheaper_unit(unit, share) for unit in machine.units),
    )


def _slowed_op(op: Op, ports: set[str], step: int) -> Op:
    """An operation in ticks of which STEPS times as many make a cycle, and DRAM's bytes take a share."""
    costs = costs_of(op)
    rates = {name: ticks * (step if name in ports else STEPS) for name, ticks in costs.rates.items()}
    return msgspec.structs.replace(
        op, costs=Costs(costs.tiles, rates), latency_ticks=op.latency_ticks * STEPS
    )


def _cheaper_memory(memory: Memory, share: float) -> Memory:
    return msgspec.structs.replace(
        memory, read_pj=_times(memory.read_pj, share), write_pj=_times(memory.write_pj, share)
    )


def _cheaper_unit(unit: Unit, share: float) -> Unit:
    registers = unit.registers and msgspec.structs.replace(
        unit.registers,
        read_pj=_times(unit.registers.read_pj, share),
        write_pj=_times(unit.registers.write_pj, share),
    )
    ops = {name: _cheaper_op(cost, share) for name, cost in unit.ops.items()}
    return msgspec.structs.replace(unit, registers=registers, ops=ops)


def _cheaper_op(cost: OpCost, share: float) -> OpCost:
    widths = {bits: _cheaper_op(one, share) for bits, one in cost.by_bits.items()}
    return msgspec.structs.replace(cost, energy_pj=_times(cost.energy_pj, share), by_bits=widths)


def _times(energy_pj: float | None, share: float) -> float | None:
    return None if energy_pj is None else energy_pj * share
