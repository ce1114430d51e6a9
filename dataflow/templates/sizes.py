"""Tile sizes that the templates share."""

from __future__ import annotations


def divisors(number: int) -> tuple[int, ...]:
    """All divisors, ascending."""
    small = [value for value in range(1, int(number**0.5) + 1) if number % value == 0]
    return tuple(sorted({*small, *(number // value for value in small)}))
