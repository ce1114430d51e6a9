"""What crosses the border of a home: which tiles of a tensor come one by one, and how much each moves.

Everything that an iteration's readers touch comes once: tile by tile as the first reader walks it, or all at
once where those tiles share elements or readers index the tensor differently. docs/mappings.md states it.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from einsim.accel.machine import Machine
from einsim.dataflow.cores import Turn, copied, cores_of, cores_ranks, dealt, parts_in, read_apart
from einsim.dataflow.draft import DraftOp
from einsim.dataflow.footprint import (
    Use,
    elements,
    relevant_ranks,
    touched,
    union_bits,
)
from einsim.dataflow.footprint import values as values_of
from einsim.dataflow.forms import as_held, compressed, packed, run_coded, sums_held
from einsim.dataflow.layout import Layout, Leaf, points_below
from einsim.dataflow.leaf import partial_sum
from einsim.dataflow.made import touching
from einsim.dataflow.mask import Box, Interval, mask_of
from einsim.dataflow.program import ProgramLoop
from einsim.dataflow.rows import Ints, different, stored_bits
from einsim.dataflow.visit import MOST_VISITED, points, values
from einsim.workloads.cascade import Access, Cascade
from einsim.workloads.sparsity import bytes_at, run_bits


def share_elements(cascade: Cascade, layout: Layout, access: Access, path: Iterable[int], depth: int) -> bool:
    """Whether tiles of the loops on a path from `depth` on share elements of what is accessed, in some
    iteration of the loops above.
    """
    path, below = tuple(path), dict[str, list[int]]()
    whole = {rank: (0, extent) for rank, extent in points_below(layout, cascade, path[:depth]).items()}
    for loop in path[depth:]:
        for rank in layout.loops[loop].ranks:
            below.setdefault(rank, []).append(layout.loops[loop].tile)
    outside = {
        rank for index, size in zip(access.indices, cascade.shape(access.tensor), strict=True)
        for every in [values_of(index, {}, cascade)] if every[0] < 0 or every[-1] >= size
        for rank in index.ranks
    }  # fmt: skip
    beyond = math.prod(cascade.size(r) // below.get(r, [whole[r][1]])[-1] for r in outside) > MOST_VISITED
    above: list[Iterable[Interval]] = []
    for rank in outside if not beyond else ():
        loops = (layout.loops[loop] for loop in path[:depth])
        tiles = [loop.tile for loop in loops if rank in loop.ranks]
        above.append(_parts((0, cascade.size(rank)), tiles, placed=True))
    for places in itertools.product(*above):
        own, one_by_one = {**whole, **dict(zip(outside, places, strict=False))}, 0
        parts = [_parts(own[r], tiles, placed=r in outside and not beyond) for r, tiles in below.items()]
        for chosen in itertools.product(*(part.items() for part in parts)):
            box = {**own, **dict(zip(below, (part for part, _ in chosen), strict=True))}
            one_by_one += math.prod(n for _, n in chosen) * elements(cascade, access, box, beyond=beyond)
        if one_by_one != elements(cascade, access, own, beyond=beyond):
            return True
    return False


def _parts(own: Interval, tiles: Sequence[int], *, placed: bool) -> Counter[Interval]:
    """Innermost tiles of nested loops over a rank, and how many there are of each: all from 0 on, or `placed`
    where they lie.
    """
    if not tiles:
        return Counter((own,))
    (start, extent), tile, found = own, tiles[0], Counter[Interval]()
    below = [((0, tile), extent // tile), ((0, extent % tile), 1)]
    if placed:
        below = [((start + at, min(tile, extent - at)), 1) for at in range(0, extent, tile)]
    for part, times in below:
        for inner, many in _parts(part, tiles[1:], placed=placed).items() if part[1] else ():
            found[inner] += times * many
    return +found


def uses(draft: DraftOp, cascade: Cascade, tile: Box) -> tuple[Use, ...]:
    """Everything that the leaves which a transfer serves touch of its tensor in one tile: of a state that is
    carried from step to step, in the tile's first.
    """
    tile = {**tile, **{rank: (tile[rank][0], 1) for rank in draft.carried}}
    return tuple(
        Use(access, {rank: tile[rank] for rank in einsum.ranks}, touching(cascade, einsum, access) or None)
        for leaf, access in draft.moves
        for einsum in (cascade.einsum(leaf.node.einsum),)
    )


def foreign_ranks(draft: DraftOp, leaf: Leaf, loops: Iterable[ProgramLoop]) -> set[str]:
    """Ranks along a leaf's cores that a transfer walks in loops which the leaf is not in."""
    foreign = {rank for loop in loops if loop.id not in {*leaf.path, *draft.when} for rank in loop.ranks}
    return foreign & set(cores_ranks(leaf.node))


