"""A loop nest over a few Einsums, from structure and sizes alone, and the fixed list of nests to choose from.

A nest is a chain of loops over one pipeline. Every tensor is kept just inside the innermost loop that moves
it, a partial result outside the loops that reduce it and a state outside the loop over its steps, in all the
memories on the way to its units. A list never looks at a capacity, a bandwidth or a clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec
import numpy as np

from einsim.accel.machine import DATAFLOWS, Machine, Unit
from einsim.dataflow.feed import stationary
from einsim.dataflow.footprint import apart_of, relevant_ranks
from einsim.dataflow.holds import homes_to, levels, role_of, straight
from einsim.dataflow.mapping import Compute, Node, Pipeline, chain, keep
from einsim.dataflow.spatial import able, place, places, roles
from einsim.dataflow.templates.blocks import Block, stepped, touched
from einsim.dataflow.templates.sizes import extent_of, flat_tile, group_along, steps
from einsim.dataflow.tile_times import TileTimes
from einsim.specs.remembered import Remembered
from einsim.workloads.cascade import Cascade, Einsum

#: Cycles that parts of a tile may cost over the whole tile at once.
SLACK = 1.05

#: Parts of an operand's tile at most.
MOST_PARTS = 4

#: Points of an Einsum in one tile of rows, at most, where none contracts: more than any unit has lanes for.
MOST_POINTS = 2**17

#: Tiles along a rank of a bound at most, where the memories have room.
MOST_MASKED = 2048

Loops = tuple[tuple[str, int], ...]


class LoopNest(msgspec.Struct, frozen=True, kw_only=True):
    """Einsums under `loops`, outermost first, with `parts` of a tile loaded, computed and stored at once.

    `on_vectors`: contractions run on a vector unit too. `streamed`: weights come part by part into the memory
    that the unit reads them from. `still`: of what contracts operands stay in an array, not results.
    `straight`: inputs that stay there and come from DRAM.
    """

    einsums: tuple[Einsum, ...]
    loops: Loops
    parts: Loops = ()
    buffers: int = 2
    on_vectors: bool = False
    streamed: bool = False
    still: bool = False
    straight: tuple[str, ...] = ()

    def extents(self, cascade: Cascade) -> dict[str, int]:
        """Points of each rank that the leaves see at once."""
        return {**cascade.sizes, **dict(self.loops), **dict(self.parts)}


def on_vectors(machine: Machine) -> Machine:
    """The machine with no other units than vector units, if it has some."""
    return msgspec.structs.replace(machine, units=machine.vector_units or machine.units)


def _still_flows(unit: Unit) -> tuple[str, ...]:
    """Dataflows of an array with registers in which an operand stays there that may come from DRAM."""
    may = unit.kind != "vector" and unit.registers is not None and not unit.by_role
    return tuple(one for one in unit.dataflows or DATAFLOWS if may and one != "output-stationary")


def with_operands_still(machine: Machine) -> Machine:
    """The machine with those dataflows alone where a unit has some."""
    units = (
        msgspec.structs.replace(unit, dataflows=_still_flows(unit) or unit.dataflows)
        for unit in machine.units
    )
    return msgspec.structs.replace(machine, units=tuple(units))


_PLACED: Final = Remembered[list[Compute]](200_000, len)


class UnitChoices:
    """Units and layouts of the Einsums of nests; what was found for a nest is remembered."""

    def __init__(self, cascade: Cascade, machine: Machine) -> None:
        self.cascade, self.machine, self._key = cascade, machine, msgspec.msgpack.encode(machine)
        self._found: dict[tuple[object, ...], dict[str, Compute]] = {}

    def of(self, nest: LoopNest) -> dict[str, Compute]:
        """The unit and layout of each Einsum of a nest."""
        return self.all((nest,))[0]

    def all(self, nests: Sequence[LoopNest]) -> list[dict[str, Compute]]:
        """The unit and layout of each Einsum of nests with loops over the same ranks. Where a core has a
        memory of its own, several Einsums lie along the cores alike: by the loops' ranks.
        """
        names = tuple(einsum.name for einsum in nests[0].einsums) if nests else ()
        keys = [(names, one.loops, one.parts, one.on_vectors, one.still) for one in nests]
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
        ways = [homes_to(cascade, machine, node, tensor) for node in users]
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


def with_straight(leaves: UnitChoices, nests: Sequence[LoopNest]) -> list[LoopNest]:
    """Nests of a list; those in which operands stay in an array only where some come straight from DRAM."""
    leaves.all(nests)
    coming = [come_straight(leaves, nest) if nest.still else () for nest in nests]
    every = zip(nests, coming, strict=True)
    return [msgspec.structs.replace(nest, straight=some) for nest, some in every if some or not nest.still]


def come_straight(leaves: UnitChoices, nest: LoopNest) -> tuple[str, ...]:
    """Inputs that may come to an array straight from DRAM, each of which passes as often as if it were kept:
    no loop stands inside those that move it, and no other Einsum reads it.
    """
    cascade, machine, found = leaves.cascade, leaves.machine, list[str]()
    loops = [(rank, tile) for rank, tile in nest.loops if tile < cascade.size(rank)]
    for einsum, node in zip(nest.einsums, leaves.of(nest).values(), strict=True):
        still = stationary(node, einsum)
        if still is None or not straight(cascade, machine, node, still.tensor):
            continue
        depth = depth_of(cascade, nest.einsums, still.tensor, loops)
        alone = cascade.producer(still.tensor) is None and len(cascade.consumers(still.tensor)) == 1
        if depth == len(loops) and alone:
            found.append(still.tensor)
    return tuple(found)


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


def nests(cascade: Cascade, machine: Machine, einsums: Block) -> tuple[LoopNest, ...]:
    """The list: of a contraction by tiles of both operands, of others by rows from one to all of them."""
    steps_of = stepped(cascade, einsums)
    if len(einsums) == 1 and not steps_of and einsums[0].contracts:
        part = roles(cascade, einsums[0])
        if part.m or part.n:
            return tuple(_contraction(cascade, machine, einsums[0]))
    found = tuple(_rows(cascade, machine, einsums, steps_of))
    if not steps_of and any(einsum.contracts for einsum in einsums):
        found = (*found, *_blocks(cascade, machine, einsums))
        return (*found, *_still(machine, found))
    if not steps_of or not all(able(cascade, on_vectors(machine), einsum) for einsum in einsums):
        return found
    return (*found, *(msgspec.structs.replace(nest, on_vectors=True) for nest in found))


def _still(machine: Machine, found: Iterable[LoopNest]) -> Iterator[LoopNest]:
    """The same nests with operands that stay in an array, where some unit may have them there."""
    if any(map(_still_flows, machine.units)):
        yield from (msgspec.structs.replace(nest, still=True) for nest in found)


def smaller(cascade: Cascade, machine: Machine, einsums: Block) -> Iterator[LoopNest]:
    """Nests of smaller tiles, for memories in which none of the list fits, the largest first."""
    steps_of = stepped(cascade, einsums)
    part = roles(cascade, einsums[0])
    if len(einsums) > 1 or steps_of or not (part.m or part.n):
        rows = [rank for rank in rows_of(einsums) if rank not in steps_of]
        tiles = {rank: cascade.size(rank) for rank in rows}
        for rank in rows:
            while tiles[rank] > (least := min(group_along(cascade, machine, rank), cascade.size(rank))):
                tiles[rank] = max(least, tiles[rank] // 2)
                yield LoopNest(einsums=einsums, loops=(*tiles.items(), *((step, 1) for step in steps_of)))
        return
    dims = [size for name, size in machine.units[0].dims.items() if name != "cores"]
    size = [min(dims[0], extent_of(cascade, part.m)), min(dims[-1], extent_of(cascade, part.n)), 64]
    while max(size) > 1:
        at = size.index(max(size))
        size[at] //= 2
        loops = dict.fromkeys(part.batch, 1)
        for ranks, tile in zip((part.m, part.n, part.k), size, strict=True):
            loops |= flat_tile(cascade, ranks, tile)
        if all(tile % group_along(cascade, machine, r) == 0 or tile == 1 for r, tile in loops.items()):
            yield LoopNest(einsums=einsums, loops=tuple(loops.items()))


def rows_of(einsums: tuple[Einsum, ...]) -> tuple[str, ...]:
    """Ranks of all the outputs, along which nothing carries state."""
    first = einsums[0].output.ranks
    state = {rank for einsum in einsums for rank in einsum.iterative}
    return tuple(rank for rank in first if rank not in state and all(rank in e.output.ranks for e in einsums))


def _rows(cascade: Cascade, machine: Machine, einsums: Block, stepped: tuple[str, ...]) -> Iterator[LoopNest]:
    """Rows double from one, or one group of what is pruned, to all, innermost rank first; all the rest is
    whole. Of a lone Einsum what is reduced doubles from one point on, too. Ranks of which reads of one tensor
    move apart are no rows: what its tiles share would depend on their place.
    """
    still = {*stepped, *(rank for einsum in einsums for rank in apart_of(einsum))}
    rows = tuple(rank for rank in rows_of(einsums) if rank not in still)
    walked = tuple((rank, 1) for rank in stepped)
    tiles = {rank: min(group_along(cascade, machine, rank), cascade.size(rank)) for rank in rows}
    for rank in rows:
        tied = any(rank in side.ranks for bound in cascade.bounds for side in (bound.left, bound.right))
        while tied and tiles[rank] * MOST_MASKED < cascade.size(rank):  # each of them is cut in its own way
            tiles[rank] *= 2
    if len(einsums) == 1 and (reduced := tuple(r for r in einsums[0].reduced if r not in stepped)):
        size = group_along(cascade, machine, reduced[-1])
        while size < extent_of(cascade, reduced):
            inner = tuple(flat_tile(cascade, reduced, size).items())
            yield LoopNest(einsums=einsums, loops=(*tiles.items(), *walked, *inner))
            size *= 2
    yield LoopNest(einsums=einsums, loops=(*tiles.items(), *walked))
    for rank in reversed(rows):
        while tiles[rank] < cascade.size(rank):
            tiles[rank] = min(2 * tiles[rank], cascade.size(rank))
            extents = {**cascade.sizes, **tiles, **dict(walked)}
            most = max(math.prod(extents[rank] for rank in einsum.ranks) for einsum in einsums)
            if most > MOST_POINTS and (stepped or not any(einsum.contracts for einsum in einsums)):
                return
            yield LoopNest(einsums=einsums, loops=(*tiles.items(), *walked))


def _blocks(cascade: Cascade, machine: Machine, einsums: Block) -> Iterator[LoopNest]:
    """Tiles of both operands of products whose results all others use point by point, as SwiGLU's gate and up
    and what is made of them.
    """
    first, rows = einsums[0], {*rows_of(einsums)}.difference(*map(apart_of, einsums))
    if not first.contracts or any({*einsum.output.ranks} != rows for einsum in einsums):
        return
    if any(einsum.reduced and not einsum.contracts for einsum in einsums):
        return
    for loops in _streams(cascade, _unit_of(cascade, machine, first), first):
        yield LoopNest(einsums=einsums, loops=loops)


def _unit_of(cascade: Cascade, machine: Machine, einsum: Einsum) -> tuple[Unit, dict[str, int]]:
    """The unit of a contraction, and how much of each batch rank it does at once."""
    batch = roles(cascade, einsum).batch
    sizes = {rank: cascade.size(rank) for rank in einsum.ranks}
    node = place(cascade, machine, einsum, {**sizes, **dict.fromkeys(batch, 1)})
    unit, at_once = machine.unit(node.unit), set(node.spatial.get("cores", ()))
    return unit, {r: min(unit.dims["cores"], sizes[r]) if r in at_once else 1 for r in batch}


def _streams(
    cascade: Cascade, on: tuple[Unit, dict[str, int]], einsum: Einsum, *, cut: bool = False
) -> Iterator[Loops]:
    """Loops in which either operand's tile stays while the other streams by; or, where what is reduced is
    `cut`, the result's does while both stream.
    """
    part, (unit, batch) = roles(cascade, einsum), on
    dims = [size for name, size in unit.dims.items() if name != "cores"]
    m, n, k = (extent_of(cascade, ranks) for ranks in (part.m, part.n, part.k))
    long_m, long_n = steps(dims[0], m), steps(dims[-1], n)
    tiles = [(tm, tn, k, "mn") for tm in long_m for tn in long_n[:5:2]]
    tiles += [(tm, tn, k, "nm") for tn in long_n for tm in long_m[:5:2]]
    if cut:
        long_k = steps(max(dims[0], 64), k)[:3:2]
        tiles += [(tm, tn, tk, "mn") for tm in long_m for tn in long_n for tk in long_k]
    for tm, tn, tk, order in tiles:
        outer = {"m": flat_tile(cascade, part.m, tm), "n": flat_tile(cascade, part.n, tn)}
        inner = flat_tile(cascade, part.k, tk) if cut else {}
        yield (*batch.items(), *outer[order[0]].items(), *outer[order[1]].items(), *inner.items())


def _contraction(cascade: Cascade, machine: Machine, einsum: Einsum) -> Iterator[LoopNest]:
    """Tiles of a contraction by itself."""
    on, found = _unit_of(cascade, machine, einsum), dict[Loops, LoopNest]()
    for loops in _streams(cascade, on, einsum, cut=True):
        moving = tuple((rank, tile) for rank, tile in loops if tile < cascade.size(rank))
        found.setdefault(moving, LoopNest(einsums=(einsum,), loops=loops))
    yield from found.values()
    yield from _still(machine, found.values())
    if on[0].by_role:  # weights may have room for one array's only
        part, dims = roles(cascade, einsum), [size for name, size in on[0].dims.items() if name != "cores"]
        parts = (*flat_tile(cascade, part.n, dims[-1]).items(), *flat_tile(cascade, part.k, dims[0]).items())
        for nest in found.values():
            if all(dict(nest.loops)[rank] == cascade.size(rank) for rank in part.k):
                yield msgspec.structs.replace(nest, parts=parts, streamed=True)


def in_parts(leaves: UnitChoices, nests: Sequence[LoopNest]) -> list[LoopNest]:
    """Nests of a list that load, compute and store a quarter or half of a tile at once, so that a large tile
    need not be there whole before work begins, where that costs no cycles.
    """
    cascade, found, einsum = leaves.cascade, list(nests), nests[0].einsums[0]
    part = roles(cascade, einsum)
    if len(nests[0].einsums) > 1 or not (part.m or part.n):
        return found
    waiting = [at for at, nest in enumerate(nests) if not nest.streamed and not nest.straight]
    whole = dict(zip(waiting, cycles_of(leaves, [nests[at] for at in waiting]), strict=True))
    for shares in (MOST_PARTS, 2):
        made, times = [], []
        for at in waiting:
            extents, parts = nests[at].extents(cascade), dict[str, int]()
            dims = whole[at][0].dims
            width = max(size for name, size in dims.items() if name != "cores")
            for ranks in (part.m, part.n):
                tile = math.prod(extents[rank] for rank in ranks)
                size = min(tile, width * max(1, -(-tile // (shares * width))))
                for rank in reversed(ranks):
                    parts[rank] = min(extents[rank], max(1, size))
                    size //= parts[rank]
            times.append(math.prod(-(-extents[rank] // size) for rank, size in parts.items()))
            made.append(
                msgspec.structs.replace(nests[at], parts=tuple((r, parts[r]) for r in (*part.m, *part.n)))
            )
        for at, nest, count, (unit, each) in zip(waiting, made, times, cycles_of(leaves, made), strict=True):
            if unit is whole[at][0] and count * each <= SLACK * whole[at][1]:
                found[at] = nest
        waiting = [at for at in waiting if found[at] is nests[at]]
    return found


def cycles_of(leaves: UnitChoices, nests: Sequence[LoopNest]) -> list[tuple[Unit, float]]:
    """The unit of each of a list's nests of one Einsum, and cycles of one tile there."""
    if not nests:
        return []
    cascade, einsum = leaves.cascade, nests[0].einsums[0]
    nodes, tiles = [one[einsum.name] for one in leaves.all(nests)], [one.extents(cascade) for one in nests]
    units, found = [leaves.machine.unit(node.unit) for node in nodes], np.zeros(len(nests))
    for node in {id(node): node for node in nodes}.values():
        rows = np.flatnonzero([one is node for one in nodes])
        extents = {rank: np.array([tiles[at][rank] for at in rows], np.float64) for rank in einsum.ranks}
        found[rows] = TileTimes(cascade, units[rows[0]], einsum).of(node, extents, len(rows))
    return list(zip(units, found.tolist(), strict=True))
