"""The fixed list of nests of some Einsums, each with all of its figures that no rate and no room changes.

A list is made once for a structure: for all blocks that are alike but for names, on all machines that differ
only in bandwidths, room and energies, or run faster as a whole.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property, partial
from typing import Final, NamedTuple

import msgspec
import numpy as np

from einsim.accel.machine import Machine
from einsim.dataflow.clock import port_name
from einsim.dataflow.ends import Ends, share_cost
from einsim.dataflow.feed import stationary
from einsim.dataflow.footprint import access_of, compressed, least_bytes, relevant_ranks, tile_bytes
from einsim.dataflow.held import home_bytes
from einsim.dataflow.holds import levels, levels_to, may_hold
from einsim.dataflow.iteration import Path
from einsim.dataflow.layout import lay_out
from einsim.dataflow.leaf import leave_each_step, partial_sum, skips
from einsim.dataflow.legality import legal
from einsim.dataflow.lower import unpriced
from einsim.dataflow.mapping import Compute, Node
from einsim.dataflow.mapping import Mapping as LoopTree
from einsim.dataflow.mask import Cut, Mask, mask_of
from einsim.dataflow.program import Op, Program, ProgramLoop
from einsim.dataflow.spatial import able
from einsim.dataflow.templates.blocks import touched
from einsim.dataflow.templates.nest import (
    LoopNest,
    UnitChoices,
    build,
    in_parts,
    moving,
    nests,
    on_vectors,
    smaller,
)
from einsim.dataflow.tile_times import TileTimes
from einsim.dataflow.volume import MACHINE, Rates
from einsim.specs.arrays import Floats
from einsim.specs.remembered import Remembered
from einsim.workloads.cascade import Access, Cascade, Einsum
from einsim.workloads.text import bound_text, einsum_text, tensor_text

#: Tiles of which what bounds leave is looked at one by one.
MOST_VISITED: Final = 1024

#: Where tensors stay between blocks: the memory of each, with all that are outside it.
Stays = Mapping[str, Collection[str]]


def cost_of(ends: Ends, rates: Rates, stays: Stays, *, single: bool) -> float:
    """Ticks that a tree of some Einsums is taken to cost where some tensors stay in a memory between it and
    others, so that they need not come from DRAM or go there.
    """
    free = [at for at in ends.outward if ends.program.ops[at].subject in stays]
    bound, busy = ends.bound(rates, free, single=single)
    return share_cost(bound, busy, rates[MACHINE] * ends.tiles)


class ListedNest:
    """A point of a list: a nest whose tiles have two buffers each, or one."""

    def __init__(self, part: Cascade, leaves: UnitChoices, nest: LoopNest) -> None:
        self.part, self.leaves, self.nest = part, leaves, nest
        self.machine = leaves.machine
        near = {name for unit in self.machine.units for name in unit.memories.values()}
        ways = [levels(self.machine, name) for name in near]
        shared = [name for name in ways[0][:1] if all(name in way for way in ways)]
        self.inside = [memory for name in shared if not (memory := self.machine.memory(name)).holds]

    def tree(self, buffers: int, resident: Mapping[str, str]) -> Node:
        """Its tree where some tensors are in a memory already."""
        return build(self.leaves, msgspec.structs.replace(self.nest, buffers=buffers), resident)

    @cached_property
    def _mapping(self) -> LoopTree:
        tree = self.tree(2, {})
        return LoopTree(cascade=self.part.name, machine=self.machine.name, template="", tree=tree)

    @cached_property
    def _homes(self) -> tuple[tuple[str, str, int, int], ...]:
        """Tensor, memory, and the bytes that it takes there in one buffer and in two."""
        layout = lay_out(self._mapping, self.part)
        found = []
        for home, path in layout.homes:
            size = home_bytes(home, path, layout, self.part, self.machine)
            again = any(layout.loops[loop].count > 1 for loop in path)
            found.append((home.tensor, home.memory, size // 2 if again else size, size))
        return tuple(found)

    def held(self, buffers: int, stays: Stays) -> dict[str, int]:
        """Bytes that it takes in each memory beside what stays."""
        found: dict[str, int] = {}
        for tensor, memory, one, two in self._homes:
            if memory not in stays.get(tensor, ()):
                found[memory] = found.get(memory, 0) + (one if buffers == 1 else two)
        return found

    @cached_property
    def ends(self) -> Ends | None:
        """Its bounds; None where it is no legal mapping whatever the memories hold."""
        if not legal(self._mapping, self.part, self.machine):
            return None
        if not self.part.bounds:
            return Ends(unpriced(self._mapping, self.part, self.machine))
        program = unpriced(self._mapping, unbounded(self.part), self.machine)
        return Ends(program, {op.id: _visited(self.part, program, op) for op in program.ops})


def unbounded(part: Cascade) -> Cascade:
    """A cascade without its bounds."""
    found = msgspec.structs.replace(part, bounds=())
    vars(found)["overwritten"] = part.overwritten
    return found


_SHARES: Final = Remembered[float](100_000)


def _visited(part: Cascade, program: Program, op: Op) -> float:
    """Share of an operation's tiles that bounds leave, each cut to the box around what is left of it; of many
    small ones the share of the points.
    """
    loops = tuple(program.loops[loop] for loop in op.path if loop not in op.when)
    shares = []
    for einsum in part.einsums:
        mask = mask_of(part, einsum.ranks)
        if op.subject not in ((einsum.name,) if op.kind == "compute" else touched((einsum,))):
            continue
        tied = tuple(sorted(mask.tied))
        mine = tuple(loop for loop in loops if loop.count > 1 and mask.tied & set(loop.ranks))
        if math.prod(loop.count for loop in mine) > MOST_VISITED:
            shares.append(_share(part, einsum.name))
            continue
        ranks = einsum.ranks if op.kind == "compute" else access_of(einsum, op.subject).ranks
        key = tuple(rank for rank in tied if rank in ranks)
        facts = mask.bounds, tuple(map(part.size, tied)), tuple((loop.ranks, loop.tile) for loop in mine), key
        shares.append(_SHARES.get(facts, partial(_left, mask, mine, part.sizes, key)))
    return max(shares)


def _left(
    mask: Mask, loops: tuple[ProgramLoop, ...], sizes: Mapping[str, int], key: tuple[str, ...]
) -> float:
    """Share of the points along some ranks that is left in tiles that a mask cuts each to a box."""
    single = {rank: 1 for loop in loops if len(loop.ranks) > 1 for rank in loop.ranks}
    every, left = (
        sum(times * math.prod(extents[: len(key)]) for extents, times in path.instances().items())
        for cut in (None, Cut((mask,), tuple(sorted(mask.tied))))
        for path in [Path(loops, {}, {**sizes, **single}, key, cut=cut)]
    )
    return left / every


def _share(cascade: Cascade, einsum: str) -> float:
    """Share of an Einsum's points that bounds leave."""
    whole = math.prod(cascade.size(rank) for rank in cascade.einsum(einsum).ranks)
    return cascade.points(einsum) / whole


