"""A loop nest over a few Einsums, from structure and sizes alone.

A nest is a chain of loops over one pipeline. Every tensor is kept just inside the innermost loop that moves
it, a partial result outside the loops that reduce it and a state outside the loop over its steps, in all the
memories on the way to its units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Final

import msgspec
import numpy as np

from einsim.accel.machine import DATAFLOWS, Machine, Unit
from einsim.dataflow.footprint import relevant_ranks
from einsim.dataflow.holds import homes_to, levels, role_of
from einsim.dataflow.mapping import Compute, Node, Pipeline, chain, keep
from einsim.dataflow.spatial import places
from einsim.dataflow.templates.blocks import touched
from einsim.dataflow.tile_times import TileTimes
from einsim.specs.arrays import Ints
from einsim.specs.remembered import Remembered
from einsim.workloads.cascade import Cascade, Einsum

Loops = tuple[tuple[str, int], ...]


class LoopNest(msgspec.Struct, frozen=True, kw_only=True):
    """Einsums under `loops`, outermost first, with `parts` of a tile loaded, computed and stored at once.

    `on_vectors`: contractions run on a vector unit too. `streamed`: weights come part by part into the memory
    that the unit reads them from. `still`: of what contracts operands stay in an array, not results.
    `straight`: inputs that stay there and come from DRAM. `placed`: leaves that are not chosen by their
    cycles, since their tensors `registers` stay in those of their array.
    """

    einsums: tuple[Einsum, ...]
    loops: Loops
    parts: Loops = ()
    buffers: int = 2
    on_vectors: bool = False
    streamed: bool = False
    still: bool = False
    straight: tuple[str, ...] = ()
    placed: tuple[Compute, ...] = ()
    registers: tuple[str, ...] = ()

    def extents(self, cascade: Cascade) -> dict[str, int]:
        """Points of each rank that the leaves see at once."""
        return {**cascade.sizes, **dict(self.loops), **dict(self.parts)}


def on_vectors(machine: Machine) -> Machine:
    """The machine with no other units than vector units with work of their own, if it has some."""
    alone = tuple(unit for unit in machine.vector_units if not unit.follows)
    return msgspec.structs.replace(machine, units=alone or machine.units)


def still_flows(unit: Unit) -> tuple[str, ...]:
    """Dataflows of an array with registers in which an operand stays there that may come from DRAM."""
    may = unit.kind != "vector" and unit.registers is not None and not unit.by_role
    return tuple(
        one for one in unit.dataflows or DATAFLOWS if may and one in ("weight-stationary", "input-stationary")
    )


def with_operands_still(machine: Machine) -> Machine:
    """The machine with those dataflows alone where a unit has some."""
    units = (
        msgspec.structs.replace(unit, dataflows=still_flows(unit) or unit.dataflows) for unit in machine.units
    )
    return msgspec.structs.replace(machine, units=tuple(units))


_PLACED: Final = Remembered[list[Compute]](200_000, len)


class UnitChoices:
    """Units and layouts of the Einsums of nests; what was found for a nest is remembered."""

    def __init__(self, cascade: Cascade, machine: Machine) -> None:
        self.cascade, self.machine, self._key = cascade, machine, msgspec.msgpack.encode(machine)
        self._found: dict[tuple[object, ...], dict[str, Compute]] = {}
        self._homes: dict[tuple[int, str], tuple[Compute, list[str]]] = {}
        self.times = cache(self._times)

    def _times(self, unit: str, einsum: str) -> TileTimes:
        return TileTimes(self.cascade, self.machine.unit(unit), self.cascade.einsum(einsum))

    def homes(self, node: Compute, tensor: str) -> list[str]:
        """The `homes_to` a leaf's operand, found once."""
        key = id(node), tensor
        if key not in self._homes:
            self._homes[key] = node, homes_to(self.cascade, self.machine, node, tensor)
        return self._homes[key][1]

    def alike(self, nests: Sequence[LoopNest]) -> dict[str, list[tuple[Compute, Ints]]]:
        """The units and layouts of each Einsum of nests, and the places of those that have it."""
        found: dict[str, dict[int, tuple[Compute, list[int]]]] = {one.name: {} for one in nests[0].einsums}
        for at, chosen in enumerate(self.all(nests)):
            for name, node in chosen.items():
                found[name].setdefault(id(node), (node, []))[1].append(at)
        return {
            name: [(node, np.array(rows)) for node, rows in nodes.values()] for name, nodes in found.items()
        }

    def of(self, nest: LoopNest) -> dict[str, Compute]:
        """The unit and layout of each Einsum of a nest."""
        return self.all((nest,))[0]

    def all(self, nests: Sequence[LoopNest]) -> list[dict[str, Compute]]:
        """The unit and layout of each Einsum of nests with loops over the same ranks. Where a core has a
        memory of its own, several Einsums lie along the cores alike: by the loops' ranks.
        """
        names = tuple(einsum.name for einsum in nests[0].einsums) if nests else ()
        keys = [(names, one.loops, one.parts, one.on_vectors, one.still, _laid(one)) for one in nests]
        lacking = {at: one for at, one in zip(keys, nests, strict=True) if at not in self._found}
        for kind in {(nest.on_vectors, nest.still) for nest in lacking.values()}:
            new = {at: one for at, one in lacking.items() if (one.on_vectors, one.still) == kind}
            vectors, still = kind
            machine, einsums = on_vectors(self.machine) if vectors else self.machine, nests[0].einsums
            machine = with_operands_still(machine) if still else machine
            apart = any(memory.copies > 1 for memory in machine.memories) and len(einsums) > 1
            shared = tuple(
                rank
                for rank, _ in nests[0].loops
                if all(rank in einsum.output.ranks and rank not in einsum.iterative for einsum in einsums)
            )
            tiles = [one.extents(self.cascade) for one in new.values()]
            ranks = dict.fromkeys(rank for einsum in einsums for rank in einsum.ranks)
            extents = {rank: np.array([one[rank] for one in tiles], np.float64) for rank in ranks}
            cores = shared if apart else None
            found: dict[tuple[object, ...], dict[str, Compute]] = {at: {} for at in new}
            for einsum in einsums if new else ():
                names, states = touched((einsum,)), self.cascade.overwritten
                operands = tuple((self.cascade.tensor(name), states.get(name)) for name in names)
                mine = {rank: extents[rank] for rank in einsum.ranks} or {"": np.ones(len(new))}
                sizes = tuple(some.tobytes() for some in mine.values())
                whole = tuple(map(self.cascade.size, einsum.ranks))
                key = einsum, operands, self._key, kind, cores, sizes, whole
                placed = partial(places, self.cascade, machine, einsum, mine, cores, spread=True)
                nodes = _PLACED.get(key, placed)
                for at, node in zip(new, nodes, strict=True):
                    found[at][einsum.name] = node
            for at, one in new.items():
                found[at] |= {node.einsum: node for node in one.placed}
            self._found |= found  # all of a nest's Einsums, or none where some unit lacks an op
        return [self._found[key] for key in keys]


