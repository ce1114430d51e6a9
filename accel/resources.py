"""FPGA resources: blocks of a memory by geometry, totals, and the refusal of a design that does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from einsim.accel.machine import Machine
from einsim.accel.parts import RESOURCES, Part, Ram
from einsim.specs.errors import RuleError


def ceil_div(amount: int, unit: int) -> int:
    """The least number of units that hold the amount."""
    return -(-amount // unit)


def blocks(capacity_bytes: int, width_bits: int, rams: Iterable[Ram]) -> int:
    """Memory blocks of a buffer: the cheapest shape, columns to reach the width, rows to reach the depth."""
    depth = ceil_div(8 * capacity_bytes, width_bits)
    return min(
        ceil_div(width_bits, wide) * ceil_div(depth, deep)
        for ram in rams
        if ram.per_block == 1
        for deep, wide in ram.shapes
    )


def packed_blocks(depth: int, width_bits: int, rams: Iterable[Ram]) -> int:
    """Memory blocks that Yosys makes of a simple dual-port memory of `depth` words of `width_bits`.

    Unlike in `blocks`, pieces of several rows stand side by side in one block, each filled up to whole
    write enables. The cheapest geometry is taken: blocks at their cost, and half a point for each output
    bit that is selected between rows and for each row's write decoder.
    Source: Yosys 0.70, passes/memory/memory_libmap.cc (rule and weights).
    """
    best, count = float("inf"), 0
    for ram in rams:
        for deep, wide in ram.shapes:
            rows = ceil_div(depth, deep)
            for byte in ram.byte_bits:
                enable = min(byte, wide)
                needed = ceil_div(rows * enable * ceil_div(width_bits, enable), wide)
                selecting = (rows - 1) * width_bits + (rows if rows > 1 else 0)
                cost = ram.cost * needed + 0.5 * selecting
                if cost < best:
                    best, count = cost, ceil_div(needed, ram.per_block)
    return count


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


def on_part(machine: Machine, part: Part, needs: dict[str, int]) -> Machine:
    """The machine with what it takes of its part, which says its technology and source where it doesn't."""
    return msgspec.structs.replace(
        machine, resources=needs, technology=machine.technology or part.device,
        sources={**machine.sources, "part": machine.sources.get("part", part.source)},
    )  # fmt: skip