class ListLeast(NamedTuple):
    """Of each of N nests cycles [N] of each unit, bytes [N] of each tensor that pass DRAM's port and those
    that pass a port of a memory `near` a unit, bytes of each that the first tile wants from DRAM and that a
    tile takes in one buffer, and tiles: no more than its program has.
    """

    cycles: dict[str, Floats]
    moved: dict[str, Floats]
    near: dict[tuple[str, str, bool], Floats]  # by tensor, memory and whether it is read
    first: dict[str, Floats]
    held: dict[tuple[str, str], Floats]  # by tensor and memory, "" for the one that is outside all others
    tiles: Floats


def least_of(leaves: UnitChoices, nests: list[LoopNest]) -> ListLeast:
    """The least of a list's nests."""
    cascade, machine, einsums = leaves.cascade, leaves.machine, nests[0].einsums
    sizes = {rank: cascade.size(rank) for einsum in einsums for rank in einsum.ranks}
    every = [(dict(nest.loops), nest.extents(cascade)) for nest in nests]
    tile = {rank: np.array([one.get(rank, sizes[rank]) for one, _ in every], np.float64) for rank in sizes}
    inner = {rank: np.array([one[rank] for _, one in every], np.float64) for rank in sizes}
    trips = {rank: np.ceil(size / tile[rank]) for rank, size in sizes.items()}
    share = {einsum.name: _share(cascade, einsum.name) for einsum in einsums}
    least = min(share.values())
    chosen = leaves.all(nests)
    cycles, held = dict[str, Floats](), dict[tuple[str, str], Floats]()
    near = dict[tuple[str, str, bool], Floats]()
    for einsum in einsums:
        nodes = {id(one[einsum.name]): one[einsum.name] for one in chosen}
        which = np.array([id(one[einsum.name]) for one in chosen])
        for at, node in nodes.items():
            here = cycles.setdefault(node.unit, np.zeros(len(nests)))
            for key, size in _streamed(cascade, machine, node, inner):
                near[key] = near.get(key, 0) + (which == at) * least * size
            cycles_of = TileTimes(cascade, machine.unit(node.unit), einsum)
            out = machine.memory(machine.unit(node.unit).memories["outputs"])
            if out.copies == 1 and "outputs" in (out.holds or ("outputs",)):
                size = (which == at) * least_bytes(cascade, machine, einsum.output, tile)
                held[einsum.name, out.name] = held.get((einsum.name, out.name), 0) + size
            for times, extents in _classes(cascade, einsum, tile, trips):
                rows = np.flatnonzero((which == at) & (times > 0))
                if len(rows):
                    some = {rank: extents[rank][rows] for rank in einsum.ranks}
                    here[rows] += times[rows] * cycles_of.of(node, some, len(rows)) * share[einsum.name]
    moved, first = {}, {}
    once = np.array([not nest.streamed for nest in nests])  # else parts of some come
    for tensor in touched(einsums):
        maker = cascade.producer(tensor)
        access = access_of(maker or cascade.consumers(tensor)[0], tensor)
        held[tensor, ""] = once * least_bytes(cascade, machine, access, tile)
        if maker is not None and not cascade.is_output(tensor):
            continue
        whole = tile_bytes(cascade, machine, access, cascade.sizes)
        moved[tensor] = whole * least * _again(cascade, nests, tensor, access, trips)
        if maker is None and len(einsums) == 1:
            first[tensor] = least_bytes(cascade, machine, access, inner)
    return ListLeast(cycles, moved, near, first, held, least * np.prod(list(trips.values()), axis=0))


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
        way = levels_to(cascade, machine, node, tensor.name)
        home = [name for name in way if may_hold(cascade, machine, name, node, tensor.name)][-1:]
        if not home or compressed(machine, tensor) or not _apart(cascade, access):
            continue
        idle = [rank for rank in einsum.ranks if rank not in mine]
        if made and not leave_each_step(node):
            shared = math.prod(extents[rank] for rank in idle)
        else:
            still = placed if access == stationary(node, einsum) else set(einsum.ranks)
            shared = math.prod(extents[rank] for rank in idle if rank not in still)
            for dim, along in node.spatial.items():
                shared *= np.minimum(math.prod(extents[r] for r in along if r in idle), unit.dims[dim])
        values = points / shared
        if not made:
            yield (tensor.name, home[0], True), values * tensor.bits / 8
            continue
        again = np.maximum(values - results, 0) * partial_sum(cascade, unit, einsum).bits / 8
        yield (tensor.name, home[0], False), again + results * tensor.bits / 8
        yield (tensor.name, home[0], True), again


