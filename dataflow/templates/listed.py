"""The fixed list of nests of some Einsums, each with all of its figures that no rate and no room changes.

A list is made once for a structure: for all blocks that are alike but for names, on all machines that differ
only in bandwidths, room and energies, or run faster as a whole.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from einsim.accel.machine import Machine
from einsim.dataflow.clock import port_name
from einsim.dataflow.ends import Ends
from einsim.dataflow.footprint import access_of, relevant_ranks, tile_bytes
from einsim.dataflow.held import home_bytes
from einsim.dataflow.holds import levels
from einsim.dataflow.iteration import Path
from einsim.dataflow.layout import lay_out
from einsim.dataflow.leaf import array_cycles, exploited
from einsim.dataflow.legality import legal
from einsim.dataflow.lower import unpriced
from einsim.dataflow.mapping import Mapping as LoopTree
from einsim.dataflow.mapping import Node
from einsim.dataflow.mask import Cut, mask_of
from einsim.dataflow.program import Op, Program
from einsim.dataflow.templates.blocks import touched
from einsim.dataflow.templates.nest import (
    MOST_PARTS,
    LoopNest,
    UnitChoices,
    build,
    depth_of,
    in_parts,
    nests,
    smaller,
)
from einsim.dataflow.volume import MACHINE, Rates
from einsim.specs.remembered import Remembered
from einsim.workloads.cascade import Cascade
from einsim.workloads.text import bound_text, einsum_text, tensor_text

#: Share of what the other engines are busy that a tree's cost counts beside its bound: engines that wait for
#: each other's tiles lose some of it, and work that is not done needs no energy.
CONTENTION: Final = 0.25

#: Cycles of the machine's clock that a tree's cost counts for each tile of the Einsum that has most.
TILE_CYCLES: Final = 4

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
    return bound + CONTENTION * (busy - bound) + TILE_CYCLES * rates[MACHINE] * ends.tiles


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
        return build(self.leaves, msgspec.structs.replace(self._parted, buffers=buffers), resident)

    @cached_property
    def _parted(self) -> LoopNest:
        return in_parts(self.leaves, self.nest)

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

    @cached_property
    def least(self) -> tuple[dict[str, int], dict[str, int], dict[str, int], int]:
        """Cycles of each unit, bytes of each tensor that pass DRAM's port, bytes of each that the first tile
        wants from there, and tiles: no more than its program has.
        """
        cascade, nest = self.part, self.nest
        loops = [(rank, tile) for rank, tile in nest.loops if tile < cascade.size(rank)]
        extents, leaves = nest.extents(cascade), self.leaves.of(nest)
        share = {einsum.name: _share(cascade, einsum.name) for einsum in nest.einsums}
        cycles: dict[str, int] = {}
        for einsum in nest.einsums:
            unit = self.machine.unit(leaves[einsum.name].unit)
            for times, some in _classes(cascade, loops):
                work = exploited(cascade, unit, einsum, some)
                each = array_cycles(cascade, unit, einsum, leaves[einsum.name], work)
                cycles[unit.name] = cycles.get(unit.name, 0) + int(times * each * share[einsum.name])
        moved, first = {}, {}
        for tensor in touched(nest.einsums):
            maker = cascade.producer(tensor)
            if maker is not None and not cascade.is_output(tensor):
                continue
            access = access_of(maker or cascade.consumers(tensor)[0], tensor)
            depth = depth_of(cascade, nest.einsums, tensor, loops)
            still = {rank for rank, _ in loops} - relevant_ranks(cascade, access)
            again = math.prod(-(-cascade.size(rank) // tile) for rank, tile in loops[:depth] if rank in still)
            whole = tile_bytes(cascade, self.machine, access, cascade.sizes)
            moved[tensor] = int(whole * again * min(share.values()))
            if maker is None and len(nest.einsums) == 1:
                tile = tile_bytes(cascade, self.machine, access, extents)
                first[tensor] = tile // MOST_PARTS if nest.einsums[0].contracts else tile
        tiles = math.prod(-(-cascade.size(rank) // tile) for rank, tile in loops)
        return cycles, moved, first, int(tiles * min(share.values()))


def unbounded(part: Cascade) -> Cascade:
    """A cascade without its bounds."""
    found = msgspec.structs.replace(part, bounds=())
    vars(found)["overwritten"] = part.overwritten
    return found


def _visited(part: Cascade, program: Program, op: Op) -> float:
    """Share of an operation's tiles that bounds leave, each cut to the box around what is left of it; of many
    small ones the share of the points.
    """
    loops = tuple(program.loops[loop] for loop in op.path)
    shares = []
    for einsum in part.einsums:
        mask = mask_of(part, einsum.ranks)
        if op.subject not in ((einsum.name,) if op.kind == "compute" else touched((einsum,))):
            continue
        tied = tuple(sorted(mask.tied))
        if math.prod(loop.count for loop in loops if mask.tied & set(loop.ranks)) > MOST_VISITED:
            shares.append(_share(part, einsum.name))
            continue
        access = access_of(einsum, op.subject)
        key = tuple(rank for rank in tied if rank in (einsum.ranks if op.kind == "compute" else access.ranks))
        every, left = (
            sum(times * math.prod(extents[: len(key)]) for extents, times in path.instances().items())
            for cut in (None, Cut((mask,), tied))
            for path in [Path(loops, op.when, part.sizes, key, cut=cut)]
        )
        shares.append(left / every)
    return max(shares)


def _share(cascade: Cascade, einsum: str) -> float:
    """Share of an Einsum's points that bounds leave."""
    whole = math.prod(cascade.size(rank) for rank in cascade.einsum(einsum).ranks)
    return cascade.points(einsum) / whole


