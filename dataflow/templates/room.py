"""What all nests of a list take at least in each memory: only those that may fit are laid out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from einsim.accel.machine import Machine
from einsim.dataflow.cores import cores_ranks, on_a_core
from einsim.dataflow.footprint import least_elements, relevant_ranks, uses
from einsim.dataflow.leaf import partial_sum, returns
from einsim.dataflow.mapping import Compute
from einsim.dataflow.templates.blocks import Block, touched
from einsim.dataflow.templates.nest import LoopNest, UnitChoices, moving
from einsim.specs.arrays import Bools, Floats, Ints
from einsim.workloads.cascade import Cascade, Einsum

#: Where tensors stay between blocks: the memory of each, with all that are outside it.
Stays = Mapping[str, Collection[str]]


Orders = list[tuple[tuple[str, ...], tuple[str, ...], Bools]]
"""Ranks of loops and of parts of nests, outermost first, and which [N] of them have these."""


class ListRoom(NamedTuple):
    """Of each of N `nests`, by tensor and memory: whether the memory is on the `ways` to all of the tensor's
    users, and the bytes that a tile takes there in one buffer at least; by tensor whether its tile is
    `filled` more than once at least. And the `orders` of their loops.
    """

    nests: int
    ways: dict[tuple[str, str], Bools]
    bytes: dict[tuple[str, str], Floats]
    filled: dict[str, Bools]
    orders: Orders

    def held(self, stays: Stays, buffers: int) -> dict[str, Floats]:
        """Bytes [N] of the nests in each memory beside what stays, of what is filled once in one buffer."""
        found, none = dict[str, Floats](), np.zeros(self.nests)
        for (tensor, memory), size in self.bytes.items():
            if memory not in stays.get(tensor, ()):
                several = 1 + self.filled[tensor] * (buffers - 1)
                found[memory] = found.get(memory, none) + self.ways[tensor, memory] * size * several
        return found


def room_of_list(leaves: UnitChoices, nests: list[LoopNest]) -> ListRoom:
    """What a list's nests take."""
    cascade, machine, einsums = leaves.cascade, leaves.machine, nests[0].einsums
    sizes = {rank: cascade.size(rank) for einsum in einsums for rank in einsum.ranks}
    loops = [dict(nest.loops) for nest in nests]
    tile = {
        rank: np.array([one.get(rank, size) for one in loops], np.float64) for rank, size in sizes.items()
    }
    once = np.array([not nest.streamed for nest in nests])  # else parts of some come
    reached, found = dict[tuple[str, str], Floats](), dict[tuple[str, str], Floats]()
    away = [{*one.straight, *one.registers} for one in nests]
    kept = {name: np.array([name not in some for some in away]) * 1.0 for name in touched(einsums)}
    sizes_of = cache(partial(_tile, cascade, machine, einsums, tile))
    none = np.zeros(len(nests))
    for name, nodes in leaves.alike(nests).items():
        einsum = cascade.einsum(name)
        for tensor in touched((einsum,)):
            first = next(e for e in einsums if tensor in touched((e,))) is einsum
            for (way, along, cores, bits), rows in _laid_alike(leaves, einsum, tensor, nodes).items():
                for memory in way:
                    at = tensor, memory
                    reached.setdefault(at, none.copy())[rows] += kept[tensor][rows]
                    if first:
                        near = bits if memory == way[-1] else cascade.tensor(tensor).bits
                        least = max(near, machine.memory(memory).value_bits) / 8
                        values = sizes_of(tensor, memory, along, cores)[rows]
                        held = found.setdefault(at, none.copy())
                        held[rows] += kept[tensor][rows] * once[rows] * values * least
    users = Counter(tensor for einsum in einsums for tensor in touched((einsum,)))
    ways = {key: count == users[key[0]] for key, count in reached.items() if key in found}
    trips, orders = {rank: np.ceil(size / tile[rank]) for rank, size in sizes.items()}, orders_of(nests)
    filled = {tensor: _filled(cascade, einsums, tensor, orders, trips) for tensor, _ in found}
    return ListRoom(len(nests), ways, found, filled, orders)


def _laid_alike(
    leaves: UnitChoices, einsum: Einsum, tensor: str, nodes: list[tuple[Compute, Ints]]
) -> dict[tuple[tuple[str, ...], tuple[str, ...], int, int], Ints]:
    """Places of nests by the memories on the way of an Einsum's tensor, its ranks along how many cores, and
    bits of a value in the nearest memory.
    """
    found = dict[tuple[tuple[str, ...], tuple[str, ...], int, int], Ints]()
    for node, rows in nodes:
        unit, way = leaves.machine.unit(node.unit), tuple(leaves.homes(node, tensor))
        wide = tensor == einsum.name and way and returns(node, einsum, way[-1])
        of = partial_sum(leaves.cascade, unit, einsum) if wide else leaves.cascade.tensor(tensor)
        key = way, cores_ranks(node), unit.dims.get("cores", 1), of.bits
        found[key] = np.concatenate([found[key], rows]) if key in found else rows
    return found


def orders_of(nests: list[LoopNest]) -> Orders:
    """The orders in which some nests have loops and parts."""
    found = dict[tuple[tuple[str, ...], tuple[str, ...]], Bools]()
    for at, nest in enumerate(nests):
        order = tuple([rank for rank, _ in nest.loops]), tuple([rank for rank, _ in nest.parts])
        found.setdefault(order, np.zeros(len(nests), np.bool_))[at] = True
    return [(*order, here) for order, here in found.items()]


def _filled(
    cascade: Cascade, einsums: Block, tensor: str, orders: Orders, trips: Mapping[str, Floats]
) -> Bools:
    """Whether a loop stands outside a tensor's keep in each nest."""
    moved, made = moving(cascade, einsums, tensor), next((e for e in einsums if e.name == tensor), None)
    stays = (*made.reduced, *made.iterative) if made else ()
    found = np.zeros(len(orders[0][2]), np.bool_)
    for order, _, here in orders:
        outside = here
        for rank in order:
            if rank in stays:
                outside = outside & (trips[rank] == 1)
            elif rank in moved:
                found |= outside & (trips[rank] > 1)
    return found


def _tile(
    cascade: Cascade, machine: Machine, einsums: Block, tile: Mapping[str, Floats],
    tensor: str, memory: str, along: tuple[str, ...], cores: int,
) -> Floats:  # fmt: skip
    """Values [N] of a tensor's tiles in one buffer of a memory at least, where its first user has these ranks
    along so many cores: where each core has such a memory, those of the core with most, times the cores.
    """
    every = {access.indices: access for one in einsums for access in uses(one, tensor)}
    access = next(iter(every.values()))
    copies, points, moved = machine.memory(memory).copies, dict(tile), relevant_ranks(cascade, access)
    mine = [rank for rank in along if rank in moved]
    alone = all(len(index.ranks) == 1 for index in access.indices if {*index.ranks} & {*mine})
    if len(every) > 1 or not alone or tensor in cascade.overwritten:
        copies = 1  # what a core has of it takes more to say
    if copies > 1:
        wanting = np.prod([tile[rank] for rank in along if rank not in moved], axis=0)
        most = on_a_core(np.prod([tile[rank] for rank in mine], axis=0) * np.minimum(wanting, cores), cores)
        points |= dict.fromkeys(mine, np.ones(1)) | dict.fromkeys(mine[:1], most)
    values = least_elements(cascade, machine, access, points) * copies
    return values * np.ones(len(next(iter(tile.values()), np.ones(1))))