def _apart(cascade: Cascade, access: Access) -> bool:
    """Whether each point of an access's ranks has an element of its own, of a tensor that is no state."""
    terms = [index.terms for index in access.indices]
    alone = all(len(one) < 2 for one in terms) and sum(map(len, terms)) == len(access.ranks)
    return alone and access.tensor not in cascade.overwritten and access.tensor not in cascade.initial


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


class LeastCosts:
    """Of the nests of a list the least that each costs, where some tensors stay on chip."""

    def __init__(self, nests: list[ListedNest], least: ListLeast, stays: Stays) -> None:
        self.streamed = [nest.nest.streamed for nest in nests]
        one, heads = nests[0], np.zeros(len(nests))
        dram, passing = one.machine.dram, dict(least.near)
        inside = [memory.name for memory in one.inside]
        for tensor, size in least.moved.items():
            made = one.part.producer(tensor) is not None
            ways = [] if tensor in stays else [(dram.name, not made)]
            for memory in one.inside:  # what passes DRAM's port is written there and read again
                ways += [
                    (memory.name, reads) for reads in (True, False) if tensor not in stays or reads != made
                ]
            for name, reads in ways:
                key = tensor, name, reads
                passing[key] = np.maximum(size, passing.get(key, 0))
            for (name, near, reads), own in least.near.items():  # it comes to a unit's memory, or leaves it
                if name == tensor and reads != made and near not in stays.get(tensor, inside):
                    passing[tensor, near, made] = passing.get((tensor, near, made), 0) + size * (own > 0)
            heads = heads + least.first.get(tensor, 0) * (tensor not in stays)
        busy = dict(least.cycles)
        for (_, name, reads), size in passing.items():
            port = port_name(one.machine.memory(name), reads)
            busy[port] = busy.get(port, 0) + size
        units = {unit.name for unit in one.machine.units}
        self.read, self.names = port_name(dram, reads=True), list(busy)
        self.busy = np.stack(list(busy.values()), axis=1)
        self.units = np.array([name in units for name in self.names])
        self.heads, self.tiles = heads, least.tiles
        outer, held = [memory.name for memory in one.inside if memory.copies == 1], dict[str, Floats]()
        for (tensor, near), size in least.held.items():
            for name in () if tensor in stays or near in (*outer, dram.name) else (near,) if near else outer:
                held[name] = held.get(name, 0) + size
        self._held = {name: size.tolist() for name, size in held.items()}
        self._last: tuple[tuple[int, ...], Floats] = (), self.heads

    def _costs(self, rates: Rates) -> Floats:
        each = tuple(rates.get(name, 0) for name in (*self.names, self.read, MACHINE))
        if self._last[0] != each:
            busy = self.busy * np.array(each[:-2], np.float64)
            bound = np.maximum(busy.max(1), busy[:, self.units].max(1) + self.heads * each[-2])
            cost = share_cost(bound, busy.sum(1), each[-1] * self.tiles)
            self._last = each, cost * (1 - 1e-9)
        return self._last[1]

    def held(self, at: int) -> dict[str, float]:
        """Bytes that a nest takes at least in each memory beside what stays."""
        return {name: every[at] for name, every in self._held.items()}

    def floor(self, rates: Rates) -> float:
        """What no nest costs less than."""
        return float(self._costs(rates).min())

    def order(self, rates: Rates) -> list[tuple[bool, float, int]]:
        """Whether weights are streamed, what it costs at least, and the place of each nest, sorted."""
        floors = self._costs(rates).tolist()
        return sorted(zip(self.streamed, floors, range(len(floors)), strict=True))


