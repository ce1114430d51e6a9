"""The best of the fixed list of nests of a block: by the bound with heads and tails, among those that fit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.clock import port_name
from einsim.dataflow.ends import with_ends
from einsim.dataflow.footprint import access_of, tile_bytes
from einsim.dataflow.held import held_bytes
from einsim.dataflow.layout import lay_out
from einsim.dataflow.leaf import array_cycles, exploited
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Mapping as LoopTree
from einsim.dataflow.mapping import Node, chain, keep
from einsim.dataflow.templates.blocks import Block, part_of, touched
from einsim.dataflow.templates.nest import LoopNest, UnitChoices, build, depth_of, in_parts, nests
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade
from einsim.workloads.text import bound_text, einsum_text, tensor_text

#: Nests of a list whose bound is computed in full: the most promising ones that fit.
MOST_BOUNDED = 6

#: Share of what the other engines are busy that a tree's cost counts beside its bound: engines that wait for
#: each other's tiles lose some of it, and work that is not done needs no energy.
CONTENTION = 0.25


class BlockTree(msgspec.Struct, frozen=True, kw_only=True):
    """A tree of some Einsums, what it costs in ticks, and the bytes that it holds in each memory."""

    tree: Node
    cost: float
    held: dict[str, int]


class Chooser:
    """Choices for the blocks of a cascade on a machine; what was computed for one is remembered."""

    def __init__(self, cascade: Cascade, machine: Machine) -> None:
        self.cascade, self.machine = cascade, machine
        self.capacity = {memory.name: memory.capacity_bytes for memory in machine.memories}
        self.capacity |= {
            unit.name: unit.registers.bytes_per_pe * unit.pes if unit.registers is not None else 0
            for unit in machine.units
        }
        self._leaves = UnitChoices(cascade, machine)
        self._nests: dict[Block, tuple[LoopNest, ...]] = {}
        self._names: dict[Block, str] = {}
        self._orders: dict[tuple[object, ...], list[int]] = {}
        self._costs: dict[tuple[object, ...], float | None] = {}

    def best(
        self,
        einsums: Block,
        resident: Mapping[str, str] = {},
        reserved: Mapping[str, int] = {},
    ) -> BlockTree | None:
        """The best nest that fits beside the bytes `reserved`, `resident` tensors being there already; None
        where none fits.

        Nests have two buffers where any of the list does then, else one.
        """
        if einsums not in self._nests:
            self._nests[einsums] = nests(self.cascade, self.machine, einsums)
            self._names[einsums] = _structure(self.cascade, einsums)
        listed = self._nests[einsums]
        kept = {name: memory for name, memory in resident.items() if name in touched(einsums)}
        case = (self._names[einsums], *(kept.get(name, "") for name in touched(einsums)))
        if case not in self._orders:
            figures = [(nest.streamed, self._estimate(nest, kept)) for nest in listed]
            self._orders[case] = sorted(range(len(listed)), key=figures.__getitem__)
        for buffers in (2, 1):
            found: list[BlockTree] = []
            for at in self._orders[case]:
                nest = msgspec.structs.replace(listed[at], buffers=buffers)
                tree = build(self._leaves, in_parts(self._leaves, nest), kept)
                held = self.held(einsums, tree)
                if not self.fits(held, reserved):
                    continue
                if (*case, at, buffers) not in self._costs:
                    self._costs[*case, at, buffers] = self.cost(einsums, tree, kept)
                cost = self._costs[*case, at, buffers]
                if cost is not None:
                    found.append(BlockTree(tree=tree, cost=cost, held=held))
                    if len(found) == MOST_BOUNDED:
                        break
            if found:
                return min(found, key=lambda one: one.cost)
        return None

    def of(self, einsums: Block, trees: Iterable[Node], reserved: Mapping[str, int]) -> BlockTree | None:
        """The best of some trees that fits."""
        found = []
        for tree in trees:
            held = self.held(einsums, tree)
            cost = self.cost(einsums, tree) if self.fits(held, reserved) else None
            if cost is not None:
                found.append(BlockTree(tree=tree, cost=cost, held=held))
        return min(found, key=lambda one: one.cost, default=None)

    def error(self, einsums: Block) -> EinsimError:
        """Why no nest of a block fits: the one that needs least, and what it lacks."""
        least: tuple[int, str] | None = None
        names = ", ".join(einsum.name for einsum in einsums)
        for nest in self._nests[einsums]:
            single = msgspec.structs.replace(nest, buffers=1)
            tree = build(self._leaves, single)
            held = self.held(einsums, tree)
            if self.fits(held, {}):
                part = part_of(self.cascade, einsums)
                mapping = LoopTree(cascade=part.name, machine=self.machine.name, template="", tree=tree)
                try:
                    check(mapping, part, self.machine)
                except EinsimError as why:
                    return why
            for name, size in held.items():
                most = self.capacity[name]
                if most is not None and size > most and (least is None or size - most < least[0]):
                    least = size - most, f"{size} bytes in {name}, which has {most}"
        what = "Einsum" if len(einsums) == 1 else "Einsums"
        if least is None:
            return EinsimError(f"{self.machine.name}: no nest of {what} {names} is a legal mapping")
        return EinsimError(f"{self.machine.name}: the smallest tile of {what} {names} needs {least[1]}")

    def fits(self, held: Mapping[str, int], reserved: Mapping[str, int]) -> bool:
        """Whether bytes fit beside others in all memories."""
        return all(
            (most := self.capacity[name]) is None or size + reserved.get(name, 0) <= most
            for name, size in held.items()
        )

    def held(self, einsums: Block, tree: Node) -> dict[str, int]:
        """Bytes that a tree of some Einsums takes in each memory."""
        part = part_of(self.cascade, einsums)
        mapping = LoopTree(cascade=part.name, machine=self.machine.name, template="", tree=tree)
        return held_bytes(mapping, lay_out(mapping, part), part, self.machine)

    def cost(self, einsums: Block, tree: Node, resident: Mapping[str, str] = {}) -> float | None:
        """What a tree of some Einsums costs in ticks, as if no bounds left anything out; None where it isn't
        legal.
        """
        machine, part = self.machine, part_of(self.cascade, einsums, bounded=False)
        around = [keep((name,), memory, buffers=1) for name, memory in resident.items()]
        mapping = LoopTree(cascade=part.name, machine=machine.name, template="", tree=chain(*around, tree))
        try:
            check(mapping, part_of(self.cascade, einsums), machine)
        except EinsimError:
            return None
        program = lower(mapping, part, machine)
        ports = tuple(port_name(machine.dram, reads) for reads in (True, False))
        free = {op.id for op in program.ops if op.subject in resident and op.engine.startswith(ports)}
        bound, busy = with_ends(program, free)
        return bound + CONTENTION * (busy - bound)

    def _estimate(self, nest: LoopNest, kept: Mapping[str, str]) -> tuple[float, int]:
        """Seconds, about, of compute, DRAM and the first and last tile; then the bytes kept."""
        cascade, machine, extents = self.cascade, self.machine, nest.extents(self.cascade)
        loops = [(rank, tile) for rank, tile in nest.loops if tile < cascade.size(rank)]
        trips = [-(-cascade.size(rank) // tile) for rank, tile in loops]
        busy: dict[str, float] = {}
        leaves = self._leaves.of(nest)
        for einsum in nest.einsums:
            node = leaves[einsum.name]
            unit = machine.unit(node.unit)
            cycles = array_cycles(cascade, unit, einsum, node, exploited(cascade, unit, einsum, extents))
            seconds = cycles * math.prod(trips) / (unit.clock_hz or machine.clock_hz)
            busy[unit.name] = busy.get(unit.name, 0.0) + seconds
        moved = size = 0
        for tensor in touched(nest.einsums):
            if tensor in kept:
                continue
            maker = next((e for e in nest.einsums if e.name == tensor), None)
            user = maker or next(e for e in nest.einsums if any(r.tensor == tensor for r in e.reads))
            tile = tile_bytes(cascade, machine, access_of(user, tensor), extents)
            size += tile
            inside = maker is not None and not cascade.is_output(tensor)
            if not inside or any(reader not in nest.einsums for reader in cascade.consumers(tensor)):
                moved += tile * math.prod(trips[: depth_of(cascade, nest.einsums, tensor, loops)])
        rate = machine.dram.read_bytes_per_s
        ends = size / rate if rate else 0.0
        busy["dram"] = moved / rate if rate else 0.0
        longest = max(busy.values())
        return longest + ends + CONTENTION * (sum(busy.values()) - longest), size


def _structure(cascade: Cascade, einsums: Block) -> str:
    """A block's text with its names by their order in it: the same for blocks that are alike."""
    part = part_of(cascade, einsums)
    lines = [einsum_text(einsum, part.sizes, 0) for einsum in einsums]
    lines += [bound_text(bound, part.sizes) for bound in part.bounds]
    lines += [tensor_text(tensor) for name in touched(einsums) for tensor in [part.tensor(name)]]
    names: dict[str, str] = {}

    def renamed(match: re.Match[str]) -> str:
        name = match[0]
        if name in part.sizes:
            return names.setdefault(name, f"r{len(names)}_{part.size(name)}")
        return names.setdefault(name, f"t{len(names)}") if name in touched(einsums) else name

    text = re.sub(r"[^\W\d]\w*", renamed, "\n".join(lines))
    read_on = ",".join(str(part.is_output(einsum.name)) for einsum in einsums)
    return f"{text}\n{read_on}\n{sorted(part.overwritten)}"
