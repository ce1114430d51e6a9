"""What the cores of a unit have of a tensor: each its points of the ranks along the cores, the rest in full.

Points of the cores' ranks go round the cores one by one, whatever the loops. Where only some of those ranks
move a tensor, its share is counted as if the others were walked outermost: never too small.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.layout import Layout, Leaf, points_below
from einsim.dataflow.mapping import Compute
from einsim.specs.arrays import Floats
from einsim.specs.rules import Number, rule, up
from einsim.workloads.cascade import Access, Cascade, Index


@rule
def cores_met(points: Number, cores: Number) -> Number:
    """Cores that points which go round them lie on."""
    return min(points, cores)


@rule
def on_a_core(points: Number, cores: Number) -> Number:
    """Points on the core that has most of those that go round."""
    return up(points, cores)


def cores_ranks(node: Compute) -> tuple[str, ...]:
    """Ranks along the cores."""
    return node.spatial.get("cores", ())


def cores_of(machine: Machine, memory: str) -> int:
    """Cores that have a memory, or a unit's registers, each to itself."""
    unit = next((unit for unit in machine.units if unit.name == memory), None)
    return machine.memory(memory).copies if unit is None else unit.dims.get("cores", 1)


def read_apart(machine: Machine, memory: str) -> bool:
    """Whether each core reads a memory, or a unit's registers, by itself."""
    return not machine.multicast or cores_of(machine, memory) > 1


def parted(cascade: Cascade, node: Compute) -> set[str]:
    """Reduced ranks along the cores: each core has its part of the results then."""
    reduced = cascade.einsum(node.einsum).reduced
    return {rank for rank in cores_ranks(node) if rank in reduced and cascade.size(rank) > 1}


def parts_in(cascade: Cascade, machine: Machine, node: Compute, memory: str) -> bool:
    """Whether a memory, or a unit's registers, has each core's part of a leaf's results by itself."""
    return cores_of(machine, memory) > 1 and bool(parted(cascade, node))


def going_round(node: Compute, extents: Mapping[str, int], cores: int) -> tuple[str, ...]:
    """Ranks along the cores by which a tile's points lie on different ones: none of a single point, nor
    those that move by whole rounds.
    """
    found, stride = [], 1
    for rank in reversed(cores_ranks(node)):
        points = extents.get(rank, 1)  # a template may try a rank that the Einsum doesn't iterate
        if points > 1 and stride % cores:
            found.append(rank)
        stride *= points
    return tuple(reversed(found))


def going_round_alike(
    node: Compute, extents: Mapping[str, Floats], cores: int, count: int
) -> list[slice | NDArray[np.int64]]:
    """The numbers of `count` tiles with `extents` [count] of each rank, of those together that have the same
    ranks `going_round`.
    """
    if not cores_ranks(node):
        return [slice(count)]
    code, stride = np.zeros(count, np.int64), np.ones(count)
    for rank in reversed(cores_ranks(node)):
        points = extents.get(rank, np.ones(1))
        code = 2 * code + ((points > 1) & (stride % cores != 0))
        stride = stride * points
    if not count or (code == code[0]).all():
        return [slice(count)]
    return [np.flatnonzero(code == one) for one in np.unique(code)]


class Turn(NamedTuple):
    """How a rank turns points round the cores: which indices of an access (else: which rank), by how many
    cores a point, and tiles and extents of the loops that this depends on.
    """

    where: object
    stride: int
    loops: tuple[tuple[int, int], ...]


