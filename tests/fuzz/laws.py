"""What holds of every result, whatever it is of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from einsim.accel.machine import Machine
from einsim.dataflow.result import Result
from einsim.saved import CAUSES

CLOSE = 1e-9


def broken(result: Result, machine: Machine | None = None) -> Iterator[str]:
    """Each law that the result breaks, in words."""
    for place, value in numbers(result.to_dict()):
        if not math.isfinite(value) or value < 0:
            yield f"{place} is {value}"
    for unit, share in result.utilization.items():
        if share > 1 + CLOSE:
            yield f"utilization of {unit} is {share}"
    for unit, parts in result.breakdown_by_unit.items():
        if sum(parts.values()) != result.cycles:
            yield f"cycles of {unit} are {sum(parts.values())} of {result.cycles}"
    for unit, stalls in {result.bottleneck: result.stalls, **result.stalls_by_unit}.items():
        if sum(stalls.values()) > result.cycles or set(stalls) - set(CAUSES):
            yield f"stalls of {unit} are {stalls} of {result.cycles}"
    for memory, useful in result.traffic.items():
        moved = result.moved_bytes.get(memory, {})
        for tensor, count in useful.items():
            if result.moved_bytes and moved.get(tensor, 0) < count:
                yield f"{memory} moves {moved.get(tensor)} B of {tensor} for {count} useful ones"
    yield from energies(result)
    if machine is not None:
        yield from on(machine, result)


def energies(result: Result) -> Iterator[str]:
    """Energy by component and by Einsum add up to the same."""
    shares = [cost.energy_stated_j or 0.0 for cost in result.by_einsum.values()]
    whole, parts = result.energy_stated_j or 0.0, math.fsum([*shares, *result.energy_beside.values()])
    if result.by_einsum and not math.isclose(whole, parts, rel_tol=CLOSE, abs_tol=1e-30):
        yield f"energy is {whole} by component, {parts} by Einsum"


def on(machine: Machine, result: Result) -> Iterator[str]:
    """What follows from the machine: time of cycles, traffic of DRAM, energy of work."""
    if abs(result.latency_s * machine.clock_hz - result.cycles) > 1 + result.cycles * CLOSE:
        yield f"{result.cycles} cycles take {result.latency_s} s at {machine.clock_hz} Hz"
    through = sum(result.traffic.get(machine.dram.name, {}).values())
    if result.dram_bytes != through:
        yield f"dram_bytes is {result.dram_bytes}, traffic {through}"
    for name, cost in result.by_einsum.items():
        units = [machine.unit(unit) for unit in cost.unit.split(", ")]  # several where tiles are told apart
        stated = [unit.cost(op).energy_pj for unit in units for op in unit.ops]
        if cost.points and all(stated) and not cost.energy_stated_j:
            yield f"{name} computes {cost.points} points for nothing"
        if cost.points and not cost.cycles:
            yield f"{name} computes {cost.points} points in no time"


def between(analytical: Result, simulated: Result, machine: Machine) -> Iterator[str]:
    """Both levels count the same; the analytical latency is a lower bound.

    A DRAM's commands are the simulation's only, and so is what they cost.
    """
    if analytical.cycles > simulated.cycles:
        yield f"the bound {analytical.cycles} is above the simulated {simulated.cycles}"
    for table in ("traffic", "moved_bytes", "dram_bytes", "macs"):
        if getattr(analytical, table) != getattr(simulated, table):
            yield f"{table} differ: {getattr(analytical, table)} and {getattr(simulated, table)}"
    if machine.dram.timing:
        return
    if analytical.energy_not_stated != simulated.energy_not_stated:
        yield f"not stated are {analytical.energy_not_stated} and {simulated.energy_not_stated}"
    for part in {*analytical.energy_by, *simulated.energy_by} - {"leakage"}:
        ours, theirs = (one.energy_by.get(part, -1.0) for one in (analytical, simulated))
        if not math.isclose(ours, theirs, rel_tol=CLOSE):
            yield f"energy of {part} differs: {ours} and {theirs}"


def numbers(data: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Every number of plain data with its place."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from numbers(value, f"{place}.{key}")
    elif isinstance(data, list):
        for value in data:
            yield from numbers(value, place)
    elif isinstance(data, int | float) and not isinstance(data, bool):
        yield place, data
