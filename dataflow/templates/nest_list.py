"""The fixed list of nests of a block to choose from: it never looks at a capacity, a bandwidth or a clock."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec
import numpy as np

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.feed import stationary
from einsim.dataflow.footprint import apart_of
from einsim.dataflow.holds import straight
from einsim.dataflow.spatial import able, place, roles
from einsim.dataflow.templates.blocks import Block, stepped
from einsim.dataflow.templates.nest import LoopNest, Loops, UnitChoices, moving, on_vectors, still_flows
from einsim.dataflow.templates.sizes import extent_of, flat_tile, group_along, steps
from einsim.dataflow.templates.still_states import states_in_registers
from einsim.workloads.cascade import Cascade, Einsum

#: Cycles that parts of a tile may cost over the whole tile at once.
SLACK = 1.05

#: Parts of an operand's tile at most.
MOST_PARTS = 4

#: Points of an Einsum in one tile of rows, at most, where none contracts: more than any unit has lanes for.
MOST_POINTS = 2**17

#: Tiles along a rank of a bound at most, where the memories have room.
MOST_MASKED = 2048


def nests(cascade: Cascade, machine: Machine, einsums: Block) -> tuple[LoopNest, ...]:
    """The list: of a contraction by tiles of both operands, of others by rows from one to all of them."""
    steps_of = stepped(cascade, einsums)
    if len(einsums) == 1 and not steps_of and einsums[0].contracts:
        part = roles(cascade, einsums[0])
        if part.m or part.n:
            return tuple(_contraction(cascade, machine, einsums[0]))
    found = tuple(_rows(cascade, machine, einsums, steps_of))
    if not steps_of and any(einsum.contracts for einsum in einsums):
        found = _distinct(cascade, (*found, *_blocks(cascade, machine, einsums)))
        return (*found, *_still(machine, found))
    found = (*found, *_in_registers(cascade, machine, einsums, steps_of))
    if not steps_of or not all(able(cascade, on_vectors(machine), einsum) for einsum in einsums):
        return found
    return (*found, *(msgspec.structs.replace(nest, on_vectors=True) for nest in found if not nest.placed))


def _in_registers(
    cascade: Cascade, machine: Machine, einsums: Block, steps_of: tuple[str, ...]
) -> Iterator[LoopNest]:
    """Rows of a block whose states stay in the registers of an array, steps and all."""
    for placed, registers in states_in_registers(cascade, machine, einsums, steps_of):
        for nest in _rows(cascade, machine, einsums, steps_of, {node.einsum for node in placed}):
            yield msgspec.structs.replace(nest, placed=placed, registers=registers)


def _distinct(cascade: Cascade, found: Iterable[LoopNest]) -> tuple[LoopNest, ...]:
    """The first of those with the same loops, a loop over a single tile being none."""
    by_loops = dict[Loops, LoopNest]()
    for nest in found:
        by_loops.setdefault(tuple(one for one in nest.loops if one[1] < cascade.size(one[0])), nest)
    return tuple(by_loops.values())


def _still(machine: Machine, found: Iterable[LoopNest]) -> Iterator[LoopNest]:
    """The same nests with operands that stay in an array, where some unit may have them there."""
    if any(map(still_flows, machine.units)):
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


def _rows(
    cascade: Cascade, machine: Machine, einsums: Block, stepped: tuple[str, ...],
    planar: Collection[str] = (),
) -> Iterator[LoopNest]:  # fmt: skip
    """Rows double from one, or one group of what is pruned, to all, innermost rank first; all the rest is
    whole. Of a lone Einsum what is reduced doubles from one point on, too. Ranks of which reads of one tensor
    move apart are no rows: what its tiles share would depend on their place. Of the Einsums `planar`, which
    lie on both dimensions of an array, a tile may have any points; around a state, which cores with memories
    of their own walk by rows, all cores have work.
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
    apart = stepped and any(memory.copies > 1 for memory in machine.memories)
    cores = max(unit.dims.get("cores", 1) for unit in machine.units) if apart else 1
    for rank in reversed(rows):
        while tiles[rank] < cascade.size(rank):
            busy = math.prod(tiles.values()) >= cores
            tiles[rank] = min(2 * tiles[rank], cascade.size(rank))
            extents = {**cascade.sizes, **tiles, **dict(walked)}
            counted = (einsum for einsum in einsums if einsum.name not in planar)
            most = max((math.prod(extents[rank] for rank in one.ranks) for one in counted), default=0)
            few = stepped or not any(einsum.contracts for einsum in einsums)
            if most > MOST_POINTS and few and busy:
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
    on = _unit_of(cascade, machine, einsum)
    every = _streams(cascade, on, einsum, cut=True)
    found = _distinct(cascade, (LoopNest(einsums=(einsum,), loops=loops) for loops in every))
    yield from found
    yield from _still(machine, found)
    if on[0].by_role:  # weights may have room for one array's only
        part, dims = roles(cascade, einsum), [size for name, size in on[0].dims.items() if name != "cores"]
        parts = (*flat_tile(cascade, part.n, dims[-1]).items(), *flat_tile(cascade, part.k, dims[0]).items())
        for nest in found:
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
    (einsum,) = nests[0].einsums
    tiles, found = [one.extents(leaves.cascade) for one in nests], np.zeros(len(nests))
    units = [leaves.machine.units[0]] * len(nests)
    for node, rows in leaves.alike(nests)[einsum.name]:
        extents = {rank: np.array([tiles[at][rank] for at in rows], np.float64) for rank in einsum.ranks}
        found[rows] = leaves.times(node.unit, einsum.name).of(node, extents, len(rows))
        for at in rows.tolist():
            units[at] = leaves.machine.unit(node.unit)
    return list(zip(units, found.tolist(), strict=True))


def with_straight(leaves: UnitChoices, nests: Sequence[LoopNest]) -> list[LoopNest]:
    """Nests of a list; those in which operands stay in an array only where some come straight from DRAM."""
    coming = _straight(leaves, [nest for nest in nests if nest.still])
    every = ((nest, next(coming) if nest.still else ()) for nest in nests)
    return [msgspec.structs.replace(nest, straight=some) for nest, some in every if some or not nest.still]


def _straight(leaves: UnitChoices, nests: Sequence[LoopNest]) -> Iterator[tuple[str, ...]]:
    """Inputs of each nest that may come to an array straight from DRAM, each of which passes as often as if
    it were kept: no loop stands inside those that move it, and no other Einsum reads it.
    """
    cascade, found = leaves.cascade, [list[str]() for _ in nests]
    for name, nodes in leaves.alike(nests).items() if nests else ():
        for node, rows in nodes:
            still = stationary(node, cascade.einsum(name))
            if still is None or not straight(cascade, leaves.machine, node, still.tensor):
                continue
            if cascade.producer(still.tensor) is not None or len(cascade.consumers(still.tensor)) > 1:
                continue
            moved = moving(cascade, nests[0].einsums, still.tensor)
            for at in rows.tolist():
                inner = [rank for rank, tile in nests[at].loops if tile < cascade.size(rank)]
                if not inner or inner[-1] in moved:
                    found[at].append(still.tensor)
    yield from map(tuple, found)
