"""What each nest of a list costs and takes at least, all at once: only the leaders are lowered."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from functools import reduce
from typing import NamedTuple

import numpy as np

from einsim.accel.machine import Machine
from einsim.dataflow.clock import port_name
from einsim.dataflow.cores import cores_ranks, read_apart
from einsim.dataflow.feed import stationary
from einsim.dataflow.footprint import access_of, compressed, least_elements, relevant_ranks, tile_bytes
from einsim.dataflow.holds import homes_to, levels
from einsim.dataflow.leaf import leave_each_step, partial_sum, skips
from einsim.dataflow.mapping import Compute
from einsim.dataflow.templates.blocks import touched
from einsim.dataflow.templates.nest import LoopNest, UnitChoices, moving
from einsim.dataflow.templates.room import Stays
from einsim.dataflow.templates.shares import least_shares
from einsim.dataflow.templates.worth import Worth
from einsim.dataflow.tile_times import TileTimes
from einsim.dataflow.volume import Rates
from einsim.specs.arrays import Bools, Floats
from einsim.workloads.cascade import Access, Cascade, Einsum


class ListLeast(NamedTuple):
    """Of each of N nests cycles [N] of each unit, bytes [N] of each tensor that pass DRAM's port and those
    that pass a port of a memory `near` a unit, whether each is kept in a memory on the `ways` to all its
    users, bytes of each that the first tile wants from DRAM, cycles of `one` tile of each Einsum on its unit
    and of the `last`, and tiles: no more than its program has.
    """

    cycles: dict[str, Floats]
    one: dict[tuple[str, str], Floats]  # by Einsum and unit, 0 where it is on another
    last: dict[tuple[str, str], Floats]
    moved: dict[str, Floats]
    near: dict[tuple[str, str, bool], Floats]  # by tensor, memory and whether it is read
    ways: dict[tuple[str, str], Bools]  # by tensor and memory
    first: dict[str, Floats]
    tiles: Floats


def least_of(leaves: UnitChoices, nests: list[LoopNest], ways: dict[tuple[str, str], Bools]) -> ListLeast:
    """The least of a list's nests, of which the memories on the `ways` to all users of a tensor are known."""
    cascade, machine, einsums = leaves.cascade, leaves.machine, nests[0].einsums
    sizes = {rank: cascade.size(rank) for einsum in einsums for rank in einsum.ranks}
    every = [(dict(nest.loops), nest.extents(cascade)) for nest in nests]
    tile = {rank: np.array([one.get(rank, sizes[rank]) for one, _ in every], np.float64) for rank in sizes}
    inner = {rank: np.array([one[rank] for _, one in every], np.float64) for rank in sizes}
    trips = {rank: np.ceil(size / tile[rank]) for rank, size in sizes.items()}
    shares = {einsum.name: least_shares(cascade, einsum, nests) for einsum in einsums}
    chosen = leaves.all(nests)
    cycles = dict[str, Floats]()
    first_tile, last_tile = dict[tuple[str, str], Floats](), dict[tuple[str, str], Floats]()
    kept = {name: np.array([name not in one.straight for one in nests]) for name in touched(einsums)}
    streamed = {name: np.zeros(len(nests)) for name in kept}  # from DRAM
    near = dict[tuple[str, str, bool], Floats]()
    for einsum in einsums:
        nodes = {id(one[einsum.name]): one[einsum.name] for one in chosen}
        which = np.array([id(one[einsum.name]) for one in chosen])
        for at, node in nodes.items():
            here = cycles.setdefault(node.unit, np.zeros(len(nests)))
            most = first_tile.setdefault((einsum.name, node.unit), np.zeros(len(nests)))
            fewest = last_tile.setdefault((einsum.name, node.unit), np.zeros(len(nests)))
            fewest[which == at] = np.inf
            for key, size in _streamed(cascade, machine, node, inner):
                here_only = (which == at) * shares[einsum.name][0] * size
                near[key] = near.get(key, 0) + kept[key[0]] * here_only
                streamed[key[0]] += ~kept[key[0]] * here_only
            cycles_of = TileTimes(cascade, machine.unit(node.unit), einsum)
            for times, extents in _classes(cascade, einsum, tile, trips):
                rows = np.flatnonzero((which == at) & (times > 0))
                if len(rows):
                    some = {rank: extents[rank][rows] for rank in einsum.ranks}
                    each = cycles_of.of(node, some, len(rows))
                    here[rows] += times[rows] * each * shares[einsum.name][0][rows]
                    most[rows] = np.maximum(most[rows], each)
                    fewest[rows] = np.minimum(fewest[rows], each)
    moved, first = {}, {}
    for tensor in touched(einsums):
        maker = cascade.producer(tensor)
        access = access_of(maker or cascade.consumers(tensor)[0], tensor)
        if maker is not None and not cascade.is_output(tensor):
            continue
        whole = tile_bytes(cascade, machine, access, cascade.sizes)
        least = reduce(np.maximum, (shares[e.name][0] for e in einsums if tensor in touched((e,))))
        passed = whole * least * _again(cascade, nests, tensor, access, trips)
        moved[tensor] = np.where(kept[tensor], passed, streamed[tensor])
        if maker is None:
            plain = access.apart * kept[tensor] * cascade.tensor(tensor).bits / 8  # else it may be outside
            first[tensor] = plain * least_elements(cascade, machine, access, inner)
    tiles = reduce(np.maximum, (there for _, there in shares.values())) * math.prod(trips.values())
    return ListLeast(cycles, first_tile, last_tile, moved, near, ways, first, tiles)


