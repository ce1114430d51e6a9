"""A branch for one contraction: buffer tiles chosen by rule, double-buffered, on the fastest matrix unit.

The rule tries tile sizes (the array's width times powers of two) and both loop orders, and takes the least
of max(compute time, transfer time) plus the time to fill the first tile; ties go to less traffic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from accel.machine import Machine
from dataflow.footprint import access_of, tile_bytes
from dataflow.leaf import array_cycles, exploited
from dataflow.mapping import Node, chain, keep
from dataflow.templates.roles import Roles, extent_of, flat_tile, place, roles, steps
from specs.errors import EinsimError
from workloads.cascade import Cascade, Einsum


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Chosen tiles: points along m, n and k, the outer loop's letter, and the estimate that chose them."""

    m: int
    n: int
    k: int
    outer: str
    seconds: float
    traffic_bytes: int


def levels(machine: Machine, unit_memory: str) -> tuple[str, ...]:
    """On-chip memories between DRAM and a unit, outermost first."""
    found: list[str] = []
    here: str | None = unit_memory
    while here is not None and here != machine.dram.name:
        found.append(here)
        here = machine.memory(here).parent
    return tuple(reversed(found))


def room_bytes(machine: Machine, memories: tuple[str, ...], reserved: Mapping[str, int]) -> int:
    """Bytes that a branch may use: the smallest memory on the way, less what is kept there already."""
    sizes = [
        capacity - reserved.get(name, 0)
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
    node = place(cascade, machine, einsum, {**sizes, **tiles})
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
        *_keeps(machine, memories, (second,), kept),
        *(_keeps(machine, memories, (first,), kept) if partial else []),
        node,
    )
    return chain(
        *_loops(cascade, part.batch, batch),
        *loops[row],
        *([] if partial else _keeps(machine, memories, (first,), kept)),
        *loops[column],
        *_keeps(machine, memories, (einsum.name,), kept),
        inner,
    )


def _keeps(
    machine: Machine, memories: tuple[str, ...], tensors: tuple[str, ...], kept: tuple[str, ...]
) -> list[Node]:
    names = tuple(name for name in tensors if name and name in kept)
    made = [keep(names, memory) for memory in memories]
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
    rate = machine.dram.read_bytes_per_s
    best: Plan | None = None
    smallest = 0
    for tk in (k, *(size for size in reversed(steps(max(rows, 64), k)) if size < k)):
        for tm in steps(rows, m):
            for tn in steps(cols, n):
                tile = Plan(m=tm, n=tn, k=tk, outer="m", seconds=0.0, traffic_bytes=0)
                extents = {
                    **{rank: cascade.size(rank) for rank in einsum.ranks},
                    **batch,
                    **_tiles(cascade, part, tile),
                }
                bytes_of = {
                    name: 0
                    if name in resident
                    else tile_bytes(cascade, machine, access_of(einsum, name), extents)
                    for name in (part.a, part.b, einsum.name)
                    if name
                }
                need = 2 * sum(bytes_of.values())
                smallest = min(smallest or need, need)
                if need > room:
                    continue
                work = exploited(cascade, unit, einsum, extents)
                node = place(cascade, machine, einsum, extents)
                trips = {"m": -(-m // tm), "n": -(-n // tn), "k": -(-k // tk)}
                cycles = array_cycles(unit, einsum, node, work) if node.unit == unit_name else 0
                compute = cycles * math.prod(trips.values()) * rounds / (unit.clock_hz or machine.clock_hz)
                for outer in ("m", "n"):
                    plan = _estimate(part, bytes_of, trips, rounds, outer, compute, rate, tile)
                    if best is None or (plan.seconds, plan.traffic_bytes) < (
                        best.seconds * (1 - 1e-12),
                        best.traffic_bytes,
                    ):
                        best = plan
        if best is not None and tk == k:
            break
    if best is None:
        raise EinsimError(
            f"{machine.name}: no tile of Einsum {einsum.name} fits on chip: "
            f"the smallest needs {smallest} bytes, {max(room, 0)} are free"
        )
    return best


def _estimate(
    part: Roles,
    bytes_of: Mapping[str, int],
    trips: Mapping[str, int],
    rounds: int,
    outer: str,
    compute_s: float,
    rate: int | None,
    tile: Plan,
) -> Plan:
    first, second = (part.a, part.b) if outer == "m" else (part.b, part.a)
    every = trips["m"] * trips["n"] * trips["k"]
    first_trips = trips[outer] * (trips["k"] if trips["k"] == 1 else every // trips[outer])
    traffic = rounds * (
        bytes_of.get(first, 0) * first_trips
        + bytes_of.get(second, 0) * every
        + sum(size for name, size in bytes_of.items() if name not in (first, second))
        * trips["m"]
        * trips["n"]
    )
    seconds = compute_s
    if rate:
        fill = sum(bytes_of.values()) / rate
        seconds = max(compute_s, traffic / rate) + fill
    return msgspec.structs.replace(tile, outer=outer, seconds=seconds, traffic_bytes=traffic)
