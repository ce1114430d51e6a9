"""States that stay in the registers of an array while their steps are walked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

from einsim.accel.machine import Machine, Unit
from einsim.accel.widths import lacks
from einsim.dataflow.in_registers import InRegisters
from einsim.dataflow.leaf import array_cycles
from einsim.dataflow.mapping import Compute
from einsim.dataflow.spatial import layouts, step_placements, without
from einsim.dataflow.templates.blocks import Block
from einsim.workloads.cascade import Cascade

#: Leaves, and the tensors of theirs that stay in their array's registers.
Placed = tuple[tuple[Compute, ...], tuple[str, ...]]


def states_in_registers(
    cascade: Cascade, machine: Machine, einsums: Block, steps: tuple[str, ...]
) -> Iterator[Placed]:
    """For each state of a block that walks `steps`, and each array of rows and columns with registers, the
    quickest way to have it there: laid alike by all that make or read it, with what else they need there.
    """
    if not steps:
        return
    ops = {einsum.name: cascade.wide_ops(einsum.name) for einsum in einsums}
    for unit in machine.units:
        if unit.kind != "array" or {*unit.dims} != {"rows", "cols"} or unit.registers is None:
            continue

        @cache
        def nodes(name: str, unit: Unit = unit) -> tuple[Compute, ...]:
            if name not in ops or lacks(unit, ops[name]):
                return ()
            einsum, (step, *_) = cascade.einsum(name), steps
            some = (*layouts(cascade, unit, einsum), *step_placements(cascade, machine, einsum, step, "full"))
            found = some
            for each in steps:
                found = tuple(without(each, found))
            return tuple(node for node in found if node.unit == unit.name and len(node.spatial) > 1)

        registers = InRegisters(cascade, machine, nodes)
        for state in (einsum.name for einsum in einsums if einsum.iterative):
            if state not in cascade.overwritten:
                continue
            ways = [
                (tuple(chosen.values()), tuple(sorted(held)))
                for node in nodes(state)
                if (both := registers.together(node, state)) is not None
                for chosen, held in (both,)
                if not any(map(cascade.is_output, held))
            ]
            if ways:
                yield min(ways, key=lambda way: _cycles(cascade, unit, way[0], steps))


def _cycles(cascade: Cascade, unit: Unit, leaves: tuple[Compute, ...], steps: tuple[str, ...]) -> float:
    """Cycles of a step of some leaves on a unit, all else whole."""
    extents = cascade.sizes | dict.fromkeys(steps, 1)
    every = (array_cycles(cascade, unit, cascade.einsum(node.einsum), node, extents) for node in leaves)
    return math.fsum(map(float, every))