def _streamed(
    cascade: Cascade, machine: Machine, node: Compute, extents: Mapping[str, Floats]
) -> Iterator[tuple[tuple[str, str, bool], Floats]]:
    """Tensor, memory and whether it is read there, and bytes that a leaf streams at least: lanes and steps
    that share a value take it once.
    """
    unit, einsum = machine.unit(node.unit), cascade.einsum(node.einsum)
    if skips(cascade, unit, einsum, cascade.sizes):
        return
    placed = {rank for dim, ranks in node.spatial.items() if dim != "cores" for rank in ranks}
    points = math.prod(map(cascade.size, einsum.ranks))
    results = math.prod(map(cascade.size, einsum.output.ranks))
    for access in {access.tensor: access for access in (*einsum.reads, einsum.output)}.values():
        tensor, mine, made = cascade.tensor(access.tensor), set(access.ranks), access is einsum.output
        home = homes_to(cascade, machine, node, tensor.name)[-1:]
        state = tensor.name in cascade.overwritten or tensor.name in cascade.initial
        if not home or state or not access.apart or compressed(machine, tensor):
            continue
        idle = [rank for rank in einsum.ranks if rank not in mine]
        along, apart = cores_ranks(node), read_apart(machine, home[0])
        shared = np.ones(1)
        if made and not leave_each_step(node):
            shared = shared * math.prod(extents[rank] for rank in idle)
        else:
            still = placed if access == stationary(node, einsum) else set(einsum.ranks)
            shared = shared * math.prod(extents[rank] for rank in idle if rank not in still)
            for dim, ranks in node.spatial.items():
                if dim != "cores" or not apart:
                    met = math.prod(extents[r] for r in ranks if r in idle and r in still)
                    shared = shared * np.minimum(met, unit.dims[dim])
            if apart and not set(along) & (mine | still):  # each core reads it by itself
                met = math.prod(extents[rank] for rank in along)
                shared = shared / np.minimum(met, unit.dims.get("cores", 1))
        values = points / shared
        if not made:
            yield (tensor.name, home[0], True), values * tensor.bits / 8
            continue
        again = np.maximum(values - results, 0) * partial_sum(cascade, unit, einsum).bits / 8
        yield (tensor.name, home[0], False), again + results * tensor.bits / 8
        yield (tensor.name, home[0], True), again


def _again(
    cascade: Cascade, nests: list[LoopNest], tensor: str, access: Access, trips: Mapping[str, Floats]
) -> Floats:
    """How often all of a tensor passes DRAM's port in each nest, where each rank takes so many `trips`."""
    relevant, moved = relevant_ranks(cascade, access), moving(cascade, nests[0].einsums, tensor)
    made = next((einsum for einsum in nests[0].einsums if einsum.name == tensor), None)
    stays = (*made.reduced, *made.iterative) if made else ()
    orders = [tuple(rank for rank, _ in nest.loops) for nest in nests]
    found = np.ones(len(nests))
    for order in set(orders):
        again, inside = np.ones(len(nests)), np.zeros(len(nests), bool)
        for rank in reversed(order):
            inside |= (trips[rank] > 1) & (rank in moved)
            if rank in stays:
                again = np.where(trips[rank] > 1, 1.0, again)
            elif rank not in relevant:
                again = np.where(inside, again * trips[rank], again)
        found = np.where([one == order for one in orders], again, found)
    return found