def _classes(cascade: Cascade, loops: list[tuple[str, int]]) -> list[tuple[int, dict[str, int]]]:
    """Extents of a nest's tiles, and how many tiles have them: whole ones and what is left at the ends."""
    kinds = []
    for rank, tile in loops:
        full, left = divmod(cascade.size(rank), tile)
        kinds.append([(rank, full, tile), *([(rank, 1, left)] if left else [])])
    return [
        (
            math.prod(times for _, times, _ in some),
            {**cascade.sizes, **{rank: tile for rank, _, tile in some}},
        )
        for some in itertools.product(*kinds)
    ]


class LeastCosts:
    """Of the nests of a list the least that each costs, where some tensors stay on chip."""

    def __init__(self, nests: list[ListedNest], stays: Stays) -> None:
        self.streamed = [nest.nest.streamed for nest in nests]
        rows, heads, tiles = [], [], []
        for nest in nests:
            cycles, moved, first, many = nest.least
            busy: dict[str, int] = dict(cycles)
            dram = nest.machine.dram
            for tensor, size in moved.items():
                made = nest.part.producer(tensor) is not None
                ports = [] if tensor in stays else [port_name(dram, reads=not made)]
                for memory in nest.inside:  # what passes DRAM's port is written there and read again
                    ports += [
                        port_name(memory, reads=reads)
                        for reads in (True, False)
                        if tensor not in stays or reads != made
                    ]
                for port in ports:
                    busy[port] = busy.get(port, 0) + size
            rows.append(busy)
            heads.append(sum(size for tensor, size in first.items() if tensor not in stays))
            tiles.append(many)
        self.read = port_name(nests[0].machine.dram, reads=True) if nests else ""
        units = {unit.name for nest in nests[:1] for unit in nest.machine.units}
        self.names = list(dict.fromkeys(name for row in rows for name in row))
        self.busy = np.array([[row.get(name, 0) for name in self.names] for row in rows], np.float64)
        self.units = np.array([name in units for name in self.names])
        self.heads, self.tiles = np.array(heads, np.float64), np.array(tiles, np.float64)
        self._last: tuple[tuple[int, ...], NDArray[np.float64]] = (), self.heads

    def _costs(self, rates: Rates) -> NDArray[np.float64]:
        each = tuple(rates.get(name, 0) for name in (*self.names, self.read, MACHINE))
        if self._last[0] != each:
            busy = self.busy * np.array(each[:-2], np.float64)
            bound = np.maximum(busy.max(1), busy[:, self.units].max(1) + self.heads * each[-2])
            cost = bound + CONTENTION * (busy.sum(1) - bound) + TILE_CYCLES * each[-1] * self.tiles
            self._last = each, cost * (1 - 1e-9)
        return self._last[1]

    def floor(self, rates: Rates) -> float:
        """What no nest costs less than."""
        return float(self._costs(rates).min()) if self.streamed else math.inf

    def order(self, rates: Rates) -> list[tuple[bool, float, int]]:
        """Whether weights are streamed, what it costs at least, and the place of each nest, sorted."""
        floors = self._costs(rates).tolist() if self.streamed else []
        return sorted(zip(self.streamed, floors, range(len(floors)), strict=True))


class Known:
    """The list of runs that are alike, and the names of the one that it was made for."""

    def __init__(self, part: Cascade, machine: Machine, names: tuple[str, ...]) -> None:
        self.names = names
        leaves = UnitChoices(part, machine)
        self.nests = [ListedNest(part, leaves, nest) for nest in nests(part, machine, part.einsums)]
        self._tables: dict[tuple[str, ...], LeastCosts] = {}
        self._leaves = leaves

    @cached_property
    def smaller(self) -> list[ListedNest]:
        """Points for memories in which none of the list fits, the largest first."""
        part = self._leaves.cascade
        found = smaller(part, self._leaves.machine, part.einsums)
        return [ListedNest(part, self._leaves, nest) for nest in found]

    def nest(self, at: int) -> ListedNest:
        """A point of the list or, after those, of the smaller ones."""
        return self.nests[at] if at < len(self.nests) else self.smaller[at - len(self.nests)]

    def table(self, stays: Stays) -> LeastCosts:
        """The least costs where some tensors stay."""
        key = tuple(stays)
        if key not in self._tables:
            self._tables[key] = LeastCosts(self.nests, stays)
        return self._tables[key]


_LISTS: Final = Remembered[Known](20_000, lambda one: len(one.nests))


def known_list(part: Cascade, machine: Machine, structure: bytes) -> tuple[Known, tuple[str, ...]]:
    """The list of all Einsums of a cascade together, and the cascade's names in the order of the list's."""
    text, names = _text(part)
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
