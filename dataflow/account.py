"""Counted actions to energy and traffic: the same books for the analytical model and the simulator.

Energy = actions x energy per action + leakage x time. An action is an op issued on a PE, a register access,
or a whole access to a memory: each transfer, and what one tile reads or writes of a tensor, is rounded up to
those.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from einsim.accel.machine import LEAKAGE, Machine
from einsim.dataflow.iteration import path_of
from einsim.dataflow.program import Program
from einsim.dataflow.result import EinsumCost

#: Instances of each operation by its tile extents.
Counts = Mapping[int, Mapping[tuple[int, ...], int]]

PICO = 1e-12
REGISTER_ACCESSES = ("register read", "register write")
"""Actions of a unit beside its ops."""


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Energy in J by component, bytes by memory and tensor, useful ones and those of whole accesses, and each
    Einsum's share.
    """

    energy_by: dict[str, float]
    traffic: dict[str, dict[str, int]]
    moved_bytes: dict[str, dict[str, int]]
    by_einsum: dict[str, EinsumCost]
    active_pe_ticks: dict[str, int]
    dram_bytes: int


def keep_books(program: Program, machine: Machine, counts: Counts, seconds: float) -> Books:
    """Sum what every operation did, `counts` times each."""
    actions: dict[str, int] = {}
    reads: dict[tuple[str, str], int] = {}
    writes: dict[tuple[str, str], int] = {}
    memories = {memory.name: memory for memory in machine.memories}
    accesses: dict[tuple[str, str], int] = {}
    moved: dict[str, dict[str, int]] = {memory.name: {} for memory in machine.memories}
    shares: dict[str, EinsumCost] = {}
    active: dict[str, int] = {unit.name: 0 for unit in machine.units}
    for op in program.ops:
        own: dict[str, int] = {}
        ticks = points = 0
        for key, times in counts[op.id].items():
            cost = op.costs[key]
            for action, number in cost.actions.items():
                own[action] = own.get(action, 0) + number * times
            for access in cost.accesses:
                at = (access.memory, access.tensor)
                reads[at] = reads.get(at, 0) + access.read_bytes * times
                writes[at] = writes.get(at, 0) + access.write_bytes * times
                for kind, size in (("read", access.read_bytes), ("write", access.write_bytes)):
                    memory = memories[access.memory]
                    count = memory.accesses(size) * times
                    accesses[memory.name, kind] = accesses.get((memory.name, kind), 0) + count
                    whole = moved[memory.name].get(access.tensor, 0) + count * memory.access_bytes
                    moved[memory.name][access.tensor] = whole
            ticks += cost.ticks * times
            points += cost.points * times
            if op.kind == "compute":
                active[op.engine] += cost.active_pe_ticks * times
        for action, number in own.items():
            actions[action] = actions.get(action, 0) + number
        if op.kind == "compute":
            shares[op.subject] = EinsumCost(
                unit=op.engine,
                cycles=-(-ticks // program.ticks_per_cycle),
                energy_j=sum(action_pj(machine, action) * number for action, number in own.items()) * PICO,
                points=points,
            )
    energy: dict[str, float] = {}
    for action, number in actions.items():
        unit, _, done = action.partition(":")
        name = f"{unit} registers" if done in REGISTER_ACCESSES else f"{unit} {done.partition('@')[0]}"
        energy[name] = energy.get(name, 0.0) + action_pj(machine, action) * number * PICO
    traffic: dict[str, dict[str, int]] = {memory.name: {} for memory in machine.memories}
    leakage = machine.leakage_w
    for memory in machine.memories:
        for (name, tensor), size in reads.items():
            if name == memory.name:
                traffic[name][tensor] = size + writes[name, tensor]
        counts_of = (accesses.get((memory.name, kind), 0) for kind in ("read", "write"))
        energy[memory.name] = sum(
            count * each * PICO
            for count, each in zip(counts_of, (memory.read_pj, memory.write_pj), strict=True)
        )
        leakage += memory.leakage_w
    if leakage:
        energy[LEAKAGE] = leakage * seconds
    return Books(
        energy_by=energy,
        traffic=traffic,
        moved_bytes=moved,
        by_einsum=shares,
        active_pe_ticks=active,
        dram_bytes=sum(traffic[machine.dram.name].values()),
    )


def action_pj(machine: Machine, action: str) -> float:
    """Energy of one action ("unit:op", or of its registers) in pJ."""
    unit_name, _, op = action.partition(":")
    unit = machine.unit(unit_name)
    if op in REGISTER_ACCESSES:
        if unit.registers is None:
            return 0.0
        return unit.registers.read_pj if op.endswith("read") else unit.registers.write_pj
    return unit.cost(op).energy_pj


def static_counts(program: Program) -> dict[int, dict[tuple[int, ...], int]]:
    """Instances of every operation by tile extents, from the loops alone."""
    return {op.id: path_of(op, program.loops, program.sizes).instances() for op in program.ops}
