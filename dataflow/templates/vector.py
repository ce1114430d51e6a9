"""A branch for a run of Einsums that aren't contractions: rows are loaded once, every op runs on them, and
what later branches need is stored.

Rows are the ranks that all the outputs share; the other ranks (a softmax's keys, a norm's features) are kept
whole on chip. A run whose whole rows don't fit is split.
"""

from __future__ import annotations

from collections.abc import Mapping

from einsim.accel.machine import Machine
from einsim.dataflow.footprint import access_of, tile_bytes
from einsim.dataflow.holds import levels
from einsim.dataflow.mapping import Node, Pipeline, chain, keep
from einsim.dataflow.spatial import place
from einsim.dataflow.templates.gemm import room_bytes
from einsim.dataflow.templates.sizes import group_along
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade, Einsum


def shared_rows(einsums: tuple[Einsum, ...]) -> tuple[str, ...]:
    """Output ranks that every Einsum of the run has."""
    first = einsums[0].output.ranks
    return tuple(
        rank for rank in first
        if all(rank in einsum.output.ranks and rank not in einsum.iterative for einsum in einsums)
    )  # fmt: skip


def touched(einsums: tuple[Einsum, ...], resident: frozenset[str]) -> tuple[str, ...]:
    """Tensors of a run, in order, that aren't resident."""
    names = (
        name for einsum in einsums for name in (*(access.tensor for access in einsum.reads), einsum.name)
    )
    return tuple(name for name in dict.fromkeys(names) if name not in resident)


def row_bytes(
    cascade: Cascade,
    machine: Machine,
    einsums: tuple[Einsum, ...],
    tiles: Mapping[str, int],
    resident: frozenset[str],
) -> int:
    """Bytes of one set of buffers for rows of `tiles` points."""
    extents = cascade.sizes | dict(tiles)
    total = 0
    for name in touched(einsums, resident):
        user = next(e for e in einsums if e.name == name or any(a.tensor == name for a in e.reads))
        total += tile_bytes(cascade, machine, access_of(user, name), extents)
    return total


def fits(
    cascade: Cascade,
    machine: Machine,
    einsums: tuple[Einsum, ...],
    resident: frozenset[str],
    reserved: Mapping[str, int],
) -> bool:
    """Whether single rows of a run fit on chip, double-buffered."""
    rows = shared_rows(einsums)
    if not rows:
        return False
    room = _room(cascade, machine, einsums, reserved)
    return 2 * row_bytes(cascade, machine, einsums, _least(cascade, machine, rows), resident) <= room


def _least(cascade: Cascade, machine: Machine, rows: tuple[str, ...]) -> dict[str, int]:
    """The smallest tiles of rows: single ones, or whole groups of them."""
    return {rank: min(group_along(cascade, machine, rank), cascade.size(rank)) for rank in rows}


def _room(
    cascade: Cascade, machine: Machine, einsums: tuple[Einsum, ...], reserved: Mapping[str, int]
) -> int:
    return room_bytes(machine, _memories(cascade, machine, einsums), reserved)


def _memories(cascade: Cascade, machine: Machine, einsums: tuple[Einsum, ...]) -> tuple[str, ...]:
    sizes = cascade.sizes
    unit = machine.unit(place(cascade, machine, einsums[0], sizes).unit)
    return levels(machine, unit.reads_from)


def vector_run(
    cascade: Cascade,
    machine: Machine,
    einsums: tuple[Einsum, ...],
    *,
    resident: frozenset[str] = frozenset(),
    reserved: Mapping[str, int] = {},
) -> Node:
    """The branch of one run. EinsimError when not even single rows fit."""
    rows = shared_rows(einsums)
    room = _room(cascade, machine, einsums, reserved)
    memories = _memories(cascade, machine, einsums)
    tiles = _least(cascade, machine, rows)
    need = 2 * row_bytes(cascade, machine, einsums, tiles, resident)
    if need > room:
        names = ", ".join(einsum.name for einsum in einsums)
        raise EinsimError(
            f"{machine.name}: rows of {names} need {need} bytes on chip, {max(room, 0)} are free"
        )
    lanes = max(unit.pes for unit in machine.units)
    for rank in reversed(rows):
        while tiles[rank] < cascade.size(rank):
            wider = {**tiles, rank: min(2 * tiles[rank], cascade.size(rank))}
            size = row_bytes(cascade, machine, einsums, wider, resident)
            points = 1
            for einsum in einsums:
                points = max(points, _points(cascade, einsum, wider))
            if 2 * size > room // 2 or points > 64 * lanes:
                break
            tiles = wider
        if tiles[rank] < cascade.size(rank):
            break
    extents = cascade.sizes | tiles
    apart = any(machine.memory(memory).copies > 1 for memory in memories)
    cores = rows if apart else None  # a core has only its own rows of what the run makes
    nodes = tuple(place(cascade, machine, einsum, extents, cores) for einsum in einsums)
    kept = touched(einsums, resident)
    body: Node = nodes[0] if len(nodes) == 1 else Pipeline(children=nodes)
    loops = [(rank, tiles[rank]) for rank in rows if tiles[rank] < cascade.size(rank)]
    return chain(*loops, *(keep(kept, memory) for memory in memories), body)


def _points(cascade: Cascade, einsum: Einsum, tiles: Mapping[str, int]) -> int:
    total = 1
    for rank in einsum.ranks:
        total *= tiles.get(rank, cascade.size(rank))
    return total