class Known:
    """The list of runs that are alike, and the names of the one that it was made for."""

    def __init__(self, part: Cascade, machine: Machine, names: tuple[str, ...]) -> None:
        self.names = names
        leaves = UnitChoices(part, machine)
        found = in_parts(leaves, list(nests(part, machine, part.einsums)))
        self.nests = [ListedNest(part, leaves, nest) for nest in found]
        self._tables: dict[tuple[str, ...], LeastCosts] = {}
        self._leaves = leaves

    @cached_property
    def _least(self) -> ListLeast:
        return least_of(self._leaves, [nest.nest for nest in self.nests])

    @cached_property
    def smaller(self) -> list[ListedNest]:
        """Points for memories in which none of the list fits, the largest first."""
        part = self._leaves.cascade
        found = list(smaller(part, self._leaves.machine, part.einsums))
        found = in_parts(self._leaves, found) if found else []
        return [ListedNest(part, self._leaves, nest) for nest in found]

    def nest(self, at: int) -> ListedNest:
        """A point of the list or, after those, of the smaller ones."""
        return self.nests[at] if at < len(self.nests) else self.smaller[at - len(self.nests)]

    def table(self, stays: Stays) -> LeastCosts:
        """The least costs where some tensors stay."""
        key = tuple(stays)
        if key not in self._tables:
            self._tables[key] = LeastCosts(self.nests, self._least, stays)
        return self._tables[key]


_LISTS: Final = Remembered[Known](20_000, lambda one: len(one.nests))


def known_list(part: Cascade, machine: Machine, structure: bytes) -> tuple[Known, tuple[str, ...]]:
    """The list of all Einsums of a cascade together, and the cascade's names in the order of the list's.

    What vector units do is one list for all arrays.
    """
    text, names = _text(part)
    dense = all(not tensor.sparsity.patterns for tensor in part.tensors)
    if dense and machine.vector_units and not any(one.contracts for one in part.einsums):
        vectors = on_vectors(machine)
        if all(able(part, vectors, one) for one in part.einsums):
            machine, structure = vectors, msgspec.msgpack.encode(vectors)
    return _LISTS.get((text, structure), lambda: Known(part, machine, names)), names


def _text(part: Cascade) -> tuple[str, tuple[str, ...]]:
    """A cascade's text with its names by their order in it, the same for cascades that are alike, and those
    names.
    """
    lines = [einsum_text(einsum, part.sizes, 0) for einsum in part.einsums]
    lines += [bound_text(bound, part.sizes) for bound in part.bounds]
    tensors = touched(part.einsums)
    lines += [tensor_text(part.tensor(name)) for name in tensors]
    names: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        name = match[0]
        if name in part.sizes:
            return names.setdefault(name, f"r{len(names)}_{part.size(name)}")
        return names.setdefault(name, f"t{len(names)}") if name in tensors else name

    text = re.sub(r"[^\W\d]\w*", number, "\n".join(lines))
    read_on = ",".join(str(part.is_output(einsum.name)) for einsum in part.einsums)
    states = sorted(
        (names[name], *(names[r] for r in ranks)) for name, ranks in part.overwritten.items() if name in names
    )
    return f"{text}\n{read_on}\n{states}", tuple(names)
