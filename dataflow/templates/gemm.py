"""A branch for one contraction: buffer tiles chosen by rule, double-buffered, on the fastest matrix unit.

The rule tries tile sizes (the array's width times powers of two) and both loop orders, and takes the least
traffic among the tiles that compute within 5 % of the whole problem's cycles; ties go to whole sums, then to
smaller tiles. So a bigger buffer doesn't mean more traffic, and bandwidth doesn't change the mapping. A
buffer tile is computed in up to sixteen parts, which are loaded and stored one by one, so that a large tile
need not be there whole before work begins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.footprint import access_of, tile_bytes
from einsim.dataflow.holds import levels, may_hold
from einsim.dataflow.leaf import array_cycles, exploited
from einsim.dataflow.mapping import Compute, Node, chain, keep
from einsim.dataflow.spatial import Roles, place, roles
from einsim.dataflow.templates.sizes import extent_of, flat_tile, steps
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade, Einsum

#: Cycles that a choice of tiles may cost over the whole problem at once.
SLACK = 1.05


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Tiles: points along m, n and k, the outer loop's letter, and what speaks for them."""

    m: int
    n: int
    k: int
    outer: str
    traffic_bytes: int
    held_bytes: int
    rounds: int

    @property
    def order(self) -> tuple[int, int, int]:
        """Smaller is better."""
        return (self.traffic_bytes, -self.k, self.held_bytes)


def room_bytes(machine: Machine, memories: tuple[str, ...], reserved: Mapping[str, int]) -> int:
    """Bytes that a branch may use: the smallest memory on the way, less what is kept there already. In a
    memory of each core every core is taken to need all.
    """
    sizes = [
        capacity // machine.memory(name).copies - reserved.get(name, 0)
        for name in memories
        if (capacity := machine.memory(name).capacity_bytes) is not None
    ]
    return min(sizes, default=2**62)


def gemm(
    cascade: Cascade,
    machine: Machine,
    einsum: Einsum,
    *,
    resident: frozenset[str] = frozenset(),
    reserved: Mapping[str, int] = {},
) -> Node:
    """The branch. `resident` tensors are kept on chip further out; `reserved` bytes are taken already."""
    part = roles(cascade, einsum)
    sizes = {rank: cascade.size(rank) for rank in einsum.ranks}
    whole = {**sizes, **{rank: 1 for rank in part.batch if part.m or part.n}}
    node = place(cascade, machine, einsum, whole)
    unit = machine.unit(node.unit)
    memories = levels(machine, unit.reads_from)
    room = room_bytes(machine, memories, reserved)
    cores = node.spatial.get("cores", ())
    batch = {rank: (unit.dims["cores"] if rank in cores else 1) for rank in part.batch}
    if not part.m and not part.n:  # a depthwise contraction: its batch ranks are the tile
        batch = flat_tile(cascade, part.batch, unit.pes)
    batch = {rank: min(size, cascade.size(rank)) for rank, size in batch.items()}
    plan = _choose(cascade, machine, einsum, node.unit, part, batch, room, resident)
    tiles = {**batch, **_tiles(cascade, part, plan)}
    parts = _parts(cascade, machine, einsum, part, plan, {**sizes, **tiles}, node.unit)
    node = place(cascade, machine, einsum, {**sizes, **tiles, **parts})
    case = (cascade, machine, node)
    inputs = tuple(dict.fromkeys(access.tensor for access in einsum.reads))
    kept = tuple(name for name in (*inputs, einsum.name) if name not in resident)
    row, column = ("m", "n") if plan.outer == "m" else ("n", "m")
    first = part.a if plan.outer == "m" else part.b
    second = part.b if plan.outer == "m" else part.a
    loops = {
        "m": _loops(cascade, part.m, tiles),
        "n": _loops(cascade, part.n, tiles),
        "k": _loops(cascade, part.k, tiles),
    }
    partial = bool(loops["k"])
    inner = chain(
        *loops["k"],
        *_keeps(case, memories, (second,), kept),
        *(_keeps(case, memories, (first,), kept) if partial else []),
        *((rank, size) for rank, size in parts.items() if size < tiles[rank]),
        node,
    )
    return chain(
        *_loops(cascade, part.batch, batch),
        *loops[row],
        *([] if partial else _keeps(case, memories, (first,), kept)),
        *loops[column],
        *_keeps(case, memories, (einsum.name,), kept),
        inner,
    )


