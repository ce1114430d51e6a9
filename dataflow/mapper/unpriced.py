"""What a search can't do without: a unit for every Einsum, for the least energy what all of it costs."""

from __future__ import annotations

from collections.abc import Sequence

from einsim.accel.machine import Machine
from einsim.dataflow.account import priced
from einsim.dataflow.leaf import issued_ops, merging
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.program import READ, WRITE, Action
from einsim.dataflow.spatial import able, computing
from einsim.dataflow.staying import stayers
from einsim.specs.errors import SpecError
from einsim.workloads.cascade import Cascade


def unpriced(cascade: Cascade, machine: Machine) -> tuple[str, ...]:
    """Labels of the actions that a mapping may take and whose energy the machine doesn't state."""
    actions = {
        Action(memory.name, "access", what): 1 for memory in machine.memories for what in (READ, WRITE)
    }
    for einsum in cascade.einsums:
        for unit in able(cascade, machine, einsum):
            actions |= {Action(unit.name, "op", op): 1 for op in issued_ops(cascade, unit, einsum)}
            if einsum.reduced and "cores" in unit.dims:
                actions[merging(unit, einsum)] = 1
            if unit.registers is not None:
                actions |= {Action(unit.name, "register", what): 1 for what in (READ, WRITE)}
    return priced(machine, actions)[1]


def check_searchable(
    cascade: Cascade, machine: Machine, objective: str, starts: Sequence[Mapping] = ()
) -> None:
    """EinsimError where no unit can compute some Einsum, SpecError where a search for the least energy would
    take what isn't stated for free, a start leaves something on chip, or a power cap moves the clock.

    Leakage may be missing: without it the energy that is compared is that of the actions.
    """
    if machine.power:
        rule = f"{machine.name} has a power cap, and a search doesn't know the clock that it leaves"
        raise SpecError("", rule, where="--mapping auto", hint="give a mapping, or leave out `power`")
    if halting := [unit.name for unit in machine.units if unit.overlap]:
        rule = f"a search takes all of a tile to overlap, and that of {', '.join(halting)} doesn't"
        raise SpecError("", rule, where="--mapping auto", hint="give a mapping, or leave out `overlap`")
    for start in starts:
        if stay := stayers(start):
            rule = "has tensors that stay on chip, and what is searched reads and leaves all in DRAM"
            raise SpecError("starts", rule, got=", ".join(stay))
    for einsum in cascade.einsums:
        computing(cascade, machine, einsum)
    missing = unpriced(cascade, machine) if objective in ("energy", "edp") else ()
    if missing:
        rule = f"{machine.name} doesn't state the energy of {', '.join(missing)}: it would count for nothing"
        hint = "state it (0pJ is a statement), or choose --objective latency, buffer or pareto"
        raise SpecError("", rule, got=objective, where="--objective", hint=hint)
