"""Bytes that a mapping has in DRAM at one time: inputs and outputs whole, and what passes through between.

An input is there throughout, an output from the step that makes it on; a result that some Einsum finds in
DRAM is there from its step to that of the last reader. Steps are the children of a sequence at the root.
"""

from __future__ import annotations

import math
from itertools import accumulate

from einsim.accel.machine import Machine
from einsim.dataflow.carried import handed_on
from einsim.dataflow.forms import as_held, packed
from einsim.dataflow.held import home_bytes
from einsim.dataflow.layout import Layout
from einsim.dataflow.mapping import Compute, Keep, Mapping, Node, Sequence, walk
from einsim.workloads.cascade import Cascade
from einsim.workloads.sparsity import dense_bytes, stored_bytes


def dram_bytes(mapping: Mapping, layout: Layout, cascade: Cascade, machine: Machine) -> dict[str, int]:
    """Bytes by tensor, in the step that has most in DRAM; what a keep spills counts for its tensor, and what
    stays on chip does not.
    """
    steps = _steps(mapping.tree)
    step_of = {leaf.einsum: at for at, names in enumerate(steps) for leaf in names}
    used = {read.tensor for einsum in cascade.einsums for read in einsum.reads}
    lives: dict[str, tuple[int, int]] = {}
    staying = {home.tensor for home, _ in layout.homes if home.stays}
    for tensor in cascade.tensors:
        if tensor.name in staying:
            continue
        users = [step_of[einsum.name] for einsum in cascade.consumers(tensor.name)]
        if cascade.producer(tensor.name) is None:
            if tensor.name in used:
                lives[tensor.name] = (0, len(steps) - 1)
        elif cascade.is_output(tensor.name):
            lives[tensor.name] = (step_of[tensor.name], len(steps) - 1)
        elif passes(layout, cascade, machine, tensor.name):
            lives[tensor.name] = (step_of[tensor.name], max(users))
    spilled = _spilled(layout, cascade, machine)
    whole = {name: whole_bytes(cascade, machine, name) for name in lives}
    change = [0] * (len(steps) + 1)
    for name, (first, last) in lives.items():
        more = whole[name] - spilled.get(name, 0)  # in its place
        change[first] += more
        change[last + 1] -= more
    there = list(accumulate(change[:-1]))
    most = there.index(max(there))
    here = {name: size for name, size in whole.items() if lives[name][0] <= most <= lives[name][1]}
    return spilled | here


def _steps(node: Node) -> list[tuple[Compute, ...]]:
    """The leaves of each child of the sequence at the root, or all of them."""
    while isinstance(node, Keep):
        node = node.body
    parts = node.children if isinstance(node, Sequence) else (node,)
    return [tuple(leaf for leaf, _ in walk(part) if isinstance(leaf, Compute)) for part in parts]


def passes(layout: Layout, cascade: Cascade, machine: Machine, tensor: str) -> bool:
    """Whether a result leaves the chip: no keep on it holds what makes it and all that read it, or a state
    leaves it in each step.
    """
    touching = [leaf for leaf in layout.using(cascade, tensor) if tensor not in leaf.node.chained]
    outermost = {next((h.place for h in leaf.homes.get(tensor, ())), None) for leaf in touching}
    first = [leaf.homes[tensor][0] for leaf in touching if leaf.homes.get(tensor)]
    if len(outermost) != 1 or None in outermost or not first:
        return True
    return first[0].memory == machine.dram.name or bool(handed_on(cascade, layout, first[0]))


def whole_bytes(cascade: Cascade, machine: Machine, name: str) -> int:
    """Bytes of all of a tensor; of a state of its last step where that is all there is."""
    tensor, shape = as_held(machine, machine.dram.name, cascade.tensor(name)), cascade.shape(name)
    producer = cascade.producer(name)
    state = set(cascade.overwritten.get(name, ()))
    indices = producer.output.indices if producer is not None else None
    count = math.prod(
        size for at, size in enumerate(shape) if indices is None or not state & set(indices[at].ranks)
    )
    return stored_bytes(tensor, count) if packed(tensor) else dense_bytes(tensor, count)


def _spilled(layout: Layout, cascade: Cascade, machine: Machine) -> dict[str, int]:
    found: dict[str, int] = {}
    for home, path in layout.homes:
        known = any(memory.name == home.memory for memory in machine.memories)
        if home.spill and known and machine.memory(home.memory).parents == (machine.dram.name,):
            held = home_bytes(home, path, layout, cascade, machine)
            found[home.tensor] = math.ceil(held * home.spill / (1 - home.spill))
    return found
