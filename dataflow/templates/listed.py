"""The fixed list of nests of some Einsums, each with all of its figures that no rate and no room changes.

A list is made once for a structure: for all blocks that are alike but for names, on all machines that differ
only in bandwidths, room and energies, or run faster as a whole.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Final

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.clock import port_name
from einsim.dataflow.ends import Ends
from einsim.dataflow.footprint import access_of, relevant_ranks, tile_bytes
from einsim.dataflow.held import home_bytes
from einsim.dataflow.holds import levels
from einsim.dataflow.iteration import Path
from einsim.dataflow.layout import lay_out
from einsim.dataflow.leaf import array_cycles, exploited
from einsim.dataflow.legality import check
from einsim.dataflow.lower import unpriced
from einsim.dataflow.mapping import Mapping as LoopTree
from einsim.dataflow.mapping import Node
from einsim.dataflow.mask import Cut, mask_of
from einsim.dataflow.program import Op, Program
from einsim.dataflow.templates.blocks import touched
from einsim.dataflow.templates.nest import MOST_PARTS, LoopNest, UnitChoices, build, depth_of, in_parts, nests
from einsim.dataflow.volume import MACHINE, Rates
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade

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


class Nest:
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
        try:
            check(self._mapping, self.part, self.machine)
        except EinsimError:
            return None
        if not self.part.bounds:
            return Ends(unpriced(self._mapping, self.part, self.machine))
        program = unpriced(self._mapping, unbounded(self.part), self.machine)
        return Ends(program, {op.id: _visited(self.part, program, op) for op in program.ops})

    @cached_property
    def _least(self) -> tuple[dict[str, int], dict[str, int], dict[str, int], int]:
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

    def least(self, rates: Rates, stays: Stays) -> float:
        """No more than it costs on a machine of these rates."""
        cycles, moved, first, tiles = self._least
        dram = self.machine.dram
        read, write = port_name(dram, reads=True), port_name(dram, reads=False)
        busy = {unit: number * rates[unit] for unit, number in cycles.items()}
        head = sum(size for tensor, size in first.items() if tensor not in stays) * rates.get(read, 0)
        bound = head + max(busy.values())
        for tensor, size in moved.items():
            made = self.part.producer(tensor) is not None
            ports = [] if tensor in stays else [write if made else read]
            for memory in self.inside:  # what passes DRAM's port is written there and read again
                ports += [
                    port_name(memory, reads=reads)
                    for reads in (True, False)
                    if tensor not in stays or reads != made
                ]
            for port in ports:
                if port in rates:
                    busy[port] = busy.get(port, 0) + size * rates[port]
        bound, total = max(bound, *busy.values()), sum(busy.values())
        return bound + CONTENTION * (total - bound) + TILE_CYCLES * rates[MACHINE] * tiles


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


def listed(part: Cascade, machine: Machine) -> list[Nest]:
    """The list of all Einsums of a cascade together."""
    leaves = UnitChoices(part, machine)
    return [Nest(part, leaves, nest) for nest in nests(part, machine, part.einsums)]
