"""Which unit runs an Einsum, and which of its ranks lie along the unit's dimensions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import msgspec

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.footprint import relevant_ranks
from einsim.dataflow.leaf import array_cycles, exploited
from einsim.dataflow.mapping import Compute
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade, Einsum


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """Ranks of a contraction Z = A x B by where they occur: `m` in Z and A, `n` in Z and B, `k` reduced,
    `batch` in all three. An Einsum that is no contraction has all its output ranks in `batch`.
    """

    m: tuple[str, ...]
    n: tuple[str, ...]
    k: tuple[str, ...]
    batch: tuple[str, ...]
    a: str = ""
    b: str = ""


def roles(cascade: Cascade, einsum: Einsum) -> Roles:
    """Sort an Einsum's ranks; a rank of size 1 may end up anywhere."""
    if not einsum.contracts:
        return Roles(m=(), n=(), k=einsum.reduced, batch=einsum.output.ranks)
    first, second = einsum.reads
    in_a, in_b = relevant_ranks(cascade, first), relevant_ranks(cascade, second)
    outer = einsum.output.ranks
    return Roles(
        m=tuple(rank for rank in outer if rank in in_a and rank not in in_b),
        n=tuple(rank for rank in outer if rank in in_b and rank not in in_a),
        k=einsum.reduced,
        batch=tuple(rank for rank in outer if (rank in in_a) == (rank in in_b)),
        a=first.tensor,
        b=second.tensor,
    )


def place(
    cascade: Cascade,
    machine: Machine,
    einsum: Einsum,
    extents: Mapping[str, int],
    cores: tuple[str, ...] | None = None,
) -> Compute:
    """The unit and spatial layout with the fewest cycles for a tile; EinsimError when no unit has the ops.

    `cores` are ranks that must lie along the cores, where the unit has some.
    """
    best: tuple[float, int, Compute] | None = None
    able = [unit for unit in machine.units if all(unit.supports(op) for op in einsum.ops)]
    if not einsum.contracts:  # a matrix unit only where no vector unit has the ops
        able = [unit for unit in able if unit.kind == "vector"] or able
    if not able:
        missing = ", ".join(
            f"{unit.name} lacks {', '.join(op for op in dict.fromkeys(einsum.ops) if not unit.supports(op))}"
            for unit in machine.units
        )
        raise EinsimError(f"{machine.name}: no unit can compute Einsum {einsum.name} ({missing})")
    for order, unit in enumerate(able):
        clock = unit.clock_hz or machine.clock_hz
        work = exploited(cascade, unit, einsum, extents)
        for found in layouts(cascade, unit, einsum):
            node = found if cores is None or "cores" not in unit.dims else along_cores(found, cores)
            seconds = array_cycles(unit, einsum, node, work) / clock
            if best is None or seconds < best[0] * (1 - 1e-9):
                best = (seconds, order, node)
    assert best is not None
    return best[2]


def layouts(cascade: Cascade, unit: Unit, einsum: Einsum) -> Iterator[Compute]:
    """Every sensible way to lay an Einsum's ranks along a unit's dimensions."""
    part = roles(cascade, einsum)
    dims = list(unit.dims)
    if unit.kind == "vector":
        still = tuple(rank for rank in einsum.ranks if rank not in einsum.iterative)
        whole = tuple(rank for rank in part.batch or einsum.output.ranks if rank in still)
        spatial_choices = [(rank,) for rank in still] + [whole]
        for choice in dict.fromkeys(spatial_choices):
            yield Compute(
                einsum=einsum.name, unit=unit.name, spatial=_with_cores(unit, einsum, {dims[-1]: choice})
            )
        return
    pairs: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
    m, n = part.m or part.batch, part.n or part.batch
    if m == n:
        m, n = part.batch[:-1], part.batch[-1:]
    for stationarity, rows, cols in (
        ("output-stationary", m, n),
        ("output-stationary", n, m),
        ("weight-stationary", part.k, n),
        ("input-stationary", part.k, m),
    ):
        if not unit.dataflows or stationarity in unit.dataflows or unit.kind == "array":
            pairs.append((stationarity, rows, cols))
    for stationarity, rows, cols in pairs:
        spatial = {"rows": rows, "cols": cols}
        spatial = {dim: ranks for dim, ranks in spatial.items() if dim in unit.dims and ranks}
        yield Compute(
            einsum=einsum.name, unit=unit.name, stationarity=stationarity,
            spatial=_with_cores(unit, einsum, spatial),
        )  # fmt: skip


def _with_cores(
    unit: Unit, einsum: Einsum, spatial: dict[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Give the cores the output ranks that nothing else uses; else they share the first dimension's ranks."""
    if "cores" not in unit.dims:
        return spatial
    used = {rank for ranks in spatial.values() for rank in ranks}
    free = tuple(rank for rank in einsum.output.ranks if rank not in used and rank not in einsum.iterative)
    return {"cores": free, **spatial} if free else spatial


def along_cores(node: Compute, ranks: tuple[str, ...]) -> Compute:
    """The layout with these ranks along the cores."""
    rest = {dim: others for dim, others in node.spatial.items() if dim != "cores"}
    return msgspec.structs.replace(node, spatial={"cores": ranks, **rest} if ranks else rest)


def flat_tile(cascade: Cascade, ranks: tuple[str, ...], size: int) -> dict[str, int]:
    """Tile sizes of ranks that together hold about `size` points: the innermost rank fills first."""
    tiles = {}
    for rank in reversed(ranks):
        tiles[rank] = min(cascade.size(rank), max(1, size))
        size //= tiles[rank]
    return {rank: tiles[rank] for rank in ranks}


def steps(unit_dim: int, total: int) -> tuple[int, ...]:
    """Tile sizes to try along one dimension: the array's width times powers of two, up to the whole."""
    found = []
    size = min(unit_dim, total)
    while size < total:
        found.append(size)
        size *= 2
    return (*found, total)


def extent_of(cascade: Cascade, ranks: tuple[str, ...]) -> int:
    """Points of several ranks together."""
    return math.prod(cascade.size(rank) for rank in ranks)


__all__ = ["Roles", "extent_of", "flat_tile", "layouts", "place", "roles", "steps"]
