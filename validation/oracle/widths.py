"""The ops that a unit issues for one point: one each, or several where operands are wide.

An operand's width is its tensor's; a value made inside the Einsum has that of its widest operand, a
comparison one bit, a constant that of its neighbour. A product of slices is one pass; other arithmetic goes
slice by slice; a function is had whole or is made of others.
"""

from __future__ import annotations

from collections.abc import Iterator

from einsim.accel.machine import Unit
from einsim.validation.oracle.points import applied, primitive
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.expression import Access, Apply, Expr

SLICED = {"add", "max", "min", "cmp", "select", "abs"}


def issues(cascade: Cascade, unit: Unit, einsum: Einsum) -> tuple[str, ...]:
    """Names for `unit.cost`, in order; an op that the unit can't do so wide is there as if it could."""
    found: list[str] = []
    for op, left, right in _operations(cascade, einsum):
        found += _passes(unit, op, left, right) or [op]
    return tuple(found)


def too_wide(cascade: Cascade, unit: Unit, einsum: Einsum) -> Iterator[str]:
    """What the unit can't do because of its operands' widths."""
    for op, left, right in _operations(cascade, einsum):
        if op in unit.ops and not _passes(unit, op, left, right):
            yield f"{unit.name} can't do {op} on {left} bits"


def _operations(cascade: Cascade, einsum: Einsum) -> Iterator[tuple[str, int, int]]:
    """(op, bits of its widest operand, of its narrowest)."""

    def width(expr: Expr) -> int:
        if isinstance(expr, Access):
            return cascade.tensor(expr.tensor).bits
        if not isinstance(expr, Apply) or expr.op.startswith("position["):
            return 0
        return 1 if primitive(expr.op) == "cmp" else max(sides(expr))

    def sides(node: Apply) -> list[int]:
        own = [width(argument) for argument in node.args[1 if node.op == "select" else 0 :]]
        return [bits or max(own) for bits in own]

    summed = einsum.reduce == "sum" and isinstance(einsum.expr, Apply) and einsum.expr.op == "mul"
    for node in dict.fromkeys(applied(einsum.expr)):
        if not node.op.startswith("position["):
            op = "mac" if summed and node == einsum.expr else primitive(node.op)
            yield op, max(sides(node)), min(sides(node))
    if einsum.reduce and not summed:
        bits = width(einsum.expr)
        yield {"sum": "add"}.get(einsum.reduce, einsum.reduce), bits, bits


def _passes(unit: Unit, op: str, left: int, right: int) -> list[str]:
    """The quickest way, [] where there is none."""
    if not unit.bits or not left:
        return [op]
    forms = {f"{op}@{key}": tuple(map(int, key.split("x"))) * 2 for key in unit.ops[op].by_bits}
    own = [bits for bits in unit.bits if not {f"{op}@{bits}", f"{op}@{bits}x{bits}"} & set(forms)]
    if own:
        forms[op] = (max(own), max(own))
    ways: list[list[str]] = []
    for name, (first, second, *_) in forms.items():
        for one, other in ((first, second), (second, first)):
            if op in ("mac", "mul"):
                times = len(range(0, left, one)) * len(range(0, right, other))
            elif op in SLICED:
                times = len(range(0, left, max(one, other)))
            else:
                times = int(left <= min(one, other))
            if times:
                ways.append([name] * times)
    if ways:
        return min(ways, key=lambda way: (_cycles(unit, way), _energy(unit, way), way[0]))
    parts = [_passes(unit, part, left, left) * count for part, count in (unit.ops[op].made_of or {}).items()]
    return [name for part in parts for name in part] if all(parts) else []


def _cycles(unit: Unit, way: list[str]) -> int:
    return sum(unit.cost(name).cycles for name in way)


def _energy(unit: Unit, way: list[str]) -> float:
    return len(way) * (unit.cost(way[0]).energy_pj or 0.0)
