"""What one tile of an Einsum costs on a unit: cycles, latency, operand traffic and counted actions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import msgspec

from einsim.accel.machine import Machine, Unit
from einsim.accel.widths import issued
from einsim.dataflow.array_time import Tiles, array_time
from einsim.dataflow.cores import cores_ranks, wanting
from einsim.dataflow.footprint import elements, relevant_ranks, runs, steps, tile_bytes
from einsim.dataflow.mapping import Compute
from einsim.dataflow.program import MemoryAccess
from einsim.workloads.cascade import Access, Cascade, Einsum


class Residence(msgspec.Struct, frozen=True, kw_only=True):
    """Where an operand lives while the tile runs: a memory, or registers when `memory` names a unit."""

    memory: str
    spill: float = 0.0


class LeafCost(msgspec.Struct, frozen=True, kw_only=True):
    """Cycles of the unit's clock and everything counted for one tile."""

    cycles: int
    accesses: tuple[MemoryAccess, ...]
    actions: dict[str, int]
    points: int
    active_pe_cycles: int


def issue_ops(unit: Unit, ops: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Group an Einsum's ops into issues: a chain that the unit fuses goes out as one."""
    groups: list[tuple[str, ...]] = []
    at = 0
    plain = tuple(op.partition("@")[0] for op in ops)
    while at < len(ops):
        fused = next((fuse for fuse in unit.fused_ops if plain[at : at + len(fuse)] == fuse), (ops[at],))
        groups.append(ops[at : at + len(fused)])
        at += len(fused)
    return tuple(groups)


def issued_ops(cascade: Cascade, unit: Unit, einsum: Einsum) -> tuple[str, ...]:
    """What a unit issues for one point of an Einsum, in passes where its operands are wider than the unit."""
    ops = cascade.wide_ops(einsum.name)
    return tuple(name for op, bits in ops for name in issued(unit, op, bits))


def cycles_per_point(unit: Unit, ops: tuple[str, ...]) -> int:
    """Issue cycles for one iteration point on one PE; a fused chain takes its slowest member's cycles."""
    return sum(max(unit.cost(op).cycles for op in group) for group in issue_ops(unit, ops))


def latency_cycles(
    cascade: Cascade, unit: Unit, einsum: Einsum, node: Compute, extents: Mapping[str, int]
) -> int:
    """Cycles from the end of issue until the results of a tile of `extents` can be used.

    What lies along a dimension and is reduced takes what the unit states; where it states nothing for any
    op, it comes together two by two, a cycle each time.
    """
    extra = max((unit.cost(op).latency_cycles for op in issued_ops(cascade, unit, einsum)), default=0)
    reducing = "add" if einsum.reduce == "sum" else einsum.reduce or ""
    if "mac" in einsum.ops and reducing == "add":
        reducing = "mac"
    rows = list(unit.dims)[-1] if unit.kind == "vector" else "rows"
    for dim, ranks in node.spatial.items():
        across = [rank for rank in ranks if rank in einsum.reduced]
        if across:
            span = min(math.prod(extents[rank] for rank in across), unit.dims[dim])
            stated = unit.reduction_latency_cycles
            extra += (stated.get(reducing, 0) if dim == rows else 0) if stated else (span - 1).bit_length()
    if unit.fill == "exposed":
        extra += sum(unit.dims.get(dim, 1) - 1 for dim in ("rows", "cols"))
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


def array_cycles(
    cascade: Cascade, unit: Unit, einsum: Einsum, node: Compute, extents: Mapping[str, int]
) -> int:
    """Issue cycles for a tile: spatial ranks fold over the unit's dimensions, the others run in time."""
    if unit.convention:
        return _systolic_cycles(cascade, unit, einsum, node, extents)
    folds = math.prod(parts(unit, node, dim, extents) for dim in node.spatial if dim != "cores")
    placed = {rank for ranks in node.spatial.values() for rank in ranks}
    steps = _shares(unit, node, extents) * math.prod(
        extents[rank] for rank in einsum.ranks if rank not in placed
    )
    if unit.kind == "systolic" and node.stationarity != "output-stationary":
        steps = max(steps, unit.dims.get("rows", 1))  # the next stationary tile takes a cycle a row to load
    return folds * steps * max(1, cycles_per_point(unit, issued_ops(cascade, unit, einsum)))


def parts(unit: Unit, node: Compute, dim: str, extents: Mapping[str, int]) -> int:
    """Folds of a tile over one dimension; a rank that lies along the cores too is laid out core by core."""
    return -(-math.prod(_here(unit, node, rank, extents) for rank in node.spatial[dim]) // unit.dims[dim])


def _here(unit: Unit, node: Compute, rank: str, extents: Mapping[str, int]) -> int:
    """Points of a rank on one core, where it lies along the cores and another dimension."""
    return -(-extents[rank] // unit.dims["cores"]) if rank in cores_ranks(node) else extents[rank]


def _shares(unit: Unit, node: Compute, extents: Mapping[str, int]) -> int:
    """Points of the cores' ranks that one core walks in time: those that no other dimension has."""
    others = {rank for dim, ranks in node.spatial.items() if dim != "cores" for rank in ranks}
    ranks = [rank for rank in cores_ranks(node) if rank not in others]
    return -(-math.prod(extents[rank] for rank in ranks) // unit.dims["cores"]) if ranks else 1


def _systolic_cycles(
    cascade: Cascade, unit: Unit, einsum: Einsum, node: Compute, extents: Mapping[str, int]
) -> int:
    """Cycles of a tile by the unit's convention; each core walks its share of the cores' ranks in time."""
    placed = {rank for ranks in node.spatial.values() for rank in ranks}
    points = {
        dim: math.prod(_here(unit, node, rank, extents) for rank in ranks)
        for dim, ranks in node.spatial.items()
        if dim != "cores"
    }
    steps = _shares(unit, node, extents)
    steps *= math.prod(extents[rank] for rank in einsum.ranks if rank not in placed)
    tiles = Tiles(
        rows=unit.dims["rows"],
        cols=unit.dims["cols"],
        along_rows=points.get("rows", 1),
        along_cols=points.get("cols", 1),
        stream=steps * max(1, cycles_per_point(unit, issued_ops(cascade, unit, einsum))),
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
    *,
    resumes: bool = False,
) -> LeafCost:
    """Cost of one tile. `extents` gives the points of each rank; `residences` where each operand lives.

    `resumes`: earlier tiles have left partial sums of the same results, which are read first. The array adds
    up what passes it at once; each fold over a reduced rank of a stationary operand reads and writes them.
    """
    unit = machine.unit(node.unit)
    work = exploited(cascade, unit, einsum, extents)
    cycles = array_cycles(cascade, unit, einsum, node, work)
    issues = issued_ops(cascade, unit, einsum)
    points = math.prod(work[rank] for rank in einsum.ranks)
    actions: Counter[str] = Counter()
    for op in issues:
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
        if is_output:
            written = partial_writes(unit, einsum, node, work)
            times = (written - 1 + resumes, written)
        else:
            apart = home.memory != unit.name and (
                machine.memory(home.memory).copies > 1 or not machine.multicast
            )
            times = (_rereads(cascade, unit, node, access, extents, apart=apart), 0)
        if home.memory == unit.name:
            values = elements(cascade, access, extents)
            for kind, often in (("read", times[0] if is_output else 1), ("write", times[1])):
                if often:
                    actions[f"{unit.name}:register {kind}"] += values * often
            continue
        size = tile_bytes(cascade, machine, access, extents)
        laid = (*runs(cascade, machine, access, extents), steps(cascade, machine, access))
        accesses.append(_traffic(home.memory, tensor, (size * times[0], size * times[1]), laid))
        spilled = (math.ceil(size * times[0] * home.spill), math.ceil(size * times[1] * home.spill))
        if any(spilled):
            outer = machine.memory(home.memory).parent or home.memory
            accesses.append(_traffic(outer, tensor, spilled, laid))
    return LeafCost(
        cycles=cycles,
        accesses=tuple(accesses),
        actions=dict(actions),
        points=points,
        active_pe_cycles=points * max(1, cycles_per_point(unit, issues)),
    )


def _traffic(
    memory: str,
    tensor: str,
    size: tuple[int, int],
    laid: tuple[int, int, tuple[tuple[str, int], ...]],
) -> MemoryAccess:
    return MemoryAccess(
        memory=memory,
        tensor=tensor,
        read_bytes=size[0],
        write_bytes=size[1],
        run_bytes=laid[0],
        pitch_bytes=laid[1],
        steps=laid[2],
    )


def partial_writes(unit: Unit, einsum: Einsum, node: Compute, extents: Mapping[str, int]) -> int:
    """Times that a tile's results leave the array: once, or where an operand stays in it once for each fold
    over a dimension with reduced ranks, since all results of one fold pass before the next fold comes.
    """
    if node.stationarity == "output-stationary":
        return 1
    reducing = [
        dim for dim, ranks in node.spatial.items() if dim != "cores" and set(ranks) & set(einsum.reduced)
    ]
    return math.prod(parts(unit, node, dim, extents) for dim in reducing)


def _rereads(
    cascade: Cascade, unit: Unit, node: Compute, access: Access, extents: Mapping[str, int], *, apart: bool
) -> int:
    """Times an operand is streamed: once for each fold over a dimension whose ranks it does not have.

    Cores walk their share in time, as an array walks its other ranks: what stays there is not read again.
    Where cores read `apart`, each core that wants the operand reads it, as often as it folds itself.
    """
    has = relevant_ranks(cascade, access)
    lacking = [dim for dim, ranks in node.spatial.items() if dim != "cores" and not has & set(ranks)]
    cores = cores_ranks(node)
    shared = next((dim for dim in lacking if set(cores) & set(node.spatial[dim])), None)
    if not apart or shared is None or len(cores) > 1:
        times = math.prod(parts(unit, node, dim, extents) for dim in lacking)
        return times * wanting(unit, node, has, extents) if apart else times
    times = math.prod(parts(unit, node, dim, extents) for dim in lacking if dim != shared)
    full, more = divmod(extents[cores[0]], unit.dims["cores"])
    rest = math.prod(extents[rank] for rank in node.spatial[shared] if rank != cores[0])
    folds = [-(-points * rest // unit.dims[shared]) for points in (full + 1, full)]
    return times * (more * folds[0] + (unit.dims["cores"] - more) * folds[1])
