"""Why a machine cannot do what a mapping asks, apart from the values that would come out of it."""

from __future__ import annotations

from collections.abc import Iterator

from einsim.accel.machine import Machine, Role, Unit
from einsim.dataflow.mapping import Compute, Keep, Mapping, walk
from einsim.validation.oracle.points import point_ops
from einsim.validation.oracle.unit import stationary
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
            if node.spill and (node.memory in units or len(machine.memory(node.memory).parents) != 1):
                yield f"{node.memory} has nothing to spill to, or several memories"
            outer_nodes = [outer for outer in above if not isinstance(outer, Keep)]
            if node.stays and (outer_nodes or node.memory in units or machine.memory(node.memory).copies > 1):
                yield f"{node.memory}: nothing stays there between cascades"
            if node.memory in units and units[node.memory].registers is None:
                yield f"{node.memory} has no registers"
        if isinstance(node, Compute):
            yield from _compute(cascade, machine, node, keeps)
            makers = {leaf.einsum: leaf.unit for leaf in leaves}
            for tensor in node.chained:
                if makers.get(tensor) != node.unit:
                    yield f"{tensor} is not in the lanes of {node.unit}"


def around(machine: Machine, name: str) -> set[str]:
    """Memories outside a memory or a unit's registers."""
    units = {unit.name: unit for unit in machine.units}
    pending = {*units[name].memories.values()} if name in units else {*machine.memory(name).parents}
    found: set[str] = set()
    while pending:
        found |= pending
        pending = {parent for one in pending for parent in machine.memory(one).parents} - found
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
        if set(ranks) & set(einsum.iterative) and einsum.name in {read.tensor for read in einsum.reads}:
            yield "steps that need each other at the same time"
    others = [rank for dim, ranks in node.spatial.items() if dim != "cores" for rank in ranks]
    if len(others) > len(set(others)):
        yield "a rank laid out twice"
    if unit.kind != "vector" and unit.dataflows and node.stationarity not in unit.dataflows:
        yield f"{unit.name} is not {node.stationarity}"
    roles = roles_of(unit, einsum, node)
    for tensor in dict.fromkeys((*(read.tensor for read in einsum.reads), einsum.name)):
        if tensor not in node.chained:
            yield from _operand(cascade, machine, (node, unit), tensor, roles[tensor], keeps)


def _operand(
    cascade: Cascade, machine: Machine, leaf: tuple[Compute, Unit], tensor: str, role: Role, keeps: list[Keep]
) -> Iterator[str]:
    """Where the unit finds a tensor is where it looks for what plays that role."""
    (node, unit), dram = leaf, machine.dram.name
    mine = [keep for keep in keeps if tensor in keep.tensors]
    chip = [keep.memory for keep in mine if all(keep.memory != other.name for other in machine.units)]
    for name in chip:
        if role not in (machine.memory(name).holds or (role,)):
            yield f"{name} does not hold the {role} {tensor}"
    near = unit.memories[role]
    while role not in (machine.memory(near).holds or (role,)):
        near = machine.memory(near).parents[0]
    inner = chip[-1] if chip else dram
    if mine and mine[-1].memory in {other.name for other in machine.units} - {unit.name}:
        yield f"{unit.name} does not reach {tensor} in {mine[-1].memory}"
        return
    kept_in_unit = bool(mine) and mine[-1].memory == unit.name
    if not isinstance(unit.reads_from, str):
        if inner != near and not (kept_in_unit and _stays_inside(cascade, mine[-1], tensor)):
            yield f"{unit.name} looks for {tensor} in {near}, not in {inner}"
    elif not kept_in_unit and inner != near:
        straight = (
            inner == dram and stays(cascade.einsum(node.einsum), node, tensor) and unit.registers is not None
        )
        if machine.memory(near).copies > 1:
            yield f"a core of {unit.name} reads {tensor} from its own {near} only"
        elif not straight and (inner == dram or inner not in around(machine, near)):
            yield f"{unit.name} does not reach {tensor} in {inner}"


def _stays_inside(cascade: Cascade, keep: Keep, tensor: str) -> bool:
    """Whether a tensor is made and read below a keep only."""
    below = {leaf.einsum for leaf, _ in walk(keep) if isinstance(leaf, Compute)}
    users = {tensor, *(reader.name for reader in cascade.consumers(tensor))}
    return users <= below and tensor not in {output.name for output in cascade.outputs}


def roles_of(unit: Unit, einsum: Einsum, node: Compute) -> dict[str, Role]:
    """What each tensor is to the unit: docs/mappings.md, "Roles"."""
    found: dict[str, Role] = {}
    product = unit.kind != "vector" and einsum.reduce == "sum" and "mac" in point_ops(einsum)
    still = stationary(node, einsum)
    dims = [dim for dim in unit.dims if dim != "cores"]
    for tensor in {read.tensor for read in einsum.reads}:
        reads = [read for read in einsum.reads if read.tensor == tensor]
        if node.stationarity == "row-stationary":
            weights = [not {*node.spatial.get("cols", ())} & set(read.ranks) for read in reads]
        elif still is None:
            laid = {dim: {*node.spatial.get(dim, ())} for dim in dims}
            counted = {
                dim: laid[dim] if dim == dims[-1] else laid[dim] & {*einsum.output.ranks} for dim in dims
            }
            along = [{dim for dim in dims if counted[dim] & {*read.ranks}} for read in reads]
            weights = [on == {dims[-1]} for on in along]
        elif node.stationarity == "input-stationary":
            weights = [read != still for read in reads]
        else:
            weights = [read == still for read in reads]
        found[tensor] = "weights" if product and all(weights) else "inputs"
    found[einsum.name] = "outputs"
    return found


def stays(einsum: Einsum, node: Compute, tensor: str) -> bool:
    """Whether an operand stays in the array, whose rows and columns both move it: it may come straight from
    DRAM.
    """
    still = stationary(node, einsum)
    laid = [set(node.spatial.get(dim, ())) for dim in ("rows", "cols")]
    if node.stationarity == "output-stationary" or still is None or not all(laid):
        return False
    return still.tensor == tensor and laid[0] | laid[1] <= set(still.ranks)
