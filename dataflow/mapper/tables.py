"""A nest as arrays of numbers: what the compiled model reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.clock import Clock, port_name
from einsim.dataflow.cores import cores_ranks
from einsim.dataflow.footprint import compressed
from einsim.dataflow.leaf import cycles_per_point, issued_ops
from einsim.dataflow.mapper.nest import Nest, counts, operands
from einsim.specs.arrays import Floats, Ints
from einsim.workloads.cascade import Cascade, Einsum

PICO = 1e-12


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


def scales(machine: Machine, taken: Mapping[str, int] = {}) -> Scales:
    """The scales of a machine of which some bytes are taken, by memory."""
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
            math.inf
            if m.capacity_bytes is None or m.parent is None
            else m.capacity_bytes - taken.get(m.name, 0)
            for m in memories
        ),
        ticks_per_cycle=clock.ticks_per_cycle, tick_s=1 / (clock.ticks_per_cycle * machine.clock_hz),
        leakage_w=machine.leakage_w + sum(m.leakage_w for m in machine.memories),
    )  # fmt: skip


#: Columns of `Tables.place`, `fmt`, `home`, `dim` and `mem`, and places in `one`.
DIM, REDUCED, CORE = range(3)
BITS, N, M, META_BITS = range(4)
DEPTH, MEMORY, MOVES, HOLDS = range(4)
WIDTH, PARTIAL = range(2)
READ_ENGINE, READ_TICKS, READ_J, WRITE_ENGINE, WRITE_TICKS, WRITE_J, CAPACITY, COPIES, APART = range(9)
CORE_RANK, CORES, LEAST_STEPS, ENGINE, POINT_TICKS, POINT_J, REGISTER_J, BUFFERS, ENGINES = range(9)


class Tables(NamedTuple):
    """A nest for the compiled model. D loops, R ranks, X tensors (the output last), O choices, H homes.

    S dimensions are those of one core. A flag is 0 or 1.
    """

    loop_rank: Ints  # [D]
    sizes: Floats  # [R]
    place: Ints  # [R, 3]: dimension that the rank lies along (-1: none), reduced, along the cores
    pattern: Floats  # [R, 2]: n and m of what remains to be computed; m is 0 where all does
    fmt: Floats  # [X, 4]: bits of a value, n, m, bits of metadata a kept value; m is 0 for a dense tensor
    moved: Ints  # [X, R]: the rank moves the tensor
    lacks: Ints  # [X, S]: no rank along the dimension moves the tensor
    first: Ints  # [X + 1]: a tensor's choices are first[x] .. first[x + 1]
    home: Ints  # [O, H, 4]: depth, memory (-1: none), whether data moves and bytes are counted there
    dim: Floats  # [S, 2]: width, and whether partial sums leave the array after each fold over it
    mem: Floats  # [M, 9]: engine, ticks and joules a byte of reads, then of writes; bytes; copies; read apart
    one: Floats  # scalars: the rank along the cores (-1: none or several), cores, least cycles of a tile, ...


def tables(cascade: Cascade, machine: Machine, nest: Nest, scale: Scales) -> Tables:
    """The arrays of a nest."""
    einsum = cascade.einsum(nest.einsum)
    unit = machine.unit(nest.node.unit)
    ranks = einsum.ranks
    at = {rank: number for number, rank in enumerate(ranks)}
    every = operands(cascade, einsum)
    moved = np.array([[rank in operand.moved for rank in ranks] for operand in every], np.int64)
    along = {dim: some for dim, some in nest.node.spatial.items() if dim != "cores" and some}
    dim_of = {rank: number for number, some in enumerate(along.values()) for rank in some}
    stays = nest.node.stationarity != "output-stationary"
    cores = cores_ranks(nest.node)
    widths = [
        (unit.dims[dim], stays and bool(set(some) & set(einsum.reduced))) for dim, some in along.items()
    ]
    lacks = [[not set(some) & operand.moved for some in along.values()] for operand in every]
    registers = unit.registers
    least = float(unit.dims.get("rows", 1)) if unit.kind == "systolic" and stays else 0.0
    issues = issued_ops(cascade, unit, einsum)
    cycles = max(1, cycles_per_point(unit, issues))
    return Tables(
        loop_rank=np.array([at[rank] for rank in nest.loops], np.int64),
        sizes=np.array([cascade.size(rank) for rank in ranks], np.float64),
        place=np.array([(dim_of.get(r, -1), r in einsum.reduced, r in cores) for r in ranks], np.int64),
        pattern=_patterns(cascade, unit, einsum),
        fmt=np.array([_format(cascade, machine, one.tensor) for one in every], np.float64),
        moved=moved, lacks=np.array(lacks, np.int64).reshape(len(every), len(along)),
        first=np.cumsum([0, *(len(choices) for choices in nest.choices)]).astype(np.int64),
        home=_homes(nest, scale),
        dim=np.array(widths, np.float64).reshape(len(along), 2),
        mem=_memories(machine, scale),
        one=np.array([
            at[cores[0]] if len(cores) == 1 else -1, unit.dims.get("cores", 1), least,
            scale.engines.index(unit.mode_of or unit.name), cycles * scale.unit_ticks[unit.name],
            sum(unit.cost(op).energy_pj for op in issues) * PICO,
            (registers.read_pj + registers.write_pj) * PICO if registers else 0.0,
            nest.buffers, len(scale.engines),
        ], np.float64),
    )  # fmt: skip


def _memories(machine: Machine, scale: Scales) -> Floats:
    rows = []
    for m, name in enumerate(scale.memories):
        copies = machine.memory(name).copies
        apart = copies > 1 or not machine.multicast
        rows.append(
            (
                *scale.read[m],
                scale.read_j[m],
                *scale.write[m],
                scale.write_j[m],
                scale.capacity[m],
                copies,
                apart,
            )
        )
    return np.array(rows, np.float64)


def _homes(nest: Nest, scale: Scales) -> Ints:
    """The homes of all choices, one row a choice."""
    every = [choice for choices in nest.choices for choice in choices]
    found = np.full((len(every), max(1, max(map(len, every), default=1)), 4), -1, np.int64)
    for row, choice in enumerate(every):
        for column, home in enumerate(choice):
            found[row, column] = (home.depth, scale.memories.index(home.memory), home.moves, home.holds)
    return found


def _format(cascade: Cascade, machine: Machine, name: str) -> tuple[float, float, float, float]:
    """How a tensor's elements become bytes."""
    tensor = cascade.tensor(name)
    pattern = tensor.sparsity
    if not compressed(machine, tensor):
        return float(tensor.bits), 0.0, 0.0, 0.0
    n, m = counts(pattern)
    return float(tensor.bits), float(n), float(m), float(max(0, m - 1).bit_length())


def _patterns(cascade: Cascade, unit: Unit, einsum: Einsum) -> Floats:
    """What of each rank remains to be computed, as `einsim.dataflow.leaf.exploited` has it."""
    found = np.zeros((len(einsum.ranks), 2))
    for access in einsum.reads if "mac" in einsum.ops else ():
        pattern = cascade.tensor(access.tensor).sparsity
        if set(pattern.patterns) & set(unit.exploits) and pattern.rank in einsum.ranks:
            found[einsum.ranks.index(pattern.rank)] = counts(pattern)
    return found


def menu_arrays(menus: list[tuple[int, ...]]) -> tuple[Ints, Ints]:
    """Menus of all loops end to end, and where each begins."""
    starts = np.cumsum([0, *map(len, menus)]).astype(np.int64)
    values: Any = [value for one in menus for value in one]
    return np.array(values, np.int64), starts
