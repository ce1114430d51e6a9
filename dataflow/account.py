"""Counted actions to energy and traffic: the same books for the analytical model and the simulator.

Energy = actions x energy per action + leakage x time. An action is an op issued on a PE, a register access,
or a whole access to a memory: each transfer, and what one tile reads or writes of a tensor, is rounded up to
those.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from einsim.accel.machine import LEAKAGE, Machine
from einsim.dataflow.program import READ, WRITE, Action, MemoryAccess, Program
from einsim.dataflow.result import EinsumCost
from einsim.dataflow.volume import costs_of, tally_of

#: Instances of each operation by its tile extents.
Counts = Mapping[int, Mapping[tuple[int, ...], int]]

PICO = 1e-12
MOVES = "loads and stores"
"""What no Einsum spends by itself: the energy of transfers between memories."""


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Energy in J by component and what of it isn't stated, bytes by memory and tensor, useful ones and
    those of whole accesses, each Einsum's share, and the energy that is no Einsum's.
    """

    energy_by: dict[str, float]
    energy_not_stated: tuple[str, ...]
    energy_beside: dict[str, float]
    traffic: dict[str, dict[str, int]]
    moved_bytes: dict[str, dict[str, int]]
    by_einsum: dict[str, EinsumCost]
    active_pe_ticks: dict[str, int]
    dram_bytes: int


def keep_books(
    program: Program,
    machine: Machine,
    counts: Counts,
    seconds: float,
    commands: Mapping[str, Mapping[str, float]] = {},
) -> Books:
    """Sum what every operation did, `counts` times each.

    `commands` gives the energy in J by command of memories that were timed: it stands for that of their
    accesses, and has their background, which is not known without.
    """
    actions: Counter[Action] = Counter()
    moves: Counter[Action] = Counter()
    places = [memory.name for memory in machine.memories if memory.name not in commands]
    accesses = Counter({Action(name, "access", what): 0 for name in places for what in (READ, WRITE)})
    traffic: dict[str, dict[str, int]] = {memory.name: {} for memory in machine.memories}
    moved: dict[str, dict[str, int]] = {memory.name: {} for memory in machine.memories}
    shares: dict[str, EinsumCost] = {}
    active: dict[str, int] = {unit.name: 0 for unit in machine.units}
    for op in program.ops:
        tally, rates = tally_of(op, counts[op.id])
        own = Counter(tally.actions)
        for (at, tensor), size in tally.traffic.items():
            traffic[at][tensor] = traffic[at].get(tensor, 0) + size
        for (at, tensor, what), number in tally.whole(machine).items():
            action = Action(at, "access", what)
            if action in accesses:
                own[action] += number
            moved[at][tensor] = moved[at].get(tensor, 0) + number * machine.memory(at).access_bytes
        for action, number in own.items():
            (accesses if action.kind == "access" else actions)[action] += number
        if op.kind == "compute":
            active[op.engine] += tally.active_ticks(rates)
            spent, unknown = priced(machine, own)
            shares[op.subject] = EinsumCost(
                unit=op.engine, points=tally.points,
                cycles=-(-tally.own_ticks(rates) // program.ticks_per_cycle),
                energy_stated_j=math.fsum(spent.values()) if spent else None, energy_not_stated=unknown,
            )  # fmt: skip
        else:
            moves.update(own)
    energy, missing = priced(machine, {**actions, **accesses})
    moving = priced(machine, moves)[0]
    beside = {MOVES: math.fsum(moving.values())} if moving else {}
    for name, by_command in commands.items():
        each = {f"{name} {command}": joules for command, joules in by_command.items()}
        energy |= each
        beside |= each
    if machine.dram.timing and machine.dram.name in places:
        missing = (*missing, f"{machine.dram.name} background")
    if machine.leakage_w is None:
        missing = (*missing, LEAKAGE)
    if machine.static_w:
        energy[LEAKAGE] = beside[LEAKAGE] = machine.static_w * seconds
    return Books(
        energy_by=energy,
        energy_not_stated=missing,
        energy_beside=beside,
        traffic=traffic,
        moved_bytes=moved,
        by_einsum=shares,
        active_pe_ticks=active,
        dram_bytes=sum(traffic[machine.dram.name].values()),
    )


def accesses_of(machine: Machine, access: MemoryAccess) -> tuple[tuple[Action, int], ...]:
    """Whole accesses of a memory, those that read and those that write."""
    memory = machine.memory(access.memory)
    return (
        (Action(memory.name, "access", READ), memory.accesses(access.read_bytes)),
        (Action(memory.name, "access", WRITE), memory.accesses(access.write_bytes)),
    )


def priced(machine: Machine, actions: Mapping[Action, int]) -> tuple[dict[str, float], tuple[str, ...]]:
    """Joules by component of so many actions, and the labels of those whose energy isn't stated."""
    energy: dict[str, float] = {}
    missing = []
    for action, number in actions.items():
        each_pj = action_pj(machine, action)
        if each_pj is not None:
            energy[action.component] = energy.get(action.component, 0.0) + each_pj * number * PICO
        elif number:
            missing.append(action.label)
    return energy, tuple(missing)


def action_pj(machine: Machine, action: Action) -> float | None:
    """Energy of one action in pJ, None where the machine doesn't state it."""
    if action.kind == "op":
        return machine.unit(action.holder).cost(action.what).energy_pj
    if action.kind == "access":
        holder = machine.memory(action.holder)
        return holder.read_pj if action.what == READ else holder.write_pj
    registers = machine.unit(action.holder).registers
    if registers is None:
        return 0.0
    return registers.read_pj if action.what == READ else registers.write_pj


def byte_pj(machine: Machine, memory: str, what: str) -> float:
    """Energy of a byte of whole accesses in pJ; 0 where it isn't stated."""
    return (action_pj(machine, Action(memory, "access", what)) or 0.0) / machine.memory(memory).access_bytes


def point_pj(machine: Machine, unit: str, issues: Iterable[str]) -> float:
    """Energy of the ops of one point in pJ, of those where it is stated."""
    return sum(action_pj(machine, Action(unit, "op", op)) or 0.0 for op in issues)


def static_counts(program: Program) -> dict[int, dict[tuple[int, ...], int]]:
    """Instances of every operation by tile extents, from the loops alone."""
    return {op.id: costs_of(op).tiles.counts for op in program.ops}