class Moved(NamedTuple):
    """Bytes in the outer memory and in the inner one (of registers, values), and those sent where each core
    gets its own; `rounded`: all went to each core, since who takes what could not be visited. `added` parts
    of results are, to what is read for that, which is `back` bytes of the outer memory.
    """

    outer: int
    inner: int
    sent: int
    rounded: bool
    back: int = 0
    added: int = 0


def moved(
    cascade: Cascade, machine: Machine, layout: Layout, draft: DraftOp, tile: Box, outer: str,
    begun: int | None, partial: int | None,
) -> Moved:  # fmt: skip
    """What a transfer moves. Of so many results that it brings back or adds to earlier tiles have `begun`
    sums, and so many that it stores are `partial`, as wide as they add up; None: all of them.
    """
    assert draft.home is not None
    inner = draft.home.memory
    tensor = wide = cascade.tensor(draft.subject)
    if draft.makes:
        unit = machine.unit(draft.leaf.node.unit)
        wide = partial_sum(cascade, unit, cascade.einsum(draft.subject))
    some = begun if draft.kind == "load" else partial
    unfinished = draft.makes and some is None
    tensor = wide if some is None else tensor
    in_unit = any(unit.name == inner for unit in machine.units)
    apart = read_apart(machine, outer)
    found, times, copies = None, 1, 1
    back = begun if draft.resumes else None
    rounded = False
    if cores_of(machine, inner) > 1 and back is None and not _evenly(cascade, machine, layout, draft):
        found = _pairs(cascade, machine, layout, draft, tile)
        rounded = found is None
    together = uses(draft, cascade, tile)
    if found is not None:
        pairs, times = found
        rows = {False: different([np.zeros_like(pairs[0]), *pairs[1:]]), True: pairs}
        count = len(pairs[0]) * times
    elif back is not None:
        count = back
    else:
        copies = cores_of(machine, inner)
        if copies > 1 and not rounded:
            copies = takers(cascade, machine, draft, tile)
        count = touched(cascade, together) * copies

    def moves(memory: str, *, each: bool) -> int:
        """Bytes in a memory, of all cores or of each."""
        sums = sums_held(machine, memory, wide)
        of = sums if unfinished else as_held(machine, memory, tensor)
        some_partial = partial if draft.kind == "store" and partial else 0
        mine = rows[each] if found is not None else []
        many = len(mine[0]) * times if mine else (count if each else count // copies)
        if run_coded(of) and back is None:
            return bytes_at(run_bits(of, many - some_partial) + some_partial * sums.bits, 1)
        if found is not None:
            bits = stored_bits(of, mine) if packed(of) else many * of.bits
        elif back is not None:
            bits = back * sums.bits
        elif packed(of) and of.sparsity.rank:
            bits = union_bits(cascade, of, together) * (copies if each else 1)
        else:
            bits = run_bits(of, many) if packed(of) else many * of.bits
        return bytes_at(bits + some_partial * (sums.bits - of.bits), 1)

    if draft.kind == "store" and parts_in(cascade, machine, draft.leaf.node, inner):
        once = touched(cascade, together)
        added = count if begun is None else count - once + begun
        finished = 0 if partial is None else once - partial
        there = [as_held(machine, outer, one).bits for one in (wide, cascade.tensor(draft.subject))]
        written = -(-((count - finished) * there[0] + finished * there[1]) // 8)
        own = count if in_unit else -(-count * as_held(machine, inner, wide).bits // 8)
        return Moved(written, own, written, rounded, -(-added * there[0] // 8), added)
    return Moved(
        outer=moves(outer, each=apart),
        inner=count if in_unit else moves(inner, each=True),
        sent=moves(outer, each=True) if machine.noc else 0,
        rounded=rounded,
    )


def _pairs(
    cascade: Cascade, machine: Machine, layout: Layout, draft: DraftOp, tile: Box
) -> tuple[list[Ints], int] | None:
    """Core and place of everything that a tile brings to some core, each once, and how often all of that is
    there; None where there are too many points to visit.
    """
    every = draft.moves
    parted = compressed(machine, cascade.tensor(draft.subject))  # groups, by cores that share out their rank
    found, times = [], 1
    for leaf, access in every:
        einsum = cascade.einsum(leaf.node.einsum)
        mask = touching(cascade, einsum, access)
        tied = {*cores_ranks(leaf.node), *mask.tied}
        while more := {r for index in access.indices if tied & {*index.ranks} for r in index.ranks} - tied:
            tied |= more
        free = [index for index in access.indices if not tied & {*index.ranks}]
        if parted or len(every) > 1:
            free = []
        for index in free:  # the same for each core and every place in the other dimensions
            times *= len(values_of(index, tile, cascade))
        rest = msgspec.structs.replace(access, indices=tuple(i for i in access.indices if i not in free))
        ranks = [rank for rank in einsum.ranks if rank in {*rest.ranks, *tied}]
        if math.prod(tile[rank][1] for rank in ranks) > MOST_VISITED:
            return None
        at, count = points(tile, ranks, mask or None)
        places = _places(layout, cascade, draft, leaf, tile, at, count)
        found.append([places % machine.unit(leaf.node.unit).dims["cores"], *values(rest, at, count)])
    return different(np.concatenate(found, axis=1)), times


def _evenly(cascade: Cascade, machine: Machine, layout: Layout, draft: DraftOp) -> bool:
    """Whether each core has its share of its own ranks, all of the others, and no part of a group: of one
    access, or of several by which each core finds the same.
    """
    alike = set()
    for leaf, access in draft.moves:
        turns = _dealt(cascade, machine, layout, draft, leaf, access).values()
        alike.add((access, cores_ranks(leaf.node), *turns))
    if len(alike) > 1:
        return False
    shared_out = set(cores_ranks(leaf.node))
    if any(len(index.ranks) > 1 and shared_out & set(index.ranks) for index in access.indices):
        return False
    if compressed(machine, cascade.tensor(draft.subject)) and shared_out & set(access.ranks):
        return False
    tied = {r for one in draft.served for r in mask_of(cascade, cascade.einsum(one.node.einsum).ranks).tied}
    return shared_out <= set(access.ranks) or not (len(shared_out) > 1 or shared_out & tied)


def _dealt(
    cascade: Cascade, machine: Machine, layout: Layout, draft: DraftOp, leaf: Leaf, access: Access
) -> dict[str, Turn]:
    """What decides the core on which a leaf has an element, in one tile of a transfer."""
    shared = {*draft.path}.difference(draft.when).intersection(*(one.path for one in draft.served))
    return dealt(cascade, machine, layout, leaf, access, shared)


def turning(cascade: Cascade, machine: Machine, layout: Layout, draft: DraftOp) -> dict[str, int]:
    """Ranks along which it matters where a tile begins, modulo the cores given. From there on the first rank
    along the cores turns everything round them by as many places as the others have: who wants the same is
    as before only where it turns each tile of each leaf alike.
    """
    assert draft.home is not None
    if cores_of(machine, draft.home.memory) == 1 or _evenly(cascade, machine, layout, draft):
        return {}
    every: dict[str, int] = {}
    ways = set()
    for leaf, access in draft.moves:
        first = next(iter(cores_ranks(leaf.node)), "")
        turn = _dealt(cascade, machine, layout, draft, leaf, access).get(first)
        ways.add((first, turn and turn[1:]))
        every[first] = math.lcm(machine.unit(leaf.node.unit).dims.get("cores", 1), every.get(first, 1))
    if len(ways) == 1 and (turn is None or not turn.loops):
        return {}
    own = [layout.loops[loop] for loop in draft.path if loop not in draft.when]
    return {
        rank: cores for rank, cores in every.items()
        if any(rank in loop.ranks and loop.tile % cores for loop in own)
    }  # fmt: skip


def takers(cascade: Cascade, machine: Machine, draft: DraftOp, tile: Box) -> int:
    """Cores that take the same element."""
    extents = {rank: extent for rank, (_, extent) in tile.items()}
    firsts = {leaf.place: (leaf, access) for leaf, access in reversed(draft.moves)}
    return max(
        copied(machine.unit(leaf.node.unit), leaf.node, relevant_ranks(cascade, access), extents)
        for leaf, access in firsts.values()
    )


def _places(
    layout: Layout, cascade: Cascade, draft: DraftOp, leaf: Leaf, tile: Box, at: Mapping[str, Ints],
    count: int,
) -> Ints:  # fmt: skip
    """The place of each point along the cores, in whichever of the leaf's tiles it is."""
    found = np.zeros(count, dtype=np.int64)
    foreign = foreign_ranks(draft, leaf, [layout.loops[loop] for loop in draft.path])
    for turn, rank in enumerate(cores_ranks(leaf.node)):
        whole = (0, cascade.size(rank)) if rank in foreign else tile[rank]
        low, extent = (np.full(count, end) for end in whole)
        for loop in leaf.path:
            inside = rank in foreign or loop not in draft.path or loop in draft.when
            if inside and rank in layout.loops[loop].ranks:
                step = layout.loops[loop].tile
                before = (at[rank] - low) // step * step
                low, extent = low + before, np.minimum(step, extent - before)
        found = found * extent + at[rank] - (low if turn else 0)
    return found