def _parts(
    cascade: Cascade,
    machine: Machine,
    einsum: Einsum,
    part: Roles,
    plan: Plan,
    extents: Mapping[str, int],
    unit: str,
) -> dict[str, int]:
    """What is loaded, computed and stored at once: a quarter or half of a tile where that costs no cycles.

    Whole tiles under a mask: the first part of one operand might not meet every part of the other.
    """
    masked = {
        term.rank for bound in cascade.bounds for side in (bound.left, bound.right) for term in side.terms
    }
    if masked & set(part.m) and masked & set(part.n):
        return {}
    split = plan.k < extent_of(cascade, part.k)
    if split and masked & set(part.k) and masked & {*part.m, *part.n}:
        return {}  # the last part of the sum is not the last for every part of the results
    width = max(size for name, size in machine.unit(unit).dims.items() if name != "cores")
    whole = _cycles(cascade, machine, einsum, extents, unit)
    for shares in (4, 2):
        sizes = {
            letter: min(tile, width * max(1, -(-tile // (shares * width))))
            for letter, tile in (("m", plan.m), ("n", plan.n))
        }
        found = {**flat_tile(cascade, part.m, sizes["m"]), **flat_tile(cascade, part.n, sizes["n"])}
        times = math.prod(-(-extents[rank] // size) for rank, size in found.items())
        if times * _cycles(cascade, machine, einsum, {**extents, **found}, unit) <= SLACK * whole:
            return found
    return {}


def _cycles(
    cascade: Cascade, machine: Machine, einsum: Einsum, extents: Mapping[str, int], unit_name: str
) -> float:
    """Cycles of a tile on a unit; infinite where another unit is the faster one for it."""
    node = place(cascade, machine, einsum, extents)
    if node.unit != unit_name:
        return math.inf
    unit = machine.unit(unit_name)
    return array_cycles(cascade, unit, einsum, node, exploited(cascade, unit, einsum, extents))


def _keeps(
    case: tuple[Cascade, Machine, Compute],
    memories: tuple[str, ...],
    tensors: tuple[str, ...],
    kept: tuple[str, ...],
) -> list[Node]:
    cascade, machine, node = case
    names = tuple(name for name in tensors if name and name in kept)
    made = [
        keep(tuple(name for name in names if may_hold(cascade, machine, memory, node, name)), memory)
        for memory in memories
    ]
    return [node for node in made if node is not None]


def _loops(cascade: Cascade, ranks: tuple[str, ...], tiles: Mapping[str, int]) -> list[tuple[str, int]]:
    """Loops over the ranks whose tile is smaller than the rank."""
    return [(rank, tiles[rank]) for rank in ranks if tiles[rank] < cascade.size(rank)]


def _tiles(cascade: Cascade, part: Roles, plan: Plan) -> dict[str, int]:
    return {
        **flat_tile(cascade, part.m, plan.m),
        **flat_tile(cascade, part.n, plan.n),
        **flat_tile(cascade, part.k, plan.k),
    }


def _choose(
    cascade: Cascade,
    machine: Machine,
    einsum: Einsum,
    unit_name: str,
    part: Roles,
    batch: Mapping[str, int],
    room: int,
    resident: frozenset[str],
) -> Plan:
    unit = machine.unit(unit_name)
    dims = [size for name, size in unit.dims.items() if name != "cores"]
    rows, cols = dims[0], dims[-1]
    m, n, k = extent_of(cascade, part.m), extent_of(cascade, part.n), extent_of(cascade, part.k)
    rounds = math.prod(-(-cascade.size(rank) // size) for rank, size in batch.items())
    whole = {rank: cascade.size(rank) for rank in einsum.ranks}
    names = dict.fromkeys(name for name in (part.a, part.b, einsum.name) if name and name not in resident)
    moved = {name: access_of(einsum, name) for name in names}
    plans: list[Plan] = []
    smallest = 0
    for tk in steps(max(rows, 64), k):
        for tm in steps(rows, m):
            for tn in steps(cols, n):
                tile = Plan(m=tm, n=tn, k=tk, outer="m", traffic_bytes=0, held_bytes=0, rounds=1)
                extents = {**whole, **batch, **_tiles(cascade, part, tile)}
                bytes_of = {
                    name: tile_bytes(cascade, machine, access, extents) for name, access in moved.items()
                }
                need = 2 * sum(bytes_of.values())
                smallest = min(smallest or need, need)
                if need <= room:
                    trips = {"m": -(-m // tm), "n": -(-n // tn), "k": -(-k // tk)}
                    plans += (_estimate(part, bytes_of, trips, rounds, outer, tile) for outer in ("m", "n"))
    if not plans:
        raise EinsimError(
            f"{machine.name}: no tile of Einsum {einsum.name} fits on chip: "
            f"the smallest needs {smallest} bytes, {max(room, 0)} are free"
        )
    plans.sort(key=lambda plan: plan.order)
    least = _cycles(cascade, machine, einsum, {**whole, **batch}, unit_name)
    for plan in plans:
        extents = {**whole, **batch, **_tiles(cascade, part, plan)}
        if plan.rounds * _cycles(cascade, machine, einsum, extents, unit_name) <= SLACK * least:
            return plan
    return plans[0]


def _estimate(
    part: Roles,
    bytes_of: Mapping[str, int],
    trips: Mapping[str, int],
    rounds: int,
    outer: str,
    tile: Plan,
) -> Plan:
    """Traffic of a tile in one loop order: the outer operand stays while the other one streams by."""
    first, second = (part.a, part.b) if outer == "m" else (part.b, part.a)
    every = trips["m"] * trips["n"] * trips["k"]
    first_trips = trips[outer] if trips["k"] == 1 else every
    traffic = rounds * (
        bytes_of.get(first, 0) * first_trips
        + bytes_of.get(second, 0) * every
        + sum(size for name, size in bytes_of.items() if name not in (first, second))
        * trips["m"]
        * trips["n"]
    )
    held = sum(bytes_of.values())
    tiles = trips["m"] * trips["n"] * trips["k"]
    return msgspec.structs.replace(tile, outer=outer, traffic_bytes=traffic, held_bytes=held, rounds=tiles)
