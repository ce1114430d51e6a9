"""What each nest of a list costs and takes at least, all at once: only the leaders are lowered."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from functools import cache, reduce
from typing import NamedTuple

import numpy as np

from einsim.accel.machine import Machine
from einsim.dataflow.cores import cores_ranks, read_apart
from einsim.dataflow.feed import stationary
from einsim.dataflow.footprint import access_of, dram_tile_bytes, least_elements, relevant_ranks
from einsim.dataflow.forms import compressed
from einsim.dataflow.leaf import latency_cycles, leave_each_step, partial_sum, skips
from einsim.dataflow.mapping import Compute
from einsim.dataflow.templates.blocks import Block, touched
from einsim.dataflow.templates.nest import LoopNest, UnitChoices, moving
from einsim.dataflow.templates.room import ListRoom, Orders
from einsim.dataflow.templates.shares import least_shares
from einsim.specs.arrays import Bools, Floats
from einsim.workloads.cascade import Access, Cascade, Einsum
from einsim.workloads.shape import reach


class ListLeast(NamedTuple):
    """Of each of N nests cycles [N] of each Einsum on its unit, bytes [N] of each tensor that pass DRAM's
    port and those that pass a port of a memory `near` a unit, whether each is kept in a memory on the `ways`
    to all its users, and whether its tile is filled or emptied `at_once`, more than once, bytes of each in
    the first tile and at least in the `last` one, cycles of `one` tile of each Einsum, of the `shortest` and
    from its end to its `results`, how many tiles come `after` the last load of each input, and tiles: no more
    than its program has.
    """

    cycles: dict[tuple[str, str], Floats]  # by Einsum and unit, 0 where it is on another
    one: dict[tuple[str, str], Floats]
    shortest: dict[tuple[str, str], Floats]
    results: dict[tuple[str, str], Floats]
    moved: dict[str, Floats]
    near: dict[tuple[str, str, bool], Floats]  # by tensor, memory and whether it is read
    ways: dict[tuple[str, str], Bools]  # by tensor and memory
    at_once: dict[str, Bools]
    straight: Bools  # whether an operand comes from DRAM to the unit
    first: dict[str, Floats]
    last: dict[str, Floats]
    after: dict[str, Floats]
    tiles: Floats


def least_of(leaves: UnitChoices, nests: list[LoopNest], room: ListRoom) -> ListLeast:
    """The least of a list's nests, of which it is known what they hold."""
    cascade, machine, einsums = leaves.cascade, leaves.machine, nests[0].einsums
    sizes = {rank: cascade.size(rank) for einsum in einsums for rank in einsum.ranks}
    every = [(dict(nest.loops), nest.extents(cascade)) for nest in nests]
    tile = {rank: np.array([one.get(rank, sizes[rank]) for one, _ in every], np.float64) for rank in sizes}
    inner = {rank: np.array([one[rank] for _, one in every], np.float64) for rank in sizes}
    trips = {rank: np.ceil(size / tile[rank]) for rank, size in sizes.items()}
    smallest = {
        rank: np.minimum(*(_smallest(of, inner[rank]) for of in (tile[rank], _smallest(size, tile[rank]))))
        for rank, size in sizes.items()
    }
    left = {rank: np.ceil(_smallest(size, tile[rank]) / inner[rank]) for rank, size in sizes.items()}
    steps = {rank: (trips[rank] - 1) * np.ceil(tile[rank] / inner[rank]) + left[rank] for rank in sizes}
    parted = np.array([bool(nest.parts) for nest in nests])
    shares = {einsum.name: least_shares(cascade, einsum, nests) for einsum in einsums}
    cycles, one, shortest, results = (dict[tuple[str, str], Floats]() for _ in range(4))
    kept = {name: np.array([name not in one.straight for one in nests]) for name in touched(einsums)}
    out = {name: np.array([name not in one.registers for one in nests]) for name in kept}
    streamed = {name: np.zeros(len(nests)) for name in kept}  # from DRAM
    near = dict[tuple[str, str, bool], Floats]()
    for name, nodes in leaves.alike(nests).items():
        einsum, share = cascade.einsum(name), shares[name][0]
        times, extents = _classes(cascade, einsum, tile, trips)
        for node, rows in nodes:
            key = name, node.unit
            here, most, fewest, late = (
                of.setdefault(key, np.zeros(len(nests))) for of in (cycles, one, shortest, results)
            )
            own = {rank: inner[rank][rows] for rank in einsum.ranks}
            fewest[rows], late[rows] = np.inf, _latency(cascade, machine, node, own, len(rows))
            mean = {rank: sizes[rank] / steps[rank][rows] for rank in einsum.ranks}
            fewest_of = {rank: smallest[rank][rows] for rank in einsum.ranks}
            for port, size in _streamed(leaves, node, own, mean, fewest_of):
                passing, there = share[rows] * size, kept[port[0]][rows]
                near.setdefault(port, np.zeros(len(nests)))[rows] += (there & out[port[0]][rows]) * passing
                streamed[port[0]][rows] += ~there * passing
            cycles_of = leaves.times(node.unit, name)
            at, kind = np.nonzero(times[rows] > 0)
            at = rows[at]
            each = cycles_of.of(node, {rank: of[at, kind] for rank, of in extents.items()}, len(at))
            np.add.at(here, at, times[at, kind] * each * share[at])
            np.maximum.at(most, at, each)
            np.minimum.at(fewest, at, each)
            if len(some := rows[parted[rows]]):
                fewest[some] = cycles_of.of(node, {r: smallest[r][some] for r in einsum.ranks}, len(some))
    moved, first, last, after, at_once = {}, {}, {}, {}, {}
    whole_parts = np.array([not nest.streamed for nest in nests])
    for tensor in touched(einsums):
        maker = cascade.producer(tensor)
        access = access_of(maker or cascade.consumers(tensor)[0], tensor)
        if maker is not None and not cascade.is_output(tensor):
            continue
        whole = dram_tile_bytes(cascade, machine, access, cascade.sizes)
        least = reduce(np.maximum, (shares[e.name][0] for e in einsums if tensor in touched((e,))))
        again, behind, alone = _again(cascade, einsums, tensor, access, room.orders, (tile, inner, trips))
        state = tensor in cascade.overwritten or tensor in cascade.initial
        filled = room.filled.get(tensor, np.False_)  # not where no memory holds it
        at_once[tensor] = alone & filled & kept[tensor] & out[tensor] & (not state)
        moved[tensor] = np.where(kept[tensor], whole * least * again, streamed[tensor])
        ends = (reach(index, cascade.sizes) for index in access.indices)
        inside = all(
            low >= 0 and high < size for (low, high), size in zip(ends, cascade.shape(tensor), strict=True)
        )
        plain = inside * kept[tensor] * cascade.tensor(tensor).bits / 8
        if maker is None:
            first[tensor] = plain * least_elements(cascade, machine, access, inner)
            shared = sum((there for (name, _), there in room.ways.items() if name == tensor), ~whole_parts)
            after[tensor] = kept[tensor] * np.where(whole_parts & (shared > 0), behind, 1)
        if not cascade.overwritten.get(tensor):
            last[tensor] = plain * least_elements(cascade, machine, access, smallest)
    tiles = reduce(np.maximum, (there for _, there in shares.values())) * math.prod(steps.values())
    return ListLeast(
        cycles, one, shortest, results, moved, near, room.ways, at_once, ~np.all([*kept.values()], axis=0),
        first, last, after, tiles,
    )  # fmt: skip