def dealt(
    cascade: Cascade, machine: Machine, layout: Layout, leaf: Leaf, access: Access,
    shared: Collection[int] = (),
) -> dict[str, Turn]:  # fmt: skip
    """What decides the core on which a leaf has an element of an access, by rank: leaves of the same values
    have it on the same one in each iteration of the `shared` loops, which they all are in.
    """
    cores, ranks = machine.unit(leaf.node.unit).dims.get("cores", 1), cores_ranks(leaf.node)
    extents, stride = points_below(layout, cascade, leaf.path), 1
    uneven: tuple[tuple[int, int], ...] = ()
    found: dict[str, Turn] = {}
    for rank in reversed(ranks):  # the last is the fastest; the first counts from its own beginning
        first = rank == ranks[0]
        loops = [loop for at in leaf.path if rank in (loop := layout.loops[at]).ranks]
        own = tuple((loop.tile, loop.extent) for loop in loops if loop.count > 1 and loop.id not in shared)
        still = (cascade.size(rank) if first else extents[rank]) == 1
        if not still and (stride % cores or uneven):
            where = [(at, _moved(index)) for at, index in enumerate(access.indices) if rank in index.ranks]
            found[rank] = Turn(tuple(where) or rank, stride % cores, uneven if first else own)
        stride *= extents[rank]
        uneven += own if any(loop.extent % loop.tile for loop in loops) else ()
    return found


def _moved(index: Index) -> object:
    """An index, whatever its rank is called where it is a single one."""
    return index.offset if [term.coefficient for term in index.terms] == [1] else index


def wanting(unit: Unit, node: Compute, moved: Iterable[str], extents: Mapping[str, int]) -> int:
    """Cores that want the same element of a tensor which the ranks `moved` move."""
    still = set(cores_ranks(node)) - set(moved)
    return cores_met(math.prod(extents[rank] for rank in still), unit.dims.get("cores", 1)) if still else 1


def copied(unit: Unit, node: Compute, moved: Iterable[str], extents: Mapping[str, int]) -> int:
    """Cores that want an element of a tensor which the ranks `moved` move."""
    mine, ranks = set(moved), cores_ranks(node)
    if not mine & set(ranks) or mine >= set(ranks):
        return wanting(unit, node, moved, extents)
    places = _round(tuple(extents[rank] for rank in ranks), unit.dims["cores"])
    return sum(1 for count in _met(places, [rank not in mine for rank in ranks]) if count)


@lru_cache(maxsize=4096)
def most_places(extents: tuple[int, ...], chosen: tuple[bool, ...], cores: int) -> int:
    """Different places of the chosen ranks that one core has at most, where all places go round the cores."""
    places = _round(extents, cores)
    mine = _met(places, chosen)
    others = [at for at, count in enumerate(_met(places, [not one for one in chosen])) if count]
    return max(sum(mine[(core - at) % cores] for at in others) for core in range(cores))


def _round(extents: tuple[int, ...], cores: int) -> list[list[int]]:
    """How many points of each rank lead to each core, the others standing at their first."""
    found, stride = [], 1
    for extent in reversed(extents):
        period = cores // math.gcd(stride, cores)
        counts = [0] * cores
        for at in range(min(extent, period)):
            counts[at * stride % cores] = on_a_core(extent - at, period)
        found.append(counts)
        stride = stride * extent % cores
    return found[::-1]


def _met(places: list[list[int]], chosen: Iterable[bool]) -> list[int]:
    """How many places of the chosen ranks together lead to each core."""
    cores = len(places[0])
    found = [1] + [0] * (cores - 1)
    for counts, one in zip(places, chosen, strict=True):
        if one:
            before, steps = ([(at, n) for at, n in enumerate(some) if n] for some in (found, counts))
            found = [0] * cores
            for start, times in before:
                for at, count in steps:
                    found[(start + at) % cores] += times * count
    return found


def share(unit: Unit, node: Compute, moved: Iterable[str], extents: Mapping[str, int]) -> dict[str, int]:
    """The extents with those of the cores' ranks that move the tensor cut to what one core has at most."""
    cores = unit.dims.get("cores", 1)
    mine = [rank for rank in cores_ranks(node) if rank in set(moved)]
    copies = wanting(unit, node, moved, extents)
    left = on_a_core(math.prod(extents[rank] for rank in mine) * copies, cores)
    found = dict(extents)
    for rank in reversed(mine):
        found[rank] = min(extents[rank], left)
        left = -(-left // found[rank])
    return found
