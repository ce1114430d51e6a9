"""Memories on the way to a unit, and what one may hold: one for inputs and outputs takes no weights."""

from __future__ import annotations

from collections.abc import Iterable

from einsim.accel.machine import Machine
from einsim.dataflow.footprint import access_of
from einsim.dataflow.mapping import Compute
from einsim.workloads.cascade import Cascade


def levels(machine: Machine, memory: str) -> tuple[str, ...]:
    """On-chip memories from DRAM to a memory, outermost first, itself the last."""
    found: list[str] = []
    here: str | None = memory
    while here is not None and here != machine.dram.name:
        found.append(here)
        here = machine.memory(here).parent
    return tuple(reversed(found))


def common_levels(machine: Machine, units: Iterable[str]) -> tuple[str, ...]:
    """On-chip memories on the way to all of some units, outermost first."""
    chains = [levels(machine, machine.unit(name).reads_from) for name in dict.fromkeys(units)]
    return tuple(name for name in chains[0] if all(name in chain for chain in chains)) if chains else ()


def role_of(cascade: Cascade, node: Compute, tensor: str) -> str:
    """What an operand is to a leaf: "outputs", "weights" or "inputs".

    The weights are what stays in the array: the operand that lies along both its rows and its columns.
    """
    einsum = cascade.einsum(node.einsum)
    if tensor == einsum.name:
        return "outputs"
    placed = {rank for dim in ("rows", "cols") for rank in node.spatial.get(dim, ())}
    stays = {"rows", "cols"} <= set(node.spatial) and placed <= set(access_of(einsum, tensor).ranks)
    return "weights" if stays and placed else "inputs"


def may_hold(cascade: Cascade, machine: Machine, memory: str, node: Compute, tensor: str) -> bool:
    """Whether a memory may hold an operand of a leaf."""
    holds = machine.memory(memory).holds
    return not holds or role_of(cascade, node, tensor) in holds


def passes_by(cascade: Cascade, machine: Machine, node: Compute, tensor: str) -> bool:
    """Whether the unit can read an operand past its own memory. A memory in each core can be passed only by
    what it does not hold.
    """
    near = machine.memory(machine.unit(node.unit).reads_from)
    return near.copies == 1 or not may_hold(cascade, machine, near.name, node, tensor)


def straight(cascade: Cascade, machine: Machine, node: Compute, tensor: str) -> bool:
    """Whether an operand may come to the unit straight from DRAM: one that stays in the array's registers."""
    unit = machine.unit(node.unit)
    stays = unit.registers is not None and node.stationarity != "output-stationary"
    return stays and role_of(cascade, node, tensor) == "weights"
