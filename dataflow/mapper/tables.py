"""A nest as arrays of numbers: what the compiled model reads."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.account import PICO, action_pj, byte_pj, point_pj
from einsim.dataflow.clock import Clock, port_name
from einsim.dataflow.cores import cores_ranks, read_apart
from einsim.dataflow.feed import LaidTile
from einsim.dataflow.footprint import access_of
from einsim.dataflow.forms import compressed
from einsim.dataflow.leaf import (
    cycles_per_point,
    issued_ops,
    leave_each_step,
    load_steps,
    merging,
    partial_sum,
    passing_whole,
    skips,
    sparse_rank,
)
from einsim.dataflow.mapper.band import UNTIED, band_of, ties
from einsim.dataflow.mapper.exact import counts
from einsim.dataflow.mapper.nest import Nest, Operand, Retention, operands, shifts
from einsim.dataflow.passing import kind_of
from einsim.dataflow.program import READ, WRITE, Action
from einsim.specs.arrays import Floats, Ints
from einsim.workloads.cascade import Access, Cascade, Einsum


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

    @property
    def width(self) -> int:
        """Columns of a row: ticks of engines, joules, bytes in memories."""
        return len(self.engines) + 1 + len(self.memories)


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
        read_j=tuple(byte_pj(machine, m.name, READ) * PICO for m in memories),
        write_j=tuple(byte_pj(machine, m.name, WRITE) * PICO for m in memories),
        capacity=tuple(
            math.inf
            if m.capacity_bytes is None or m.parent is None
            else m.capacity_bytes - taken.get(m.name, 0)
            for m in memories
        ),
        ticks_per_cycle=clock.ticks_per_cycle, tick_s=1 / (clock.ticks_per_cycle * machine.clock_hz),
        leakage_w=machine.static_w,
    )  # fmt: skip


#: Columns of `Tables.place`, `fmt`, `home`, `dim` and `mem`, and places in `one`.
DIM, REDUCED, CORE, BOUND = range(4)
BITS, N, M, META_BITS, FIBRE, SUM_BITS = range(6)
DEPTH, MEMORY, MOVED, HOLDS = range(4)
MIRRORED = -3
WIDTH, RANKS, SHARED, SERIAL, TIED = range(5)
(
    READ_ENGINE, READ_TICKS, READ_J, WRITE_ENGINE, WRITE_TICKS, WRITE_J, CAPACITY, COPIES, APART, ACCESS,
    VALUE_BITS,
) = range(11)  # fmt: skip
(
    CORE_RANK, CORES, LEAST_STEPS, ENGINE, POINT_TICKS, POINT_J, REGISTER_J, BUFFERS, ENGINES, STAYS, PART_J,
    WAITING,
) = range(12)  # fmt: skip


class Tables(NamedTuple):
    """A nest for the compiled model. D loops, R ranks, X tensors (the output last), O choices, H homes.

    S dimensions are those of one core, and one of all cores for the ranks that only they share. A flag is
    0 or 1.
    """

    loop_rank: Ints  # [D]
    sizes: Floats  # [R]
    place: Ints  # [R, 4]: dimension of the rank (-1: none); reduced; goes round the cores inside a dimension;
    #                      tied by a band
    pattern: Floats  # [R, 2]: n and m of what remains to be computed; m is 0 where all does
    fmt: (
        Floats  # [X, 6]: bits of a value, n, m, bits of metadata a kept value, the rank of fibres; m is 0 for
    )
    #                      a dense tensor; then bits of a value while it is a partial sum
    moved: Ints  # [X, R]: the rank moves the tensor
    feed: Ints  # [X, R]: what the rank is to the tensor as it passes, see `einsim.dataflow.feed.kind_of`
    still: Ints  # [X]: the operand is stationary
    times: Ints  # [X]: how many steps of a state pass, or points of a rank at each of its points
    first: Ints  # [X + 1]: a tensor's choices are first[x] .. first[x + 1]
    home: Ints  # [O, H, 4]: depth, memory (-1: none), whether data moves and bytes are counted there
    dim: Ints  # [S, 5]: width; how many ranks; which of them goes round the cores (-1: none); walked in time;
    #                    whether some are tied
    along: Ints  # [S, R]: ranks of a dimension, the last one fastest
    mem: Floats  # [M, 11]: engine, ticks and joules a byte of reads, then of writes; bytes; copies; read
    #                       apart; bytes of an access; least bits of a value
    band: Floats  # [6]: how bounds tie two ranks, see `einsim.dataflow.mapper.band`
    walk: Ints  # [X, R]: the ranks to walk over to meet all tiles of a tensor: a for both that are tied
    grain: Floats  # [X + 2, 3]: so many points of a, and of b, pass together of a tensor, are a step, a fold;
    #                            whether both move it
    far: Ints  # [X, R, 2]: the rank that an index of the tensor adds to this one, and how many of this one's
    #                       points one of its own is; -1: none, -2: this rank is the one that is added;
    #                       MIRRORED: each tile has all of this one
    one: Floats  # scalars: the rank along the cores (-1: none or several), cores, least cycles of a tile, ...


def tables(
    cascade: Cascade, machine: Machine, nest: Nest, scale: Scales, alike: Tables | None = None
) -> Tables:
    """The arrays of a nest; those of another order of the same leaf (`alike`) are shared."""
    einsum = cascade.einsum(nest.einsum)
    loop_rank, first, home = _ordered(nest, einsum, scale)
    if alike is not None:
        return alike._replace(loop_rank=loop_rank, first=first, home=home)
    unit = machine.unit(nest.node.unit)
    ranks = einsum.ranks
    at = {rank: number for number, rank in enumerate(ranks)}
    every = operands(cascade, einsum)
    accesses = [access_of(einsum, operand.tensor) for operand in every]
    tied = band_of(cascade, machine, einsum) or UNTIED
    moved = np.array([[rank in operand.moved for rank in ranks] for operand in every], np.int64)
    laid = LaidTile(unit, nest.node, einsum, {rank: (0, cascade.size(rank)) for rank in ranks}, {}, None)
    passing = [passing_whole(cascade, unit, einsum, operand.tensor) for operand in every[:-1]]
    cores = cores_ranks(nest.node)
    alone = tuple(rank for rank in cores if rank not in laid.placed)
    bound = {ranks[int(number)] for number in tied[:2] if number >= 0}
    rows = [
        (unit.dims[dim], len(some), next((n for n, r in enumerate(some) if r in cores), -1), 0)
        for dim, some in laid.dims.items()
    ]
    dims = [*laid.dims.values(), *([alone] if alone else [])]
    rows += [(laid.cores, len(alone), -1, 1)] if alone else []
    dim_of = {rank: number for number, some in enumerate(dims) for rank in some}
    adding = (Action(unit.name, "register", way) for way in (READ, WRITE))
    issues = issued_ops(cascade, unit, einsum)
    part_pj = (action_pj(machine, merging(unit, einsum)) or 0.0) if einsum.reduced else 0.0
    cycles = max(1, cycles_per_point(unit, issues))
    still = np.array([access == laid.still for access in accesses], np.int64)
    band, walk, grain = ties(tied, unit, nest.node, einsum, moved, still)
    return Tables(
        sizes=np.array([cascade.size(rank) for rank in ranks], np.float64),
        place=np.array([
            (dim_of.get(r, -1), r in einsum.reduced, r in cores and r in laid.placed, r in bound)
            for r in ranks
        ], np.int64).reshape(len(ranks), 4),
        pattern=_patterns(cascade, unit, einsum),
        fmt=np.array([
            (*_format(cascade, machine, einsum, access), partial_sum(cascade, unit, einsum).bits)
            for access in accesses
        ], np.float64),
        moved=moved,
        feed=np.array([
            [kind_of(rank, operand.moved, whole) for rank in ranks]
            for operand, whole in zip(every, [*passing, frozenset[str]()], strict=True)
        ], np.int64),
        still=still,
        times=np.array([
            2 if operand.mirrored in ranks and operand.mirrored not in dim_of else operand.times
            for operand in every
        ], np.int64),
        dim=np.array(
            [(*row, bool(bound & {*some})) for row, some in zip(rows, dims, strict=True)], np.int64
        ).reshape(len(rows), 5),
        along=np.array(
            [[*(at[rank] for rank in some), *[-1] * (len(ranks) - len(some))] for some in dims], np.int64
        ).reshape(len(dims), len(ranks)),
        mem=_memories(machine, scale), band=band, walk=walk, grain=grain,
        far=np.array(
            [_far(cascade, einsum, operand) for operand in every], np.int64
        ).reshape(len(every), len(ranks), 2),
        one=np.array([
            at[cores[0]] if len(cores) == 1 else -1, laid.cores, load_steps(unit, nest.node),
            scale.engines.index(unit.mode_of or unit.name), cycles * scale.unit_ticks[unit.name],
            point_pj(machine, unit.name, issues) * PICO,
            sum(action_pj(machine, action) or 0.0 for action in adding) * PICO,
            nest.buffers, len(scale.engines), leave_each_step(nest.node), part_pj * PICO,
            not unit.operand_load.hidden,
        ], np.float64),
        loop_rank=loop_rank, first=first, home=home,
    )  # fmt: skip


def _ordered(nest: Nest, einsum: Einsum, scale: Scales) -> tuple[Ints, Ints, Ints]:
    """What hangs on the order of a nest's loops and where tensors may stay among them: `loop_rank`, `first`
    and `home`.
    """
    loops = np.array([einsum.ranks.index(rank) for rank in nest.loops], np.int64)
    first = np.array([0, *itertools.accumulate(map(len, nest.choices))], np.int64)
    return loops, first, _homes(nest, scale)


def _far(cascade: Cascade, einsum: Einsum, operand: Operand) -> list[tuple[int, int]]:
    """A tensor's row of `Tables.far`."""
    found = [(-1, 0)] * len(einsum.ranks)
    for near, (far, ratio) in (shifts(cascade, access_of(einsum, operand.tensor)) or {}).items():
        found[einsum.ranks.index(near)] = (einsum.ranks.index(far), ratio)
        found[einsum.ranks.index(far)] = (-2, 0)
    if operand.mirrored:
        found[einsum.ranks.index(operand.mirrored)] = (MIRRORED, 0)
    return found


