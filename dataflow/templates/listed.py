"""The fixed list of nests of some Einsums, each with all of its figures that no rate and no room changes.

A list is made once for a structure: for all blocks that are alike but for names, on all machines that differ
only in bandwidths, room and energies, or run faster as a whole.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache, partial
from typing import Final, NamedTuple

import msgspec
import numpy as np

from einsim.accel.machine import Machine
from einsim.dataflow.ends import Ends
from einsim.dataflow.held import home_bytes
from einsim.dataflow.layout import Layout, lay_out
from einsim.dataflow.legality import legal
from einsim.dataflow.lower import unpriced
from einsim.dataflow.mapping import Mapping as LoopTree
from einsim.dataflow.mapping import Node
from einsim.dataflow.outside import passes
from einsim.dataflow.spatial import able
from einsim.dataflow.templates.blocks import touched
from einsim.dataflow.templates.least import ListLeast, least_of
from einsim.dataflow.templates.least_costs import LeastCosts
from einsim.dataflow.templates.nest import LoopNest, UnitChoices, build, on_vectors
from einsim.dataflow.templates.nest_list import in_parts, nests, smaller, with_straight
from einsim.dataflow.templates.room import ListRoom, Stays, room_of_list
from einsim.dataflow.templates.shares import share_left
from einsim.dataflow.templates.worth import Worth
from einsim.specs.arrays import Bools, Floats
from einsim.specs.remembered import Remembered
from einsim.workloads.cascade import Cascade, Einsum, Rank
from einsim.workloads.text import bound_text, einsum_text, tensor_text


def cost_of(ends: Ends, worth: Worth, stays: Stays, *, single: bool) -> tuple[float, float, float]:
    """What a tree of some Einsums is taken to cost where some tensors stay in a memory between it and others,
    so that they need not come from DRAM or go there, and bytes that pass DRAM and all memories.
    """
    free = [at for at in ends.outward if ends.program.ops[at].subject in stays]
    bound, busy = ends.bound(worth.rates, free, single=single)
    moved = ends.moved(free)
    cost = worth.cost(bound, busy, ends.tiles, moved, ends.registers)
    return cost, moved[ends.program.outermost], sum(moved.values())


class ListedNest:
    """A point of a list: a nest whose tiles have two buffers each, or one."""

    def __init__(self, part: Cascade, leaves: UnitChoices, nest: LoopNest) -> None:
        self.part, self.leaves, self.nest = part, leaves, nest
        self.machine = leaves.machine

    def tree(self, buffers: int, resident: tuple[tuple[str, str], ...]) -> Node:
        """Its tree where some tensors are in a memory already."""
        return build(self.leaves, msgspec.structs.replace(self.nest, buffers=buffers), dict(resident))

    @cached_property
    def _mapping(self) -> LoopTree:
        tree = self.tree(2, ())
        return LoopTree(cascade=self.part.name, machine=self.machine.name, template="", tree=tree)

    @cached_property
    def _layout(self) -> Layout:
        return lay_out(self._mapping, self.part)

    @cached_property
    def _homes(self) -> tuple[tuple[str, str, int, int], ...]:
        """Tensor, memory, and the bytes that it takes there in one buffer and in two."""
        layout, found = self._layout, []
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
        """Its bounds; None where it is no legal mapping whatever the memories hold, or what is made passes
        through DRAM to where it is read, but for a state's.
        """
        part, made = self.part, [einsum.name for einsum in self.part.einsums]
        inside = [] if part.overwritten else [name for name in made if not part.is_output(name)]
        if any(passes(self._layout, part, self.machine, name) for name in inside):
            return None
        return ends_of(self._mapping, part, self.machine)


def ends_of(mapping: LoopTree, part: Cascade, machine: Machine, *, exact: bool = False) -> Ends | None:
    """Bounds of a tree; None where it is no legal mapping whatever the memories hold. Under a mask they are
    those without one, of which each operation has the share that the mask leaves: no kind of tile is lowered;
    or `exact`, which a dependent chain needs.
    """
    if not legal(mapping, part, machine):
        return None
    if exact or not part.bounds:
        return Ends(unpriced(mapping, part, machine))
    whole = _without_bounds(part)
    program, leaves = unpriced(mapping, whole, machine), {node.einsum: node for node in mapping.computes()}
    return Ends(program, {op.id: share_left(part, machine, program, op, leaves) for op in program.ops})


def _without_bounds(part: Cascade) -> Cascade:
    """A cascade without its bounds, which is made once."""
    found: Cascade | None = vars(part).get("without_bounds")
    if found is None:
        found = vars(part)["without_bounds"] = msgspec.structs.replace(part, bounds=())
        vars(found)["overwritten"] = part.overwritten
    return found


class Known:
    """The list of runs that are alike, and the names of the one that it was made for."""

    def __init__(self, part: Cascade, machine: Machine, names: tuple[str, ...]) -> None:
        self.names = names
        leaves = UnitChoices(part, machine)
        found = in_parts(leaves, with_straight(leaves, nests(part, machine, part.einsums)))
        self.nests = [ListedNest(part, leaves, nest) for nest in found]
        self._tables = Remembered[LeastCosts](1000)
        self._fitting = Remembered[Bools](2000)
        self._held = Remembered[dict[str, Floats]](1000)
        self._leaves = leaves

    @cached_property
    def _least(self) -> ListLeast:
        return least_of(self._leaves, [nest.nest for nest in self.nests], self._room)

    @cached_property
    def _room(self) -> ListRoom:
        return room_of_list(self._leaves, [nest.nest for nest in self.nests])

    @cached_property
    def _smaller_room(self) -> ListRoom:
        return room_of_list(self._leaves, [nest.nest for nest in self.smaller])

    def room(self, stays: Stays, *, buffers: int = 1, smaller: bool = False) -> dict[str, Floats]:
        """Bytes [N] that the points of the list, or the `smaller` ones, take at least in each memory beside
        what stays, with so many buffers.
        """
        of = self._smaller_room if smaller else self._room
        return self._held.get((smaller, buffers, *stays), lambda: of.held(stays, buffers))

    def fitting(
        self, stays: Stays, rooms: tuple[tuple[str, float], ...], *, buffers: int = 1, smaller: bool = False
    ) -> Bools:
        """Which points of the list, or of the `smaller` ones, may fit in so much room beside what stays."""

        def found() -> Bools:
            held = self.room(stays, buffers=buffers, smaller=smaller)
            fits = np.ones(len(self.smaller if smaller else self.nests), np.bool_)
            for name, room in rooms:
                fits &= held.get(name, 0) <= room
            return fits

        return self._fitting.get((rooms, buffers, smaller, *stays), found)

    @cached_property
    def smaller(self) -> list[ListedNest]:
        """Points for memories in which none of the list fits, the largest first: smaller than all of it."""
        part = self._leaves.cascade
        every = [nest.nest.extents(part) for nest in self.nests]
        least = {rank: min(one[rank] for one in every) for rank in part.sizes}
        found = [
            nest
            for nest in smaller(part, self._leaves.machine, part.einsums)
            if any(size < least[rank] for rank, size in nest.extents(part).items())
        ]
        found = in_parts(self._leaves, found) if found else []
        return [ListedNest(part, self._leaves, nest) for nest in found]

    def nest(self, at: int) -> ListedNest:
        """A point of the list or, after those, of the smaller ones."""
        return self.nests[at] if at < len(self.nests) else self.smaller[at - len(self.nests)]

    def table(self, stays: Stays) -> LeastCosts:
        """The least costs where some tensors stay."""
        made = partial(LeastCosts, self._leaves.cascade, self._leaves.machine, self._least, stays)
        return self._tables.get(tuple(stays), made)


_LISTS: Final = Remembered[Known](20_000, lambda one: len(one.nests))


class Listing(NamedTuple):
    """By what a list is known: the text of what is alike, with the machine's structure; and the machine and
    the cascade's own names, in the order of the list's.
    """

    key: tuple[str, bytes]
    machine: Machine
    names: tuple[str, ...]


def listing(part: Cascade, machine: Machine, structure: bytes) -> Listing:
    """How the list of all Einsums of a cascade together is known. What vector units do is one list for all
    arrays.
    """
    text, names = _text(part)
    dense = all(not tensor.sparsity.patterns for tensor in part.tensors)
    if dense and machine.vector_units and not any(one.sums_products for one in part.einsums):
        vectors = on_vectors(machine)
        if all(able(part, vectors, one) for one in part.einsums):
            machine, structure = vectors, msgspec.msgpack.encode(vectors)
    return Listing((text, structure), machine, names)


def known_list(part: Cascade, of: Listing) -> Known:
    """The list of all Einsums of a cascade together, which is made once."""
    return _LISTS.get(of.key, lambda: Known(part, of.machine, of.names))


def _text(part: Cascade) -> tuple[str, tuple[str, ...]]:
    """A cascade's text with its names by their order in it, the same for cascades that are alike, and those
    names.
    """
    tensors = dict.fromkeys(touched(part.einsums))
    lines = [_einsum_words(einsum, tuple(map(part.rank, einsum.ranks))) for einsum in part.einsums]
    lines += [_words(bound_text(bound, part.sizes)) for bound in part.bounds]
    lines += [_words(tensor_text(part.tensor(name))) for name in tensors]
    names: dict[str, str] = {}
    for name in (word for line in lines for word in line[1::2]):
        if name in names:
            continue
        if name in part.sizes:
            names[name] = f"r{len(names)}_{part.size(name)}"
        elif name in tensors:
            names[name] = f"t{len(names)}"
    text = "\n".join("".join([names.get(word, word) for word in line]) for line in lines)
    read_on = ",".join(str(part.is_output(einsum.name)) for einsum in part.einsums)
    states = sorted(
        (names[name], *(names[r] for r in ranks)) for name, ranks in part.overwritten.items() if name in names
    )
    return f"{text}\n{read_on}\n{states}", tuple(names)


@lru_cache(maxsize=20_000)
def _einsum_words(einsum: Einsum, ranks: tuple[Rank, ...]) -> list[str]:
    """An Einsum's text, in whose odd places the names stand."""
    return _words(einsum_text(einsum, {rank.name: rank.size for rank in ranks}))


@lru_cache(maxsize=20_000)
def _words(text: str) -> list[str]:
    return re.split(r"([^\W\d]\w*)", text)
