"""FPGA resources: blocks of a memory by geometry, totals, and the refusal of a design that does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from accel.parts import RESOURCES, Part, Shapes
from specs.errors import RuleError


def ceil_div(amount: int, unit: int) -> int:
    """The least number of units that hold the amount."""
    return -(-amount // unit)


def blocks(capacity_bytes: int, width_bits: int, shapes: Shapes) -> int:
    """Memory blocks of a buffer: the cheapest shape, columns to reach the width, rows to reach the depth."""
    depth = ceil_div(8 * capacity_bytes, width_bits)
    return min(ceil_div(width_bits, width) * ceil_div(depth, rows) for rows, width in shapes)


def total(needs: Iterable[Mapping[str, int]], copies: int = 1) -> dict[str, int]:
    """The sum of all needs, `copies` times, with every resource named."""
    listed = list(needs)
    return {resource: copies * sum(need.get(resource, 0) for need in listed) for resource in RESOURCES}


def check_fit(needs: Mapping[str, int], part: Part) -> None:
    """RuleError with the numbers when the part lacks a resource."""
    over = [
        f"needs {needs[key]:,} {label}, {part.name} has {part.resources[key]:,}"
        for key, label in RESOURCES.items()
        if needs[key] > part.resources[key]
    ]
    if over:
        raise RuleError("the design does not fit: " + " and ".join(over), at=("part",))
