"""Why a machine cannot do what a mapping asks, apart from the values that would come out of it."""

from __future__ import annotations

from collections.abc import Iterator

from einsim.accel.machine import Machine
from einsim.dataflow.mapping import Compute, Keep, Mapping, walk
from einsim.validation.oracle.points import point_ops
from einsim.validation.oracle.widths import too_wide
from einsim.workloads.cascade import Cascade, Einsum


def impossible(cascade: Cascade, machine: Machine, mapping: Mapping) -> Iterator[str]:
    """One reason a line; nothing where units, memories and networks can do it."""
    units = {unit.name: unit for unit in machine.units}
    leaves = [node for node, _ in walk(mapping.tree) if isinstance(node, Compute)]
    for node, above in walk(mapping.tree):
        keeps = [outer for outer in above if isinstance(outer, Keep)]
        if isinstance(node, Keep):
            for tensor in node.tensors:
                outer = next((keep.memory for keep in reversed(keeps) if tensor in keep.tensors), None)
                if outer is not None and outer not in around(machine, node.memory):
                    yield f"{tensor}: {outer} is not outside {node.memory}"
            if node.spill and (node.memory in units or machine.memory(node.memory).parent is None):
                yield f"{node.memory} has nothing to spill to"
            if node.memory in units and units[node.memory].registers is None:
                yield f"{node.memory} has no registers"
        if isinstance(node, Compute):
            yield from _compute(cascade, machine, node, keeps)
            makers = {leaf.einsum: leaf.unit for leaf in leaves}
            for tensor in node.chained:
                if makers.get(tensor) != node.unit:
                    yield f"{tensor} is not in the lanes of {node.unit}"


def around(machine: Machine, name: str) -> list[str]:
    """Memories outside a memory or a unit's registers, innermost first."""
    units = {unit.name: unit for unit in machine.units}
    here = units[name].reads_from if name in units else machine.memory(name).parent
    found = []
    while here is not None:
        found.append(here)
        here = machine.memory(here).parent
    return found


def _compute(cascade: Cascade, machine: Machine, node: Compute, keeps: list[Keep]) -> Iterator[str]:
    unit, einsum = machine.unit(node.unit), cascade.einsum(node.einsum)
    for op in point_ops(einsum):
        if op not in unit.ops:
            yield f"{unit.name} has no {op}"
    yield from too_wide(cascade, unit, einsum)
    for dim, ranks in node.spatial.items():
        if dim not in unit.dims:
            yield f"{unit.name} has no {dim}"
        if dim == "cores" and set(ranks) & set(einsum.reduced):
            yield "nothing adds up what several cores have reduced"
        if set(ranks) & set(einsum.iterative) and einsum.name in {read.tensor for read in einsum.reads}:
            yield "steps that need each other at the same time"
    others = [rank for dim, ranks in node.spatial.items() if dim != "cores" for rank in ranks]
    if len(others) > len(set(others)):
        yield "a rank laid out twice"
    if unit.kind != "vector" and unit.dataflows and node.stationarity not in unit.dataflows:
        yield f"{unit.name} is not {node.stationarity}"
    chip = [name for name in around(machine, node.unit) if name != machine.dram.name]
    for tensor in dict.fromkeys((*(read.tensor for read in einsum.reads), einsum.name)):
        if tensor in node.chained:
            continue
        inner = next((keep.memory for keep in reversed(keeps) if tensor in keep.tensors), machine.dram.name)
        for keep in keeps:
            if tensor in keep.tensors and keep.memory not in {other.name for other in machine.units}:
                holds = machine.memory(keep.memory).holds
                if holds and role(einsum, node, tensor) not in holds:
                    yield f"{keep.memory} does not hold the {role(einsum, node, tensor)} {tensor}"
        straight = inner == machine.dram.name and stays(einsum, node, tensor) and unit.registers is not None
        if inner not in (node.unit, unit.reads_from, *chip) and not straight:
            yield f"{unit.name} does not reach {tensor} in {inner}"
        near = machine.memory(unit.reads_from)
        may = not near.holds or role(einsum, node, tensor) in near.holds
        if near.copies > 1 and may and inner not in (node.unit, near.name) and not straight:
            yield f"a core of {unit.name} reads {tensor} from its own {near.name} only"


def role(einsum: Einsum, node: Compute, tensor: str) -> str:
    """What an operand is: "outputs", "inputs", or "weights": those move with all of rows and columns."""
    if tensor == einsum.name:
        return "outputs"
    along = {rank for dim in ("rows", "cols") for rank in node.spatial.get(dim, ())}
    moves = next(set(read.ranks) for read in einsum.reads if read.tensor == tensor)
    both = all(node.spatial.get(dim) for dim in ("rows", "cols"))
    return "weights" if both and along <= moves else "inputs"


def stays(einsum: Einsum, node: Compute, tensor: str) -> bool:
    """Whether an operand stays in the array and so may come straight from DRAM."""
    return node.stationarity != "output-stationary" and role(einsum, node, tensor) == "weights"
