"""Where a unit finds its operands: the role that each plays, the memories on its way, what one may hold.

The role is decided by the layout and by what stays in the array, never by names: docs/mappings.md, "Roles".
"""

from __future__ import annotations

from collections.abc import Iterable

from einsim.accel import links
from einsim.accel.machine import Machine, Role, Unit
from einsim.dataflow.feed import stationary
from einsim.dataflow.mapping import Compute
from einsim.dataflow.row_stationary import is_row_stationary, weights_of
from einsim.workloads.cascade import Access, Cascade, Einsum

ROLES: tuple[Role, ...] = ("inputs", "weights", "outputs")


def levels(machine: Machine, memory: str) -> tuple[str, ...]:
    """On-chip memories from DRAM to a memory by their first parents, outermost first, itself the last."""
    return links.paths(machine.links, memory)[0]


def levels_to(cascade: Cascade, machine: Machine, node: Compute, tensor: str) -> tuple[str, ...]:
    """The `levels` from DRAM to the memory in which a leaf's unit reads an operand, whatever they hold."""
    unit = machine.unit(node.unit)
    near = unit.reads_from
    if not isinstance(near, str):
        near = unit.memories[role_of(cascade, machine, node, tensor)]
    return levels(machine, near)


def outside(machine: Machine, memory: str) -> tuple[str, ...]:
    """All memories outside one, each before those outside it: DRAM is the last."""
    return links.outside(machine.links, memory)


def common_levels(machine: Machine, units: Iterable[str]) -> tuple[str, ...]:
    """On-chip memories on the way of inputs and of outputs to all of some units, outermost first."""
    every = [machine.unit(name).memories for name in units]
    names = dict.fromkeys(name for one in every for name in (one["inputs"], one["outputs"]))
    ways = [levels(machine, name) for name in names]
    return tuple(name for name in ways[0] if all(name in way for way in ways)) if ways else ()


def roles_of(unit: Unit, node: Compute, einsum: Einsum) -> dict[str, Role]:
    """What each tensor that an Einsum reads or makes is to a unit that computes it in this layout.

    Its result, and its own state, are the outputs. Of a sum of products on a matrix unit the weights are
    what stays in the array or, input-stationary, all that does not; row-stationary, what moves with no rank
    along the columns; where nothing stays, what moves along the last dimension and along no other. All
    else, and what is read both ways, is inputs.
    """
    found: dict[str, Role] = {access.tensor: "inputs" for access in einsum.reads}
    if unit.kind != "vector" and einsum.reduce == "sum" and "mac" in einsum.ops:
        weights = [_is_weights(unit, node, einsum, access) for access in einsum.reads]
        for tensor in found:
            if all(w for w, access in zip(weights, einsum.reads, strict=True) if access.tensor == tensor):
                found[tensor] = "weights"
    found[einsum.name] = "outputs"
    return found


def _is_weights(unit: Unit, node: Compute, einsum: Einsum, access: Access) -> bool:
    if is_row_stationary(node):
        return access in weights_of(node, einsum)
    still = stationary(node, einsum)
    if still is not None:
        return (access == still) != (node.stationarity == "input-stationary")
    *others, last = [node.spatial.get(dim, ()) for dim in unit.dims if dim != "cores"] or [()]
    moved = set(access.ranks)
    return bool(moved & set(last)) and not any(moved & set(ranks) - {*einsum.reduced} for ranks in others)


def role_of(cascade: Cascade, machine: Machine, node: Compute, tensor: str) -> Role:
    """What an operand is to a leaf."""
    return roles_of(machine.unit(node.unit), node, cascade.einsum(node.einsum))[tensor]


def may_hold(cascade: Cascade, machine: Machine, memory: str, node: Compute, tensor: str) -> bool:
    """Whether a memory may hold an operand of a leaf."""
    holds = machine.memory(memory).holds
    return not holds or role_of(cascade, machine, node, tensor) in holds


def homes_to(cascade: Cascade, machine: Machine, node: Compute, tensor: str) -> list[str]:
    """Of the `levels_to` a leaf's operand those that may hold it."""
    way = levels_to(cascade, machine, node, tensor)
    holds = [machine.memory(name).holds for name in way]
    role = role_of(cascade, machine, node, tensor) if any(holds) else ""
    return [name for name, roles in zip(way, holds, strict=True) if not roles or role in roles]


def reads(machine: Machine, unit: str, role: Role) -> str:
    """The memory in which a unit reads or writes what plays a role: the one that it names or, where that
    doesn't hold it, the next one outward that does.
    """
    here = machine.unit(unit).memories[role]
    while machine.memory(here).holds and role not in machine.memory(here).holds:
        here = machine.memory(here).parents[0]
    return here


def paths(machine: Machine, unit: str, role: Role) -> tuple[tuple[str, ...], ...]:
    """The ways of what plays a role from DRAM to a unit: on-chip memories that may hold it, outermost first.

    The last of a way is the memory that the unit reads or writes, unless that is DRAM. There are several
    where a memory on the way has several parents. Tiles may be kept in any memories of one way; the last may
    be left out only where `passes_by` says so.
    """
    ways = links.paths(machine.links, reads(machine, unit, role))
    found = (tuple(name for name in way if role in (machine.memory(name).holds or ROLES)) for way in ways)
    return tuple(dict.fromkeys(found))


def passes_by(cascade: Cascade, machine: Machine, node: Compute, tensor: str) -> bool:
    """Whether the unit can read or write an operand outside the memory in which it looks for it: not if the
    unit names a memory for each role, or if each core has such a memory.
    """
    near = reads(machine, node.unit, role_of(cascade, machine, node, tensor))
    return not machine.unit(node.unit).by_role and machine.memory(near).copies == 1


def straight(cascade: Cascade, machine: Machine, node: Compute, tensor: str) -> bool:
    """Whether an operand may come to the unit straight from DRAM: it stays in the array's registers, and the
    unit names no memory for its role.
    """
    unit, einsum = machine.unit(node.unit), cascade.einsum(node.einsum)
    if unit.registers is None or unit.by_role or node.stationarity == "output-stationary":
        return False
    still, laid = stationary(node, einsum), [node.spatial.get(dim, ()) for dim in ("rows", "cols")]
    return (
        still is not None
        and still.tensor == tensor
        and all(laid)
        and {*laid[0], *laid[1]} <= set(still.ranks)
    )
