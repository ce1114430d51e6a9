"""What one tile of an Einsum costs on a unit: cycles, latency, operand traffic and counted actions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import msgspec

from accel.machine import Machine, Unit
from dataflow.array_time import Tiles, array_time
from dataflow.footprint import elements, relevant_ranks, runs, steps, tile_bytes
from dataflow.mapping import Compute
from dataflow.program import Access as Traffic
from workloads.cascade import Access, Cascade, Einsum


class Residence(msgspec.Struct, frozen=True, kw_only=True):
    """Where an operand lives while the tile runs: a memory, or registers when `memory` names a unit."""

    memory: str
    spill: float = 0.0


class LeafCost(msgspec.Struct, frozen=True, kw_only=True):
    """Cycles of the unit's clock and everything counted for one tile."""

    cycles: int
    accesses: tuple[Traffic, ...]
    actions: dict[str, int]
    points: int
    active_pe_cycles: int


def issue_ops(unit: Unit, ops: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Group an Einsum's ops into issues: a chain that the unit fuses goes out as one."""
    groups: list[tuple[str, ...]] = []
    at = 0
    while at < len(ops):
        fused = next((fuse for fuse in unit.fused_ops if ops[at : at + len(fuse)] == fuse), (ops[at],))
        groups.append(fused)
        at += len(fused)
    return tuple(groups)


def cycles_per_point(unit: Unit, ops: tuple[str, ...]) -> int:
    """Issue cycles for one iteration point on one PE; a fused chain takes its slowest member's cycles."""
    return sum(max(unit.cost(op).cycles for op in group) for group in issue_ops(unit, ops))


def latency_cycles(unit: Unit, einsum: Einsum, node: Compute) -> int:
    """Cycles from the end of issue until a tile's result can be used."""
    extra = max((unit.cost(op).latency_cycles for op in einsum.ops), default=0)
    rows = next(iter(unit.dims)) if unit.kind == "vector" else "rows"
    along_rows = set(node.spatial.get(rows, ())) & set(einsum.reduced)
    if along_rows:
        reduce_op = {"sum": "add"}.get(einsum.reduce or "", einsum.reduce or "")
        if "mac" in einsum.ops and reduce_op == "add":
            reduce_op = "mac"
        extra += unit.reduction_latency_cycles.get(reduce_op, 0)
    if unit.fill == "exposed":
        extra += sum(unit.dims[dim] for dim in ("rows", "cols") if dim in unit.dims) - 2 * (
            len(unit.dims) > 1
        )
    return extra


def exploited(cascade: Cascade, unit: Unit, einsum: Einsum, extents: Mapping[str, int]) -> dict[str, int]:
    """Extents with the work that sparsity removes on this unit taken off the ranks it lies along.

    Unstructured patterns, which name no rank, take it off the largest reduced rank.
    """
    left = dict(extents)
    if "mac" not in einsum.ops:
        return left
    for access in einsum.reads:
        sparsity = cascade.tensor(access.tensor).sparsity
        if not set(sparsity.patterns) & set(unit.exploits):
            continue
        rank = sparsity.rank or max(einsum.reduced, key=lambda name: extents[name])
        if rank in left:
            left[rank] = min(left[rank], sparsity.kept(extents[rank]))
    return left


def array_cycles(unit: Unit, einsum: Einsum, node: Compute, extents: Mapping[str, int]) -> int:
    """Issue cycles for a tile: spatial ranks fold over the unit's dimensions, the others run in time."""
    if unit.convention:
        return _systolic_cycles(unit, einsum, node, extents)
    folds = shares = 1
    placed: set[str] = set()
    for dim, ranks in node.spatial.items():
        parts = -(-math.prod(extents[rank] for rank in ranks) // unit.dims[dim])
        if dim == "cores":  # each core walks its share in time
            shares = parts
        else:
            folds *= parts
        placed.update(ranks)
    steps = shares * math.prod(extents[rank] for rank in einsum.ranks if rank not in placed)
    if unit.kind == "systolic" and node.stationarity != "output-stationary":
        steps = max(steps, unit.dims.get("rows", 1))  # the next stationary tile takes a cycle a row to load
    return folds * steps * max(1, cycles_per_point(unit, einsum.ops))


def _systolic_cycles(unit: Unit, einsum: Einsum, node: Compute, extents: Mapping[str, int]) -> int:
    """Cycles of a tile by the unit's convention; each core walks its share of the cores' ranks in time."""
    placed = {rank for ranks in node.spatial.values() for rank in ranks}
    points = {dim: math.prod(extents[rank] for rank in ranks) for dim, ranks in node.spatial.items()}
    steps = -(-points.get("cores", 1) // unit.dims.get("cores", 1))
    steps *= math.prod(extents[rank] for rank in einsum.ranks if rank not in placed)
    tiles = Tiles(
        rows=unit.dims["rows"],
        cols=unit.dims["cols"],
        along_rows=points.get("rows", 1),
        along_cols=points.get("cols", 1),
        stream=steps * max(1, cycles_per_point(unit, einsum.ops)),
        stationary=node.stationarity != "output-stationary",
    )
    return array_time(unit.convention, tiles)


def leaf_cost(
    cascade: Cascade,
    machine: Machine,
    einsum: Einsum,
    node: Compute,
    extents: Mapping[str, int],
    residences: Mapping[str, Residence],
) -> LeafCost:
    """Cost of one tile. `extents` gives the points of each rank; `residences` where each operand lives."""
    unit = machine.unit(node.unit)
    work = exploited(cascade, unit, einsum, extents)
    cycles = array_cycles(unit, einsum, node, work)
    points = math.prod(work[rank] for rank in einsum.ranks)
    actions: Counter[str] = Counter()
    for op in einsum.ops:
        actions[f"{unit.name}:{op}"] += points
    spatial = {rank for ranks in node.spatial.values() for rank in ranks}
    if any(extents[rank] > 1 and rank not in spatial for rank in einsum.reduced):
        actions[f"{unit.name}:register read"] += points
        actions[f"{unit.name}:register write"] += points
    accesses = []
    for access in (*einsum.reads, einsum.output):
        is_output = access is einsum.output
        tensor = access.tensor
        if tensor in node.chained:
            continue
        home = residences[tensor]
        if home.memory == unit.name:
            kind = "write" if is_output else "read"
            actions[f"{unit.name}:register {kind}"] += elements(cascade, access, extents)
            continue
        size = tile_bytes(cascade, machine, access, extents) * (
            1 if is_output else _rereads(cascade, unit, node, access, extents)
        )
        laid = (*runs(cascade, machine, access, extents), steps(cascade, machine, access))
        accesses.append(_traffic(home.memory, tensor, size, is_output, laid))
        spilled = math.ceil(size * home.spill)
        if spilled:
            accesses.append(
                _traffic(machine.memory(home.memory).parent or home.memory, tensor, spilled, is_output, laid)
            )
    return LeafCost(
        cycles=cycles,
        accesses=tuple(accesses),
        actions=dict(actions),
        points=points,
        active_pe_cycles=points * max(1, cycles_per_point(unit, einsum.ops)),
    )


def _traffic(
    memory: str,
    tensor: str,
    size: int,
    is_output: bool,
    laid: tuple[int, int, tuple[tuple[str, int], ...]],
) -> Traffic:
    return Traffic(
        memory=memory,
        tensor=tensor,
        read_bytes=0 if is_output else size,
        write_bytes=size if is_output else 0,
        run_bytes=laid[0],
        pitch_bytes=laid[1],
        steps=laid[2],
    )


def _rereads(cascade: Cascade, unit: Unit, node: Compute, access: Access, extents: Mapping[str, int]) -> int:
    """Times an operand is streamed: once for each fold over a dimension whose ranks it does not have.

    Cores walk their share in time, as an array walks its other ranks: what stays there is not read again.
    """
    has = relevant_ranks(cascade, access)
    times = 1
    for dim, ranks in node.spatial.items():
        if dim != "cores" and not has & set(ranks):
            times *= -(-math.prod(extents[rank] for rank in ranks) // unit.dims[dim])
    return times