def _latency(
    cascade: Cascade, machine: Machine, node: Compute, extents: Mapping[str, Floats], count: int
) -> list[int]:
    """Cycles from the end of a leaf's tile to its results, of so many nests."""
    unit, einsum = machine.unit(node.unit), cascade.einsum(node.einsum)
    across = [rank for ranks in node.spatial.values() for rank in ranks if rank in einsum.reduced]

    @cache
    def latency(*tile: int) -> int:
        return latency_cycles(cascade, unit, einsum, node, dict(zip(across, tile, strict=True)))

    tiles = zip(*(extents[rank].astype(int).tolist() for rank in across), strict=True)
    return [latency(*tile) for tile in tiles] if across else [latency()] * count


def _streamed(
    leaves: UnitChoices, node: Compute, extents: Mapping[str, Floats], mean: Mapping[str, Floats],
    smallest: Mapping[str, Floats],
) -> Iterator[tuple[tuple[str, str, bool], Floats]]:  # fmt: skip
    """Tensor, memory and whether it is read there, and bytes that a leaf streams at least: lanes and steps
    that share a value take it once. Tiles have `extents`, at the ends of ranks less, and so a `mean`.
    """
    cascade, machine = leaves.cascade, leaves.machine
    unit, einsum = machine.unit(node.unit), cascade.einsum(node.einsum)
    if skips(cascade, unit, einsum, cascade.sizes):
        return
    placed = {rank for dim, ranks in node.spatial.items() if dim != "cores" for rank in ranks}
    points = math.prod(map(cascade.size, einsum.ranks))
    results = math.prod(map(cascade.size, einsum.output.ranks))
    for access in {access.tensor: access for access in (*einsum.reads, einsum.output)}.values():
        tensor, mine, made = cascade.tensor(access.tensor), set(access.ranks), access is einsum.output
        home = leaves.homes(node, tensor.name)[-1:]
        state = tensor.name in cascade.overwritten or tensor.name in cascade.initial
        if not home or state or not access.apart or compressed(machine, tensor):
            continue
        idle = [rank for rank in einsum.ranks if rank not in mine]
        along = [rank for rank in cores_ranks(node) if cascade.size(rank) > 1]
        apart = read_apart(machine, home[0])
        shared = np.ones(1)
        if made and not leave_each_step(node):
            shared = shared * math.prod(mean[rank] for rank in idle)
        else:
            still = placed if access == stationary(node, einsum) else set(einsum.ranks)
            shared = shared * math.prod(mean[rank] for rank in idle if rank not in still)
            for dim, ranks in node.spatial.items():
                if dim != "cores" or not apart:
                    met = math.prod(extents[r] for r in ranks if r in idle and r in still)
                    shared = shared * np.minimum(met, unit.dims[dim])
            if apart and not set(along) & (mine | still):  # each core reads it by itself
                met = math.prod(smallest[rank] for rank in along)
                shared = shared / np.minimum(met, unit.dims.get("cores", 1))
        values = points / shared
        if not made:
            yield (tensor.name, home[0], True), values * tensor.bits / 8
            continue
        again = np.maximum(values - results, 0) * partial_sum(cascade, unit, einsum).bits / 8
        yield (tensor.name, home[0], False), again + results * tensor.bits / 8
        yield (tensor.name, home[0], True), again


