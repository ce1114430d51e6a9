"""A nest as arrays of numbers: what the compiled model reads."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from accel.machine import Machine
from dataflow.leaf import cycles_per_point
from dataflow.lower import Clock, port_name
from dataflow.mapper.nest import Nest, operands
from workloads.cascade import Cascade

PICO = 1e-12

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Scales(msgspec.Struct, frozen=True, kw_only=True):
    """How counts become ticks, joules and limits on one machine.

    `engines`: every unit, then every port that limits; `memories`: DRAM first.
    """

    engines: tuple[str, ...]
    memories: tuple[str, ...]
    unit_ticks: dict[str, int]
    read: tuple[tuple[int, int], ...]  # by memory: engine (-1: never limits) and ticks a byte
    write: tuple[tuple[int, int], ...]
    read_j: tuple[float, ...]  # by memory: joules a byte
    write_j: tuple[float, ...]
    capacity: tuple[float, ...]
    ticks_per_cycle: int
    tick_s: float
    leakage_w: float


def scales(machine: Machine) -> Scales:
    """The scales of a machine."""
    clock = Clock(machine)
    memories = (machine.dram, *(memory for memory in machine.memories if memory is not machine.dram))
    memories = tuple(m for m in memories if m.parent is None) + tuple(m for m in memories if m.parent)
    units = tuple(unit.name for unit in machine.units)
    engines = (*units, *clock.byte_ticks)

    def port(reads: bool) -> tuple[tuple[int, int], ...]:
        names = [port_name(memory, reads) for memory in memories]
        return tuple(
            (engines.index(n), clock.byte_ticks[n]) if n in clock.byte_ticks else (-1, 0) for n in names
        )

    return Scales(
        engines=engines, memories=tuple(m.name for m in memories), unit_ticks=clock.unit_ticks,
        read=port(True), write=port(False),
        read_j=tuple(m.read_pj / m.access_bytes * PICO for m in memories),
        write_j=tuple(m.write_pj / m.access_bytes * PICO for m in memories),
        capacity=tuple(
            math.inf if m.capacity_bytes is None or m.parent is None else m.capacity_bytes for m in memories
        ),
        ticks_per_cycle=clock.ticks_per_cycle, tick_s=1 / (clock.ticks_per_cycle * machine.clock_hz),
        leakage_w=machine.leakage_w + sum(m.leakage_w for m in machine.memories),
    )  # fmt: skip


class Tables(NamedTuple):
    """A nest for the compiled model. D loops, R ranks, X tensors (the output last), O choices of homes.

    A choice has up to three homes: `depth`, `memory` (index; -1: none), `moves` and `holds` (0 or 1).
    """

    loop_rank: Ints  # [D]
    sizes: Ints  # [R]
    moved: Ints  # [X, R]: the rank moves the tensor
    value_bytes: Floats  # [X]
    whole_bytes: Floats  # [X]
    first: Ints  # [X + 1]: a tensor's choices are first[x] .. first[x + 1]
    depth: Ints  # [O, 3]
    memory: Ints  # [O, 3]
    moves: Ints  # [O, 3]
    holds: Ints  # [O, 3]
    reduced: Ints  # [R]
    dim_of: Ints  # [R]: dimension that the rank lies along, -1 for none
    dim_width: Ints  # [S]
    is_cores: Ints  # [S]
    least_steps: int  # a systolic array needs this many cycles a tile where weights stay; 0: it does not
    issue: int  # cycles a point
    engine: int
    unit_ticks: float
    point_j: float
    register_j: float
    rates: Floats  # [2, M, 3]: read/write x memory x (engine, ticks a byte, joules a byte)
    capacity: Floats  # [M]
    engines: int


def tables(cascade: Cascade, machine: Machine, nest: Nest, scale: Scales) -> Tables:
    """The arrays of a nest."""
    einsum = cascade.einsum(nest.einsum)
    unit = machine.unit(nest.node.unit)
    ranks = einsum.ranks
    at = {rank: number for number, rank in enumerate(ranks)}
    every = operands(cascade, einsum)
    moved = np.array([[rank in operand.moved for rank in ranks] for operand in every], np.int64)
    value = np.array([cascade.tensor(operand.tensor).bits // 8 for operand in every], np.float64)
    whole = value * [math.prod(cascade.shape(operand.tensor)) for operand in every]
    homes = [choice for choices in nest.choices for choice in choices]
    wide = len(homes)
    fields = {name: np.full((wide, 3), -1, np.int64) for name in ("depth", "memory", "moves", "holds")}
    for row, choice in enumerate(homes):
        for column, home in enumerate(choice):
            fields["depth"][row, column] = home.depth
            fields["memory"][row, column] = scale.memories.index(home.memory)
            fields["moves"][row, column] = home.moves
            fields["holds"][row, column] = home.holds
    dims = [dim for dim in nest.node.spatial if nest.node.spatial[dim]]
    dim_of = np.full(len(ranks), -1, np.int64)
    for number, dim in enumerate(dims):
        for rank in nest.node.spatial[dim]:
            dim_of[at[rank]] = number
    holds_weights = unit.kind == "systolic" and nest.node.stationarity != "output-stationary"
    registers = unit.registers
    rates = np.array([
        [[*scale.read[m], scale.read_j[m]] for m in range(len(scale.memories))],
        [[*scale.write[m], scale.write_j[m]] for m in range(len(scale.memories))],
    ], np.float64)  # fmt: skip
    return Tables(
        loop_rank=np.array([at[rank] for rank in nest.loops], np.int64),
        sizes=np.array([cascade.size(rank) for rank in ranks], np.int64),
        moved=moved, value_bytes=value, whole_bytes=whole,
        first=np.cumsum([0, *(len(choices) for choices in nest.choices)]).astype(np.int64),
        **fields,
        reduced=np.array([rank in einsum.reduced for rank in ranks], np.int64),
        dim_of=dim_of, dim_width=np.array([unit.dims[dim] for dim in dims], np.int64),
        is_cores=np.array([dim == "cores" for dim in dims], np.int64),
        least_steps=unit.dims.get("rows", 1) if holds_weights else 0,
        issue=max(1, cycles_per_point(unit, einsum.ops)),
        engine=scale.engines.index(unit.name), unit_ticks=float(scale.unit_ticks[unit.name]),
        point_j=sum(unit.cost(op).energy_pj for op in einsum.ops) * PICO,
        register_j=(registers.read_pj + registers.write_pj) * PICO if registers else 0.0,
        rates=rates, capacity=np.array(scale.capacity), engines=len(scale.engines),
    )  # fmt: skip


def menu_arrays(menus: list[tuple[int, ...]]) -> tuple[Ints, Ints]:
    """Menus of all loops end to end, and where each begins."""
    starts = np.cumsum([0, *map(len, menus)]).astype(np.int64)
    values: Any = [value for one in menus for value in one]
    return np.array(values, np.int64), starts
