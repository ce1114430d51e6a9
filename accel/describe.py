"""A machine in words: one line for a list, a page for a reader."""

from __future__ import annotations

import msgspec

from einsim.accel.area import total_um2
from einsim.accel.launch import LaunchCost
from einsim.accel.machine import Machine, OpCost, Unit
from einsim.accel.memory import Memory
from einsim.accel.parts import RESOURCES
from einsim.specs.units import format_bytes, format_hertz


def one_line(machine: Machine) -> str:
    """Family, units, clock, on-chip memory and DRAM bandwidth, in that order."""
    units = ", ".join(f"{unit.name} {_shape(unit)}" for unit in machine.units)
    chips = ", ".join(
        f"{memory.name} {format_bytes(memory.capacity_bytes)}"
        for memory in machine.memories
        if memory.parent is not None and memory.capacity_bytes is not None
    )
    parts = [machine.family, units, format_hertz(machine.clock_hz), chips, f"DRAM {_rate(machine.dram)}"]
    return " | ".join(part for part in parts if part)


def long(machine: Machine) -> str:
    """Every unit, memory, area, resource, source and assumption, a line each."""
    technology = f", {machine.technology}" if machine.technology else ""
    lines = [f"{machine.name}: {machine.family}{technology}, {format_hertz(machine.clock_hz)}", "units"]
    lines += [f"  {line}" for unit in machine.units for line in _unit(machine, unit)]
    lines.append("memories")
    lines += [f"  {_memory(memory)}" for memory in machine.memories]
    leakage = "not stated" if machine.leakage_w is None else f"{machine.leakage_w:g} W"
    lines.append(f"leakage {leakage}")
    if machine.launch != LaunchCost():
        start, touch, gap, wait = (f"{1e6 * each:g} us" for each in msgspec.structs.astuple(machine.launch))
        lines.append(f"launch {start} an op, first touch {touch}, {gap} between blocks, {wait} to begin one")
    if machine.power:
        lines.append(f"power cap {machine.power.cap_w:g} W, energy by clock ^ {machine.power.exponent:g}")
    if machine.area_um2:
        without = f", {' and '.join(machine.area_not_stated)} not stated" if machine.area_not_stated else ""
        lines.append(f"area {total_um2(machine) / 1e6:.2f} mm2{without}")
        lines += [f"  {name} {area / 1e6:.3f} mm2" for name, area in machine.area_um2.items()]
    if machine.resources:
        needs = ", ".join(f"{need:,} {RESOURCES[key]}" for key, need in machine.resources.items())
        lines.append(f"resources {needs}")
    lines.append("sources")
    lines += [f"  {path}: {source}" for path, source in machine.sources.items()]
    if machine.assumed:
        lines.append("assumed, without a source")
        lines += [f"  {path}" for path in machine.assumed]
    return "\n".join(lines)


def _shape(unit: Unit) -> str:
    size = "x".join(str(each) for each in unit.dims.values())
    return f"{size} lanes" if unit.kind == "vector" else size


def _unit(machine: Machine, unit: Unit) -> list[str]:
    clock = format_hertz(unit.clock_hz or machine.clock_hz)
    by_role = [f"{role} from {name}" for role, name in unit.memories.items()]
    traits = [f"reads {', '.join(by_role) if unit.by_role else unit.reads_from}"]
    if unit.exploits:
        traits.append("exploits " + " and ".join(unit.exploits))
    if unit.dataflows:
        traits.append(", ".join(unit.dataflows))
    head = f"{unit.name}: {unit.kind} {_shape(unit)} at {clock}, {'; '.join(traits)}"
    return [head, "  " + ", ".join(_op(op, unit.ops[op], unit.cost(op)) for op in unit.ops)]


def _op(name: str, written: OpCost, cost: OpCost) -> str:
    made = " + ".join(f"{count} {part}" for part, count in (written.made_of or {}).items())
    cycles = f"{cost.cycles} cycle{'s' if cost.cycles > 1 else ''}"
    return f"{name} {cycles} {_pj(cost.energy_pj)} pJ" + (f" ({made})" if made else "")


def _memory(memory: Memory) -> str:
    size = "unbounded" if memory.capacity_bytes is None else format_bytes(memory.capacity_bytes)
    energy = f"{_pj(memory.read_pj)}/{_pj(memory.write_pj)} pJ per {format_bytes(memory.access_bytes)}"
    holds = f", holds {' and '.join(memory.holds)} only" if memory.holds else ""
    inside = f" in {' and '.join(memory.parents)}" if memory.parents else ""
    return f"{memory.name}{inside}: {size}, {_rate(memory)}, {energy}{holds}"


def _pj(energy_pj: float | None) -> str:
    return "?" if energy_pj is None else f"{energy_pj:g}"


def _rate(memory: Memory) -> str:
    if memory.read_bytes_per_s is None and memory.write_bytes_per_s is None:
        return "rate not limiting"
    rates = [f"{rate / 1e9:.4g}" for rate in (memory.read_bytes_per_s, memory.write_bytes_per_s) if rate]
    return "/".join(rates) + " GB/s"
