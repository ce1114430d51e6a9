"""What each nest of a list costs and takes at least, all at once: only the leaders are lowered."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from functools import cache, reduce
from typing import NamedTuple

import numpy as np

from einsim.accel.machine import Machine, Memory
from einsim.dataflow.clock import port_name
from einsim.dataflow.cores import cores_ranks, read_apart
from einsim.dataflow.feed import stationary
from einsim.dataflow.footprint import access_of, compressed, least_elements, relevant_ranks, tile_bytes
from einsim.dataflow.holds import homes_to, levels
from einsim.dataflow.leaf import latency_cycles, leave_each_step, partial_sum, skips
from einsim.dataflow.mapping import Compute
from einsim.dataflow.templates.blocks import touched
from einsim.dataflow.templates.nest import LoopNest, UnitChoices, moving
from einsim.dataflow.templates.room import Stays
from einsim.dataflow.templates.shares import least_shares
from einsim.dataflow.templates.worth import Worth
from einsim.dataflow.tile_times import TileTimes
from einsim.dataflow.volume import Rates
from einsim.specs.arrays import Bools, Floats, Ints
from einsim.workloads.cascade import Access, Cascade, Einsum
from einsim.workloads.shape import reach


class ListLeast(NamedTuple):
    """Of each of N nests cycles [N] of each unit, bytes [N] of each tensor that pass DRAM's port and those
    that pass a port of a memory `near` a unit, whether each is kept in a memory on the `ways` to all its
    users, bytes of each in the first tile and at least in the `last` one, cycles of `one` tile of each Einsum
    on its unit, of the `shortest` and from its end to its `results`, how many tiles come `after` the last
    load of each input, and tiles: no more than its program has.
    """

    cycles: dict[str, Floats]
    one: dict[tuple[str, str], Floats]  # by Einsum and unit, 0 where it is on another
    shortest: dict[tuple[str, str], Floats]
    results: dict[tuple[str, str], Floats]
    moved: dict[str, Floats]
    near: dict[tuple[str, str, bool], Floats]  # by tensor, memory and whether it is read
    ways: dict[tuple[str, str], Bools]  # by tensor and memory
    first: dict[str, Floats]
    last: dict[str, Floats]
    after: dict[str, Floats]
    tiles: Floats


def least_of(leaves: UnitChoices, nests: list[LoopNest], ways: dict[tuple[str, str], Bools]) -> ListLeast:
    """The least of a list's nests, of which the memories on the `ways` to all users of a tensor are known."""
    cascade, machine, einsums = leaves.cascade, leaves.machine, nests[0].einsums
    sizes = {rank: cascade.size(rank) for einsum in einsums for rank in einsum.ranks}
    every = [(dict(nest.loops), nest.extents(cascade)) for nest in nests]
    tile = {rank: np.array([one.get(rank, sizes[rank]) for one, _ in every], np.float64) for rank in sizes}
    inner = {rank: np.array([one[rank] for _, one in every], np.float64) for rank in sizes}
    trips = {rank: np.ceil(size / tile[rank]) for rank, size in sizes.items()}
    smallest = {
        rank: np.minimum(*(_smallest(of, inner[rank]) for of in (tile[rank], _smallest(size, tile[rank]))))
        for rank, size in sizes.items()
    }
    parted = np.array([bool(nest.parts) for nest in nests])
    shares = {einsum.name: least_shares(cascade, einsum, nests) for einsum in einsums}
    chosen = leaves.all(nests)
    cycles = dict[str, Floats]()
    one, shortest, results = (dict[tuple[str, str], Floats]() for _ in range(3))
    kept = {name: np.array([name not in one.straight for one in nests]) for name in touched(einsums)}
    out = {name: np.array([name not in one.registers for one in nests]) for name in kept}
    streamed = {name: np.zeros(len(nests)) for name in kept}  # from DRAM
    near = dict[tuple[str, str, bool], Floats]()
    for einsum in einsums:
        nodes = {id(one[einsum.name]): one[einsum.name] for one in chosen}
        which = np.array([id(one[einsum.name]) for one in chosen])
        for at, node in nodes.items():
            here = cycles.setdefault(node.unit, np.zeros(len(nests)))
            key, mine = (einsum.name, node.unit), np.flatnonzero(which == at)
            most, fewest, late = (of.setdefault(key, np.zeros(len(nests))) for of in (one, shortest, results))
            fewest[mine], late[mine] = np.inf, _latency(cascade, machine, node, inner, mine)
            for port, size in _streamed(cascade, machine, node, inner):
                here_only = (which == at) * shares[einsum.name][0] * size
                near[port] = near.get(port, 0) + (kept[port[0]] & out[port[0]]) * here_only
                streamed[port[0]] += ~kept[port[0]] * here_only
            cycles_of = TileTimes(cascade, machine.unit(node.unit), einsum)
            for times, extents in _classes(cascade, einsum, tile, trips):
                rows = np.flatnonzero((which == at) & (times > 0))
                if len(rows):
                    some = {rank: extents[rank][rows] for rank in einsum.ranks}
                    each = cycles_of.of(node, some, len(rows))
                    here[rows] += times[rows] * each * shares[einsum.name][0][rows]
                    most[rows] = np.maximum(most[rows], each)
                    fewest[rows] = np.minimum(fewest[rows], each)
            if len(rows := np.flatnonzero((which == at) & parted)):
                some = {rank: smallest[rank][rows] for rank in einsum.ranks}
                fewest[rows] = cycles_of.of(node, some, len(rows))
    moved, first, last, after = {}, {}, {}, {}
    at_once = np.array([not nest.streamed for nest in nests])
    for tensor in touched(einsums):
        maker = cascade.producer(tensor)
        access = access_of(maker or cascade.consumers(tensor)[0], tensor)
        if maker is not None and not cascade.is_output(tensor):
            continue
        whole = tile_bytes(cascade, machine, access, cascade.sizes)
        least = reduce(np.maximum, (shares[e.name][0] for e in einsums if tensor in touched((e,))))
        again, behind = _again(cascade, nests, tensor, access, (tile, inner, trips))
        moved[tensor] = np.where(kept[tensor], whole * least * again, streamed[tensor])
        ends = (reach(index, cascade.sizes) for index in access.indices)
        inside = all(
            low >= 0 and high < size for (low, high), size in zip(ends, cascade.shape(tensor), strict=True)
        )
        plain = inside * kept[tensor] * cascade.tensor(tensor).bits / 8
        if maker is None:
            first[tensor] = plain * least_elements(cascade, machine, access, inner)
            shared = sum((there for (name, _), there in ways.items() if name == tensor), ~at_once)
            after[tensor] = kept[tensor] * np.where(at_once & (shared > 0), behind, 1)
        if not cascade.overwritten.get(tensor):
            last[tensor] = plain * least_elements(cascade, machine, access, smallest)
    tiles = reduce(np.maximum, (there for _, there in shares.values())) * math.prod(trips.values())
    return ListLeast(cycles, one, shortest, results, moved, near, ways, first, last, after, tiles)


