"""Legality: every Einsum is computed once, from operands that are there, in memories that hold them.

The rules on the tree itself (names, tiles, keeps, units) stand here; those on how data flows between the
leaves are in `einsim.dataflow.flow_rules`. All raise one SpecError, with the line where the mapping has one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from einsim.accel.machine import DATAFLOWS, Machine, Unit
from einsim.accel.widths import lacks
from einsim.dataflow.flow_rules import check_flow
from einsim.dataflow.held import fits, held_bytes, home_bytes, room_of
from einsim.dataflow.holds import outside
from einsim.dataflow.layout import Home, Layout, lay_out, points_below
from einsim.dataflow.mapping import Compute, Keep, Loop, Mapping, Node, children, node_at
from einsim.dataflow.outside import dram_bytes
from einsim.dataflow.row_stationary import is_row_stationary, rows_refused
from einsim.dataflow.sites import DEEPEST, NOWHERE, Place, Sites
from einsim.dataflow.spatial import passed_on
from einsim.dataflow.structure import structure_of
from einsim.specs.errors import EinsimError, SpecError
from einsim.specs.near import near
from einsim.specs.remembered import Remembered
from einsim.workloads.cascade import Cascade, Einsum

MOST_BUFFERS: Final = 2**40
"""Tiles that a keep may hold at once."""

Visit = tuple[Place, Node, tuple[Node, ...]]


def check(mapping: Mapping, cascade: Cascade, machine: Machine, sites: Sites = NOWHERE) -> None:
    """Raise SpecError for the first rule that the mapping breaks; `sites` says where nodes were written.

    What a legal mapping needs is remembered, so that machines which differ in rates and room are only asked
    for the room.
    """
    try:
        parts = [*map(msgspec.msgpack.encode, (mapping.tree, cascade.overwritten))]
    except OverflowError:  # a number of more than 64 bits, which breaks a rule
        need = _needs(mapping, cascade, machine, sites)
    else:
        key = cascade, structure_of(machine).key, *parts
        need = _NEEDS.get(key, lambda: _needs(mapping, cascade, machine, sites))
    if fits(need, machine):
        return
    layout = lay_out(mapping, cascade)
    _capacity(mapping, layout, cascade, machine, sites)
    _dram(mapping, layout, cascade, machine)


_NEEDS: Final = Remembered[dict[str, int]](10_000)


def legal(mapping: Mapping, cascade: Cascade, machine: Machine) -> bool:
    """Whether the mapping breaks no rule."""
    try:
        check(mapping, cascade, machine)
    except EinsimError:
        return False
    return True


def _needs(mapping: Mapping, cascade: Cascade, machine: Machine, sites: Sites) -> dict[str, int]:
    """Bytes that a mapping needs in each memory; SpecError for the first other rule that it breaks."""
    tree = _Tree(cascade, machine, sites)
    nodes = list(_visits(mapping.tree, (), (), sites))
    for place, node, above in nodes:
        if isinstance(node, Loop):
            tree.loop(place, node)
        elif isinstance(node, Keep):
            tree.keep(place, node, above)
        elif isinstance(node, Compute):
            tree.compute(place, node)
        elif not node.children:
            raise sites.error(place, node, "", "must have at least one child")
    tree.once(nodes)
    for place, node, above in nodes:
        if isinstance(node, Loop):
            tree.iterated(place, node, above)
        elif isinstance(node, Keep):
            tree.used(place, node)
    layout = lay_out(mapping, cascade)
    for leaf in layout.leaves:
        if is_row_stationary(leaf.node):
            unit, extents = machine.unit(leaf.node.unit), points_below(layout, cascade, leaf.path)
            if rule := rows_refused(cascade, unit, leaf.node, extents):
                raise sites.error(leaf.place, leaf.node, "stationarity", rule)
        _passing_on(leaf.node, leaf.place, mapping, cascade, machine, sites)
    check_flow(mapping, layout, cascade, machine, sites)
    here = dram_bytes(mapping, layout, cascade, machine)
    return {**held_bytes(mapping, layout, cascade, machine), machine.dram.name: sum(here.values())}


def _passing_on(
    node: Compute, place: Place, mapping: Mapping, cascade: Cascade, machine: Machine, sites: Sites
) -> None:
    """A unit that follows another one works point by point on what that one has summed."""
    if host := machine.unit(node.unit).follows:
        made = passed_on(cascade, cascade.einsum(node.einsum))
        if not any(other.einsum in made and other.unit == host for other in mapping.computes()):
            rule = f"{node.unit} only passes on what {host} sums, point by point: {node.einsum} isn't that"
            raise sites.error(place, node, "on", rule)


def _visits(node: Node, place: Place, above: tuple[Node, ...], sites: Sites) -> Iterator[Visit]:
    if len(above) >= DEEPEST:
        raise sites.error(place, node, "", f"is nested deeper than {DEEPEST} nodes")
    yield place, node, above
    for at, child in enumerate(children(node)):
        yield from _visits(child, (*place, at), (*above, node), sites)


class _Tree:
    """Rules that look at one node and those above or below it."""

    def __init__(self, cascade: Cascade, machine: Machine, sites: Sites) -> None:
        self.cascade = cascade
        self.machine = machine
        self.sites = sites
        self.ranks, self.tensors, self.einsums = (
            dict.fromkeys(one.name for one in some)
            for some in (cascade.ranks, cascade.tensors, cascade.einsums)
        )
        self.units = [unit.name for unit in machine.units]
        self.memories = [memory.name for memory in machine.memories]
        self._kept: dict[int, frozenset[str]] = {}  # by the node's id
        self._below: dict[int, tuple[Compute, ...]] = {}

    def _known(self, at: tuple[Place, Node, str], name: str, names: Collection[str], kind: str) -> None:
        if name not in names:
            raise self.sites.error(*at, f"unknown {kind}", got=name, hint=near(name, names))

    def loop(self, place: Place, node: Loop) -> None:
        """A known rank, and a tile from 1 to all of it."""
        self._known((place, node, "for"), node.rank, self.ranks, "rank")
        if node.tile < 1:
            raise self.sites.error(place, node, "tile", "must be >= 1", got=node.tile)
        limit = self.cascade.size(node.rank)
        if node.tile > limit:
            rule = f"a tile of {node.rank} must be <= {limit}"
            raise self.sites.error(place, node, "tile", rule, got=node.tile)

    def _extent(self, node: Loop, above: tuple[Node, ...]) -> int:
        """Points of a loop's rank that the loops above leave."""
        outer = [other.tile for other in above if isinstance(other, Loop) and other.rank == node.rank]
        return min((self.cascade.size(node.rank), *outer))

    def keep(self, place: Place, node: Keep, above: tuple[Node, ...]) -> None:
        """Known names, sensible options, and a memory inside the one that holds the tensor further out."""
        if not node.tensors:
            raise self.sites.error(place, node, "keep", "must name at least one tensor")
        times = Counter(node.tensors)
        for tensor in node.tensors:
            self._known((place, node, "keep"), tensor, self.tensors, "tensor")
            if times[tensor] > 1:
                raise self.sites.error(place, node, "keep", "names a tensor twice", got=tensor)
        self._known((place, node, "in"), node.memory, self.memories + self.units, "memory")
        if node.buffers < 1:
            raise self.sites.error(place, node, "buffers", "must be >= 1", got=node.buffers)
        if node.buffers > MOST_BUFFERS:
            raise self.sites.error(place, node, "buffers", "must be <= 2**40", got=node.buffers)
        if not 0 <= node.spill < 1:
            raise self.sites.error(place, node, "spill", "must be >= 0 and < 1", got=node.spill)
        if node.spill and (node.memory in self.units or node.memory == self.machine.dram.name):
            rule = f"{node.memory} has no memory outside it to spill to"
            raise self.sites.error(place, node, "spill", rule, got=node.spill)
        if node.spill and len(parents := self.machine.memory(node.memory).parents) > 1:
            rule = f"{node.memory} has several memories outside it to spill to: {', '.join(parents)}"
            raise self.sites.error(place, node, "spill", rule, got=node.spill)
        if node.overlay and any(m.name == node.memory and m.value_bits for m in self.machine.memories):
            rule = f"not modelled: tensors share bytes in {node.memory}, whose values have a width of its own"
            raise self.sites.error(place, node, "overlay", rule)
        if node.overlay and len(node.tensors) < 2:
            raise self.sites.error(place, node, "overlay", "needs at least two tensors that share the bytes")
        for tensor in node.stays:
            self._staying(place, node, above, tensor)
        around = [(o, self._names(o)) for o in above if isinstance(o, Keep)]
        for tensor in node.tensors:
            outer = [keep for keep, names in around if tensor in names]
            if outer and outer[-1].memory == node.memory:
                rule = f"{tensor} is kept in {node.memory} further out already"
                raise self.sites.error(place, node, "in", rule, hint="leave this one out")
            if outer and outer[-1].memory not in self._around(node.memory):
                rule = (
                    f"{tensor} is kept in {outer[-1].memory} further out, which is not outside {node.memory}"
                )
                hint = f"outside it: {', '.join(self._around(node.memory)) or 'nothing'}"
                raise self.sites.error(place, node, "in", rule, hint=hint)

    def _staying(self, place: Place, node: Keep, above: tuple[Node, ...], tensor: str) -> None:
        """An input or result as a whole, in a memory that all cores share."""
        producer = self.cascade.producer(tensor) if tensor in self.tensors else None
        shared = {memory.name for memory in self.machine.memories if memory.copies == 1}
        rule = ""
        if tensor not in node.tensors:
            rule = "must be one of the tensors that are kept here"
        elif producer is not None and not self.cascade.is_output(tensor):
            rule = "must be an input or a result of the cascade"
        elif producer is not None and producer.iterative:
            rule = "not modelled: a state stays from one cascade to the next"
        elif any(not isinstance(outer, Keep) or tensor in outer.tensors for outer in above):
            rule = "must be kept above all loops and groups, and no further out"
        elif node.memory not in shared - {self.machine.dram.name}:
            rule = f"must be in a memory on chip that all cores share, which {node.memory} is not"
        elif node.spill or node.overlay:
            rule = "not modelled: a tensor stays in bytes that it spills from or shares"
        if rule:
            raise self.sites.error(place, node, "stays", rule, got=tensor)

    def _names(self, node: Keep) -> frozenset[str]:
        """The tensors of a keep, to be looked up by all keeps below it."""
        if id(node) not in self._kept:
            self._kept[id(node)] = frozenset(node.tensors)
        return self._kept[id(node)]

    def _leaves(self, node: Node) -> tuple[Compute, ...]:
        """The leaves below a node, in order, to be looked up by all nodes above it."""
        if isinstance(node, Compute):
            return (node,)
        if id(node) not in self._below:
            self._below[id(node)] = tuple(leaf for child in children(node) for leaf in self._leaves(child))
        return self._below[id(node)]

    def _around(self, name: str) -> list[str]:
        """Memories outside a memory or a unit's registers, innermost first."""
        if name not in self.units:
            return list(outside(self.machine, name))
        near = dict.fromkeys(self.machine.unit(name).memories.values())
        return list(dict.fromkeys(one for here in near for one in (here, *outside(self.machine, here))))

    def compute(self, place: Place, node: Compute) -> None:
        """A known Einsum on a unit that has its ops, laid out along dimensions that the unit has."""
        self._known((place, node, "compute"), node.einsum, self.einsums, "Einsum")
        self._known((place, node, "on"), node.unit, self.units, "unit")
        unit, einsum = self.machine.unit(node.unit), self.cascade.einsum(node.einsum)
        ops = self.cascade.wide_ops(einsum.name)
        able = [other.name for other in self.machine.units if not lacks(other, ops)]
        for op in einsum.ops:
            if not unit.supports(op):
                hint = f"units that have all its ops: {', '.join(able)}" if able else near(op, unit.ops)
                raise self.sites.error(place, node, "on", f"unit {unit.name} has no op '{op}'", hint=hint)
        if why := lacks(unit, ops):
            hint = f"units that have all its ops: {', '.join(able)}" if able else ""
            raise self.sites.error(place, node, "on", why, hint=hint)
        self._spatial(place, node, unit, einsum)
        self._known((place, node, "stationarity"), node.stationarity, DATAFLOWS, "dataflow")
        if (unit.dataflows or is_row_stationary(node)) and node.stationarity not in unit.dataflows:
            rule, hint = (
                f"unit {unit.name} can't work {node.stationarity}",
                f"it is {', '.join(unit.dataflows)}" if unit.dataflows else "",
            )
            raise self.sites.error(place, node, "stationarity", rule, hint=hint)
        for tensor in node.chained:
            reads = [access.tensor for access in einsum.reads]
            if tensor not in reads:
                rule = f"{node.einsum} does not read this tensor"
                raise self.sites.error(place, node, "chained", rule, got=tensor, hint=near(tensor, reads))

    def _spatial(self, place: Place, node: Compute, unit: Unit, einsum: Einsum) -> None:
        placed: dict[bool, set[str]] = {True: set(), False: set()}  # along the cores, along a core's own
        for dim, ranks in node.spatial.items():
            self._known((place, node, "spatial"), dim, tuple(unit.dims), "dimension")
            for rank in ranks:
                if rank not in einsum.ranks:
                    rule, hint = f"{einsum.name} does not iterate this rank", near(rank, einsum.ranks)
                    raise self.sites.error(place, node, "spatial", rule, got=rank, hint=hint)
                if rank in placed[dim == "cores"]:
                    raise self.sites.error(place, node, "spatial", "this rank is placed twice", got=rank)
                if rank in einsum.iterative and einsum.name in (a.tensor for a in einsum.reads):
                    rule = "a step needs the one before, so its rank can't lie along a dimension"
                    raise self.sites.error(place, node, "spatial", rule, got=rank)
                placed[dim == "cores"].add(rank)

    def once(self, nodes: list[Visit]) -> None:
        """Every Einsum of the cascade has exactly one leaf."""
        seen: dict[str, Place] = {}
        for place, node, _ in nodes:
            if isinstance(node, Compute):
                if node.einsum in seen:
                    raise self.sites.error(place, node, "", f"Einsum {node.einsum} is computed twice")
                seen[node.einsum] = place
        missing = [einsum.name for einsum in self.cascade.einsums if einsum.name not in seen]
        if missing:
            rule = f"no leaf computes Einsum {missing[0]}"
            more = f"nor {', '.join(missing[1:5])}" if missing[1:] else ""
            raise SpecError("mapping", rule, where=self.sites.where(()), hint=more)

    def iterated(self, place: Place, node: Loop, above: tuple[Node, ...]) -> None:
        """The Einsums below a loop iterate its rank; a state's rank is walked point by point."""
        below = [self.cascade.einsum(leaf.einsum) for leaf in self._leaves(node)]
        if all(node.rank not in einsum.ranks for einsum in below):
            rule = f"no Einsum below iterates {node.rank}"
            ranks = [rank for einsum in below for rank in einsum.ranks]
            raise self.sites.error(place, node, "for", rule, hint=near(node.rank, ranks))
        if node.tile >= self._extent(node, above):
            return
        for einsum in below:
            if node.rank not in einsum.ranks:
                rule = f"{einsum.name} below does not iterate {node.rank}: this loop would compute it again"
                raise self.sites.error(place, node, "for", rule, hint=f"move {einsum.name} out of the loop")
            if node.tile % (group := einsum.group(node.rank)):
                rule = f"{einsum.name} chooses of {group} along {node.rank} at a time"
                rule += f": must be a multiple of {group}"
                raise self.sites.error(place, node, "tile", rule, got=node.tile)
            reads = {read.tensor for read in einsum.reads}
            apart = {einsum.name, *reads} - ({einsum.name} & reads)  # its own state it takes step by step
            if node.tile != 1 and any(node.rank in self._state_ranks(tensor) for tensor in apart):
                rule = f"not modelled: {einsum.name} takes several steps of {node.rank} in one tile, not 1"
                raise self.sites.error(place, node, "tile", rule, got=node.tile)

    def _state_ranks(self, tensor: str) -> tuple[str, ...]:
        producer = self.cascade.producer(tensor)
        return producer.iterative if producer is not None else ()

    def used(self, place: Place, node: Keep) -> None:
        """Somebody below reads or writes each kept tensor."""
        touched = set[str]()
        for leaf in self._leaves(node):
            touched |= self.cascade.einsum(leaf.einsum).accesses.keys()
        for tensor in node.tensors:
            if tensor not in touched:
                rule, hint = "no Einsum below reads or writes this tensor", near(tensor, sorted(touched))
                raise self.sites.error(place, node, "keep", rule, got=tensor, hint=hint)


