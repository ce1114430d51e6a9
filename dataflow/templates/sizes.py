"""Tile sizes and rank roles that the templates share."""

from __future__ import annotations

from einsim.workloads.cascade import Cascade


def divisors(number: int) -> tuple[int, ...]:
    """All divisors, ascending."""
    small = [value for value in range(1, int(number**0.5) + 1) if number % value == 0]
    return tuple(sorted({*small, *(number // value for value in small)}))


def outer_ranks(cascade: Cascade, einsum: str, inner: tuple[str, ...]) -> tuple[str, ...]:
    """Ranks of an Einsum's output that are not among `inner`: batch-like ranks, outermost first."""
    return tuple(rank for rank in cascade.einsum(einsum).output.ranks if rank not in inner)