def _latency(
    cascade: Cascade, machine: Machine, node: Compute, extents: Mapping[str, Floats], rows: Ints
) -> list[int]:
    """Cycles from the end of a leaf's tile to its results in some nests."""
    unit, einsum = machine.unit(node.unit), cascade.einsum(node.einsum)
    across = [rank for ranks in node.spatial.values() for rank in ranks if rank in einsum.reduced]

    @cache
    def latency(*tile: int) -> int:
        return latency_cycles(cascade, unit, einsum, node, dict(zip(across, tile, strict=True)))

    tiles = zip(*(extents[rank][rows].astype(int).tolist() for rank in across), strict=True)
    return [latency(*tile) for tile in tiles] if across else [latency()] * len(rows)


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


def _smallest(size: Floats | int, tile: Floats) -> Floats:
    """The smallest of the tiles of `size` points: what is left at the end, if anything."""
    return np.where(size % tile > 0, size % tile, np.minimum(size, tile))


def _again(
    cascade: Cascade, nests: list[LoopNest], tensor: str, access: Access,
    by_rank: tuple[Mapping[str, Floats], Mapping[str, Floats], Mapping[str, Floats]],
) -> tuple[Floats, Floats]:  # fmt: skip
    """How often all of a tensor passes DRAM's port in each nest, and how many tiles come after its last part:
    where each rank has such tiles, parts of them, and trips.
    """
    tile, inner, trips = by_rank
    relevant, moved = relevant_ranks(cascade, access), moving(cascade, nests[0].einsums, tensor)
    made = next((einsum for einsum in nests[0].einsums if einsum.name == tensor), None)
    stays = (*made.reduced, *made.iterative) if made else ()
    orders = [(tuple(r for r, _ in nest.loops), tuple(r for r, _ in nest.parts)) for nest in nests]
    passes, behind = np.ones(len(nests)), np.ones(len(nests))
    for order in set(orders):
        again, after, inside = np.ones(len(nests)), np.ones(len(nests)), np.zeros(len(nests), bool)
        part = inside
        for rank in reversed(order[1]):
            part = part | ((tile[rank] > inner[rank]) & (rank in moved))
            left = np.ceil(_smallest(cascade.size(rank), tile[rank]) / inner[rank])
            after = np.where(part, after, after * left)
        for rank in reversed(order[0]):
            inside = inside | ((trips[rank] > 1) & (rank in moved))
            after = np.where(inside | part, after, after * trips[rank])
            if rank in stays:
                again = np.where(trips[rank] > 1, 1.0, again)
            elif rank not in relevant:
                again = np.where(inside, again * trips[rank], again)
        here = [one == order for one in orders]
        passes, behind = np.where(here, again, passes), np.where(here, after, behind)
    return passes, behind


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
        self.read = port_name(dram, reads=True)
        self.names = list(busy)
        self.busy = np.stack(list(busy.values()), axis=1)
        self.one, self.shortest, self.results, self.tiles = (
            least.one,
            least.shortest,
            least.results,
            least.tiles,
        )
        self.reads = {
            einsum.name: tuple(dict.fromkeys(a.tensor for a in einsum.reads if not _earlier(part, a)))
            for einsum in part.einsums
        }
        (near, *others) = {name for unit in machine.units for name in unit.memories.values()}
        on = ([least.one.get((name, unit), 0 * self.tiles) for name in self.reads] for unit in least.cycles)
        self.unused = np.where(np.array([*on]) > 0, 0.0, np.inf)  # [units, Einsums, nests]; units come first
        self.near = not others and levels(machine, near) == (near,) and not machine.memory(near).holds
        self.first, self.last = least.first, least.last
        self.hops = dict[str, list[tuple[Memory, Bools | float]]]()  # through whose ports a tensor passes
        for (tensor, name), there in least.ways.items():
            outer = machine.memory(machine.memory(name).parents[0])
            inside = least.ways.get((tensor, outer.name), np.zeros(1, bool)) & there
            if name not in stays.get(tensor, ()) and outer is not dram:
                self.hops.setdefault(tensor, []).append((outer, inside))
        for tensor in least.moved.keys() - stays.keys():
            self.hops.setdefault(tensor, []).append((dram, 1.0))
        self.after = {name: times for name, times in least.after.items() if name not in stays}
        self.loaded = {name: least.moved[name] for name in self.after}

    def _passing(self, tensor: str, size: Floats, rates: Rates, *, reads: bool) -> Floats:
        """Ticks in which bytes of a tensor pass between DRAM, or where it stays, and a unit's memory."""
        hops = self.hops.get(tensor, ())
        ticks = (there * float(rates.get(port_name(one, reads), 0)) for one, there in hops)
        return size * sum(ticks, 0 * self.tiles)

    def _ends(self, rates: Rates) -> tuple[Floats, Floats]:
        """Ticks [units, nests] before each unit's first tile and after its last at least: until what is read
        there has come from DRAM or is made, and until what reads it is made and stored. And those [nests] of
        DRAM's port until what its last loads bring is used up.
        """
        none, read, last, heads = 0 * self.tiles, rates.get(self.read, 0), self.last, dict[str, Floats]()
        ticks, ending, late = (dict.fromkeys(self.reads, none) for _ in range(3))
        tails = {one: self._passing(one, last.get(one, none), rates, reads=False) for one in self.reads}
        for (name, unit), cycles in self.one.items():
            ticks[name] = ticks[name] + cycles * rates[unit]
            ending[name] = ending[name] + self.shortest[name, unit] * rates[unit]
            late[name] = late[name] + self.results[name, unit] * (self.shortest[name, unit] > 0) * rates[unit]
        for name, reads in self.reads.items():
            firsts = ((one, self.first[one]) for one in reads if one in self.first)
            loads = (self._passing(one, size, rates, reads=True) for one, size in firsts)
            load = sum(loads, none) if self.near else reduce(np.maximum, loads, none)
            made = (heads[one] + ticks[one] + late[one] for one in reads if one in heads)
            heads[name] = reduce(np.maximum, made, load)
        loaded = dict.fromkeys(self.after, none)
        for name, reads in reversed(self.reads.items()):
            tails[name] = tails[name] + late[name]
            for maker in tails.keys() & {*reads}:
                tails[maker] = np.maximum(tails[maker], tails[name] + ending[name])
            for one in self.after.keys() & {*reads}:
                loaded[one] = np.maximum(loaded[one], self.after[one] * ending[name] + tails[name])
        port = none
        for one in loaded:
            size = last.get(one, none)
            loaded[one] = loaded[one] + self._passing(one, size, rates, reads=True) - size * read
        for left in loaded.values():
            total = sum((self.loaded[one] * (loaded[one] >= left) for one in loaded), none) * read
            port = np.maximum(port, total + left * (total > 0))
        head, tail = ((np.array([*every.values()]) + self.unused).min(1) for every in (heads, tails))
        return np.where(np.isfinite(head), head + tail, 0.0), port

    def order(self, worth: Worth) -> list[tuple[float, int]]:
        """What each nest costs at least, and its place, sorted."""
        busy = self.busy * np.array([worth.rates.get(name, 0) for name in self.names], np.float64)
        ends, port = self._ends(worth.rates)
        bound = np.maximum(np.maximum(busy.max(1), port), (busy[:, : len(ends)] + ends.T).max(1))
        floors = worth.cost(bound, busy.sum(1), self.tiles, self.moved) * (1 - 1e-9)
        return sorted(zip(floors.tolist(), range(len(floors)), strict=True))