def _smallest(size: Floats | int, tile: Floats) -> Floats:
    """The smallest of the tiles of `size` points: what is left at the end, if anything."""
    return np.where(size % tile > 0, size % tile, np.minimum(size, tile))


def _again(
    cascade: Cascade, einsums: Block, tensor: str, access: Access, orders: Orders,
    by_rank: tuple[Mapping[str, Floats], Mapping[str, Floats], Mapping[str, Floats]],
) -> tuple[Floats, Floats, Bools]:  # fmt: skip
    """How often all of a tensor passes DRAM's port in each nest, how many tiles come after its last part, and
    whether its tile passes all at once: where each rank has such tiles, parts of them, and trips.
    """
    tile, inner, trips = by_rank
    relevant, moved = relevant_ranks(cascade, access), moving(cascade, einsums, tensor)
    made = next((einsum for einsum in einsums if einsum.name == tensor), None)
    stays = (*made.reduced, *made.iterative) if made else ()
    count = len(orders[0][2])
    passes, behind, whole = np.ones(count), np.ones(count), np.ones(count, np.bool_)
    for loops, parts, here in orders:
        again, after, inside = np.ones(count), np.ones(count), np.zeros(count, np.bool_)
        part = late = inside
        for rank in reversed(parts):
            part = part | ((tile[rank] > inner[rank]) & (rank in moved))
            left = np.ceil(_smallest(cascade.size(rank), tile[rank]) / inner[rank])
            after = np.where(part, after, after * left)
        for rank in reversed(loops):
            if rank in moved:
                inside = inside | (trips[rank] > 1)
            after = np.where(inside | part, after, after * trips[rank])
            if rank in stays:
                again, late = np.where(trips[rank] > 1, 1.0, again), late | (inside & (trips[rank] > 1))
            elif rank not in relevant:
                again = np.where(inside, again * trips[rank], again)
        passes, behind = np.where(here, again, passes), np.where(here, after, behind)
        whole &= ~here | ~(part | late)
    return passes, behind, whole


def _classes(
    cascade: Cascade, einsum: Einsum, tile: Mapping[str, Floats], trips: Mapping[str, Floats]
) -> tuple[Floats, dict[str, Floats]]:
    """How many tiles of an Einsum are of each of K kinds in each nest [N, K], and their extents [N, K]: whole
    ones, and what is left at the ends.
    """
    left = {rank: cascade.size(rank) % tile[rank] for rank in einsum.ranks}
    others = [count for rank, count in trips.items() if rank not in left]
    uneven = [rank for rank in einsum.ranks if left[rank].any()]
    kinds = np.array(list(itertools.product((False, True), repeat=len(uneven))))
    times = math.prod(others, start=np.ones(len(next(iter(trips.values()), [0]))))[:, None]
    extents = dict[str, Floats]()
    for rank in einsum.ranks:
        ends = kinds[:, uneven.index(rank)] if rank in uneven else np.zeros(len(kinds), np.bool_)
        extents[rank] = np.where(ends, left[rank][:, None], tile[rank][:, None])
        times = times * np.where(ends, left[rank][:, None] > 0, (cascade.size(rank) // tile[rank])[:, None])
    return np.broadcast_to(times, (len(times), len(kinds))), extents