def _capacity(mapping: Mapping, layout: Layout, cascade: Cascade, machine: Machine, sites: Sites) -> None:
    room = room_of(machine)
    for name, need in held_bytes(mapping, layout, cascade, machine).items():
        unit, capacity = next((unit for unit in machine.units if unit.name == name), None), room[name]
        if capacity is None or need <= capacity:
            continue
        sizes: dict[Place, int] = {}
        for home, path in layout.homes:
            if home.memory == name:
                sizes[home.place] = sizes.get(home.place, 0) + _bytes(home, path, layout, cascade, machine)
        place = max(sizes, key=lambda at: sizes[at])
        node = node_at(mapping.tree, place)
        rule = f"{need} bytes are needed in {name}, which has {capacity}"
        if unit is not None and unit.registers is None:
            rule = f"unit {name} has no registers to keep tensors in"
        hint = f"the largest share is this one's, {sizes[place]}: use smaller tiles or fewer buffers"
        raise sites.error(place, node, "", rule, hint=hint)


def _dram(mapping: Mapping, layout: Layout, cascade: Cascade, machine: Machine) -> None:
    dram = machine.dram
    if dram.capacity_bytes is None:
        return
    here = dram_bytes(mapping, layout, cascade, machine)
    need = sum(here.values())
    if need > dram.capacity_bytes:
        most = sorted(here, key=lambda name: -here[name])[:3]
        shares = ", ".join(f"{name} {here[name]:,}" for name in most)
        rule = f"{need:,} bytes must be in {dram.name} at one time, whose capacity is {dram.capacity_bytes:,}"
        raise SpecError("mapping", rule, hint=f"the largest are {shares}")


def _bytes(home: Home, path: tuple[int, ...], layout: Layout, cascade: Cascade, machine: Machine) -> int:
    size = home_bytes(home, path, layout, cascade, machine)
    return -(-size // len(home.overlay)) if home.overlay else size