def _memories(machine: Machine, scale: Scales) -> Floats:
    return np.array([
        (
            *scale.read[m], scale.read_j[m], *scale.write[m], scale.write_j[m], scale.capacity[m], one.copies,
            read_apart(machine, one.name), one.access_bytes, one.value_bits,
        )
        for m, one in enumerate(map(machine.memory, scale.memories))
    ], np.float64)  # fmt: skip


def _homes(nest: Nest, scale: Scales) -> Ints:
    """The homes of all choices, one row a choice."""
    parts = [_homes_of(choices, scale.memories) for choices in nest.choices]
    found = np.full((sum(map(len, parts)), max(part.shape[1] for part in parts), 4), -1, np.int64)
    begin = 0
    for part in parts:
        found[begin : begin + len(part), : part.shape[1]] = part
        begin += len(part)
    return found


@lru_cache(maxsize=16_384)
def _homes_of(choices: tuple[tuple[Retention, ...], ...], memories: tuple[str, ...]) -> Ints:
    """The homes of one tensor's choices."""
    found = np.full((len(choices), max(1, max(map(len, choices), default=1)), 4), -1, np.int64)
    for row, choice in enumerate(choices):
        for column, home in enumerate(choice):
            found[row, column] = (home.depth, memories.index(home.memory), home.moves, home.holds)
    return found