def _classes(
    cascade: Cascade, einsum: Einsum, tile: Mapping[str, Floats], trips: Mapping[str, Floats]
) -> Iterator[tuple[Floats, dict[str, Floats]]]:
    """How many tiles of an Einsum are of a kind in each nest, and their extents: whole ones, and what is left
    at the ends.
    """
    left = {rank: cascade.size(rank) % tile[rank] for rank in einsum.ranks}
    others = [count for rank, count in trips.items() if rank not in left]
    for ends in itertools.product(*((False, True) if left[rank].any() else (False,) for rank in left)):
        times, extents = math.prod(others, start=0 * sum(trips.values(), np.ones(1)) + 1), {}
        for rank, end in zip(left, ends, strict=True):
            extents[rank] = left[rank] if end else tile[rank]
            times = times * ((left[rank] > 0) if end else cascade.size(rank) // tile[rank])
        yield times, extents


def _earlier(cascade: Cascade, access: Access) -> bool:
    """Whether an access reads what an earlier step left of a state, and so waits for nothing of its own."""
    maker = cascade.producer(access.tensor)
    return maker is not None and any(
        theirs.offset > mine.offset and {*theirs.ranks} & {*mine.ranks} & {*maker.iterative}
        for mine, theirs in zip(access.indices, maker.output.indices, strict=True)
    )


class LeastCosts:
    """Of the nests of a list the least that each costs, where some tensors stay on chip."""

    def __init__(self, part: Cascade, machine: Machine, least: ListLeast, stays: Stays) -> None:
        dram, passing = machine.dram, dict(least.near)
        for tensor, size in least.moved.items():
            if tensor not in stays:
                passing[tensor, dram.name, part.producer(tensor) is None] = size
        for (tensor, name), there in least.ways.items():
            made, still = part.producer(tensor) is not None, name in stays.get(tensor, ())
            for key in ((tensor, name, True), (tensor, name, False)) if tensor in least.moved else ():
                own, size = least.near.get(key, 0), there * least.moved[tensor]
                if key[2] != made:  # to a unit or from it, not from DRAM or to it
                    passing[key] = np.maximum(own, size)
                elif not still:
                    passing[key] = own + size
        busy, self.moved = dict(least.cycles), dict[str, Floats]()
        for (_, name, reads), size in passing.items():
            port = port_name(machine.memory(name), reads)
            busy[port] = busy.get(port, 0) + size
            self.moved[name] = self.moved.get(name, 0) + size
        self.read, self.names = port_name(dram, reads=True), list(busy)
        self.busy = np.stack(list(busy.values()), axis=1)
        self.one, self.last, self.tiles = least.one, least.last, least.tiles
        self.reads = {
            einsum.name: tuple(dict.fromkeys(a.tensor for a in einsum.reads if not _earlier(part, a)))
            for einsum in part.einsums
        }
        (near, *others) = {name for unit in machine.units for name in unit.memories.values()}
        on = ([least.one.get((name, unit), 0 * self.tiles) for name in self.reads] for unit in least.cycles)
        self.unused = np.where(np.array([*on]) > 0, 0.0, np.inf)  # [units, Einsums, nests]; units come first
        self.near = not others and levels(machine, near) == (near,) and not machine.memory(near).holds
        self.first = {name: size for name, size in least.first.items() if name not in stays}

    def _ends(self, rates: Rates, read: int) -> Floats:
        """Ticks [units, nests] before each unit's first tile and after its last at least: until what is read
        there has come from DRAM or is made, and until what reads it is made.
        """
        heads, ticks, none = dict[str, Floats](), dict[str, Floats](), 0 * self.tiles
        ending = dict[str, Floats]()
        tails = dict.fromkeys(self.reads, none)
        for (name, unit), one in self.one.items():
            ticks[name] = ticks.get(name, none) + one * rates[unit]
            ending[name] = ending.get(name, none) + self.last[name, unit] * rates[unit]
        for name, reads in self.reads.items():
            loads = (self.first[one] * read for one in reads if one in self.first)
            load = sum(loads, none) if self.near else reduce(np.maximum, loads, none)
            heads[name] = reduce(np.maximum, (heads[one] + ticks[one] for one in reads if one in heads), load)
        for name, reads in reversed(self.reads.items()):
            for maker in tails.keys() & {*reads}:
                tails[maker] = np.maximum(tails[maker], tails[name] + ending[name])
        head, tail = ((np.array([*every.values()]) + self.unused).min(1) for every in (heads, tails))
        return np.where(np.isfinite(head), head + tail, 0.0)

    def order(self, worth: Worth) -> list[tuple[float, int]]:
        """What each nest costs at least, and its place, sorted."""
        busy = self.busy * np.array([worth.rates.get(name, 0) for name in self.names], np.float64)
        ends = self._ends(worth.rates, worth.rates.get(self.read, 0))
        bound = np.maximum(busy.max(1), (busy[:, : len(ends)] + ends.T).max(1))
        floors = worth.cost(bound, busy.sum(1), self.tiles, self.moved) * (1 - 1e-9)
        return sorted(zip(floors.tolist(), range(len(floors)), strict=True))
