"""Tile sizes that the templates share."""

from __future__ import annotations

import math

from einsim.workloads.cascade import Cascade


def divisors(number: int) -> tuple[int, ...]:
    """All divisors, ascending."""
    small = [value for value in range(1, int(number**0.5) + 1) if number % value == 0]
    return tuple(sorted({*small, *(number // value for value in small)}))


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
