"""Tile sizes that the templates share."""

from __future__ import annotations

import math

from einsim.accel.machine import Machine
from einsim.dataflow.forms import compressed
from einsim.workloads.cascade import Cascade
from einsim.workloads.sparsity import group_size


def divisors(number: int) -> tuple[int, ...]:
    """All divisors, ascending."""
    small = [value for value in range(1, math.isqrt(number) + 1) if number % value == 0]
    return tuple(sorted({*small, *(number // value for value in small)}))


def group_along(cascade: Cascade, machine: Machine, rank: str) -> int:
    """Points of a rank that tiles take together, so that they cut no group of which an Einsum prunes, or by
    which the machine stores a tensor.
    """
    sizes = [einsum.group(rank) for einsum in cascade.einsums]
    for einsum in cascade.einsums:
        for access in (einsum.output, *einsum.reads):
            tensor = cascade.tensor(access.tensor)
            if compressed(machine, tensor) and tensor.sparsity.rank in tensor.ranks:
                along = access.indices[tensor.ranks.index(tensor.sparsity.rank)]
                sizes += [group_size(tensor.sparsity)] if along.plain == rank else []
    return math.lcm(*sizes)


def flat_tile(cascade: Cascade, ranks: tuple[str, ...], size: int) -> dict[str, int]:
    """Tile sizes of ranks that together hold about `size` points: the innermost rank fills first."""
    tiles = {}
    for rank in reversed(ranks):
        tiles[rank] = min(cascade.size(rank), max(1, size))
        size //= tiles[rank]
    return {rank: tiles[rank] for rank in ranks}


def steps(unit_dim: int, total: int) -> tuple[int, ...]:
    """Tile sizes to try along one dimension: the array's width times powers of two, up to the whole."""
    found, size = [], min(unit_dim, total)
    while size < total:
        found.append(size)
        size *= 2
    return (*found, total)


def extent_of(cascade: Cascade, ranks: tuple[str, ...]) -> int:
    """Points of several ranks together."""
    return math.prod(cascade.size(rank) for rank in ranks)
