"""A mapping with some inputs and results of its cascade left on chip: they never cross to DRAM.

They are kept whole, above everything, in one memory; the mapping's own keeps of them there are left out, and
all else is as it was.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.mapping import Compute, Keep, Loop, Mapping, Node, walk
from einsim.workloads.cascade import Cascade


def staying(mapping: Mapping, tensors: Collection[str], memory: str, machine: Machine) -> Mapping:
    """The mapping with these tensors in a memory throughout; whether that is legal is for `check` to say."""
    if not tensors:
        return mapping
    names = tuple(sorted(tensors))
    inside = _inside(machine, memory)
    tree = Keep(
        tensors=names, memory=memory, body=_without(mapping.tree, frozenset(names), inside), buffers=1,
        stays=names,
    )  # fmt: skip
    return msgspec.structs.replace(mapping, tree=tree)


def places_to_stay(machine: Machine) -> tuple[str, ...]:
    """Memories in which something may stay: filled from DRAM and shared by all cores, the largest first."""
    dram = machine.dram.name
    found = [one for one in machine.memories if one.parents == (dram,) and one.copies == 1]
    return tuple(one.name for one in sorted(found, key=lambda one: -(one.capacity_bytes or 2**63)))


def may_stay(cascade: Cascade, tensor: str) -> bool:
    """Whether it is an input, or a result that is no state."""
    producer = cascade.producer(tensor)
    return producer is None or (cascade.is_output(tensor) and not producer.iterative)


def _inside(machine: Machine, memory: str) -> frozenset[str]:
    """Memories that are filled from one, at first hand or through others, and all units' registers."""
    found = {unit.name for unit in machine.units}
    more = {memory}
    while more:
        more = {one.name for one in machine.memories if {*one.parents} & more} - found
        found |= more
    return frozenset(found)


def _without(node: Node, tensors: frozenset[str], inside: frozenset[str]) -> Node:
    """The tree without keeps of some tensors but in memories inside."""
    if isinstance(node, Compute):
        return node
    if isinstance(node, Loop):
        return msgspec.structs.replace(node, body=_without(node.body, tensors, inside))
    if not isinstance(node, Keep):
        below = tuple(_without(child, tensors, inside) for child in node.children)
        return msgspec.structs.replace(node, children=below)
    body = _without(node.body, tensors, inside)
    kept = node.tensors
    if node.memory not in inside:
        kept = tuple(tensor for tensor in node.tensors if tensor not in tensors)
    if not kept:
        return body
    return msgspec.structs.replace(node, tensors=kept, body=body, overlay=node.overlay and len(kept) > 1)


def stayers(mapping: Mapping) -> dict[str, str]:
    """What stays, each with its memory."""
    keeps = (node for node, _ in walk(mapping.tree) if isinstance(node, Keep))
    return {tensor: keep.memory for keep in keeps for tensor in keep.stays}