def build(leaves_of: UnitChoices, nest: LoopNest, resident: Mapping[str, str] = {}) -> Node:
    """The tree of a nest. `resident` tensors are kept further out already, each in the memory named."""
    cascade, machine, leaves = leaves_of.cascade, leaves_of.machine, leaves_of.of(nest)
    loops = [(rank, tile) for rank, tile in nest.loops if tile < cascade.size(rank)]
    kept: dict[tuple[int, str], list[str]] = {}
    own: dict[tuple[str, str], list[str]] = {}
    for tensor in touched(nest.einsums):
        if tensor in nest.straight:
            continue
        users = [leaves[e.name] for e in nest.einsums if tensor in touched((e,))]
        depth = depth_of(cascade, nest.einsums, tensor, loops)
        ways = [homes_of(leaves_of, nest, node, tensor) for node in users]
        shared = [name for name in ways[0] if all(name in way for way in ways)]
        if nest.streamed and role_of(cascade, machine, users[0], tensor) == "weights":
            shared = shared[:-1]
        further = levels(machine, resident[tensor]) if tensor in resident else ()
        for memory in shared:
            if memory not in further:
                kept.setdefault((depth, memory), []).append(tensor)
        for node, way in zip(users, ways, strict=True):
            for memory in way:
                if memory not in shared:
                    own.setdefault((node.einsum, memory), []).append(tensor)
    near = {memory.name: len(levels(machine, memory.name)) for memory in machine.memories}
    near |= {unit.name: len(near) for unit in machine.units}

    def keeps(depth: int) -> list[Node | None]:
        found = sorted((name for at, name in kept if at == depth), key=near.__getitem__)
        return [keep(tuple(kept[depth, name]), name, buffers=nest.buffers) for name in found]

    nodes = []
    for einsum in nest.einsums:
        names = sorted((name for at, name in own if at == einsum.name), key=near.__getitem__)
        here = [keep(tuple(own[einsum.name, name]), name, buffers=nest.buffers) for name in names]
        nodes.append(chain(*here, leaves[einsum.name]))
    body = nodes[0] if len(nodes) == 1 else Pipeline(children=tuple(nodes))
    parts = [
        (rank, tile) for rank, tile in nest.parts if tile < dict(nest.loops).get(rank, cascade.size(rank))
    ]
    inner: list[Node | tuple[str, int] | None] = list(keeps(0))
    for at, loop in enumerate(loops):
        inner += [loop, *keeps(at + 1)]
    return chain(*inner, *parts, body)


def _laid(nest: LoopNest) -> tuple[object, ...]:
    """Where the leaves of a nest are placed."""
    return tuple((node.einsum, node.unit, *node.spatial.items()) for node in nest.placed)


def homes_of(leaves: UnitChoices, nest: LoopNest, node: Compute, tensor: str) -> list[str]:
    """Where a nest keeps a leaf's operand, outermost first: in all memories on its way, or in registers."""
    return [node.unit] if tensor in nest.registers else leaves.homes(node, tensor)


def moving(cascade: Cascade, einsums: tuple[Einsum, ...], tensor: str) -> frozenset[str]:
    """Ranks that move a tensor in some access to it."""
    every = (one for einsum in einsums for one in (einsum.output, *einsum.reads) if one.tensor == tensor)
    return frozenset[str]().union(*(relevant_ranks(cascade, access) for access in every))


def depth_of(cascade: Cascade, einsums: tuple[Einsum, ...], tensor: str, loops: list[tuple[str, int]]) -> int:
    """Loops outside a tensor's keep."""
    moved = moving(cascade, einsums, tensor)
    depth = max((at + 1 for at, (rank, _) in enumerate(loops) if rank in moved), default=0)
    for einsum in einsums:
        if einsum.name == tensor:
            stays = (at for at, (rank, _) in enumerate(loops) if rank in (*einsum.reduced, *einsum.iterative))
            depth = min(depth, *stays, depth)
    return depth