def _format(
    cascade: Cascade, machine: Machine, einsum: Einsum, access: Access
) -> tuple[float, float, float, float, float]:
    """How a tensor's elements become bytes."""
    tensor = cascade.tensor(access.tensor)
    pattern = tensor.sparsity
    rank = sparse_rank(cascade, access)
    if not compressed(machine, tensor) or rank is None:
        return float(tensor.bits), 0.0, 0.0, 0.0, -1.0
    n, m = counts(pattern)
    place = float(einsum.ranks.index(rank))
    return float(tensor.bits), float(n), float(m), float(pattern.metadata_bits(1)), place


def _patterns(cascade: Cascade, unit: Unit, einsum: Einsum) -> Floats:
    """What of each rank remains to be computed, as `einsim.dataflow.leaf.exploited` has it."""
    found = np.zeros((len(einsum.ranks), 2))
    for rank, pattern in skips(cascade, unit, einsum, cascade.sizes):
        found[einsum.ranks.index(rank)] = counts(pattern)
    return found


def menu_arrays(menus: list[tuple[int, ...]]) -> tuple[Ints, Ints]:
    """Menus of all loops end to end, and where each begins."""
    starts = np.cumsum([0, *map(len, menus)]).astype(np.int64)
    values: Any = [value for one in menus for value in one]
    return np.array(values, np.int64), starts
