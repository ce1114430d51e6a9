"""What an op costs on operands of other widths than the unit is built for: passes of a narrower one.

An integer product of a by b bits on a multiplier of n by m takes ceil(a/n) x ceil(b/m) partial products,
the schoolbook method; sums, comparisons and selections go word by word. Of the widths that a unit has, the
one that is done first is taken, among equals the one with the least energy. Functions such as exp have no
such passes: they are made of other ops, where the unit says of which, or can't be had at that width.
"""

from __future__ import annotations

from collections.abc import Iterator

from einsim.accel.machine import Unit
from einsim.specs.errors import RuleError

PRODUCTS = ("mac", "mul")
BY_WORDS = ("add", "max", "min", "cmp", "select", "abs")
"""Ops that a narrow unit does word after word, with a carry or a flag between."""


MOST_PASSES = 2**12
"""Of a narrow op for a wide one: 1,024 bits by 16. A wider one is refused."""


def issued(unit: Unit, op: str, bits: tuple[int, ...]) -> tuple[str, ...]:
    """The ops that a unit issues for one op on operands of these widths, as `unit.cost` knows them.

    `bits` is 0 for an operand without a width of its own, such as a constant. RuleError where the unit has no
    such width and it can't be composed.
    """
    known: dict[tuple[str, tuple[int, ...]], tuple[str, ...]] = vars(unit).setdefault("issued", {})
    if (op, bits) not in known:
        known[op, bits] = _issued(unit, op, bits)
    return known[op, bits]


def _issued(unit: Unit, op: str, bits: tuple[int, ...]) -> tuple[str, ...]:
    unit.cost(op)  # it has the op
    most = max(bits, default=0)
    own = unit.ops[op]
    ways = list(_ways(unit, op, bits)) if most else [(op,)]
    if ways:
        return min(ways, key=lambda way: _key(unit, way))
    if own.made_of is not None:
        parts = own.made_of.items()
        return tuple(
            one for part, count in parts for _ in range(count) for one in issued(unit, part, (most, most))
        )
    widest = max(unit.bits)
    rule = f"{unit.name} has {op} for {widest} bits, of which a wider one can't be composed"
    raise RuleError(rule, got=most)


def lacks(unit: Unit, ops: tuple[tuple[str, tuple[int, ...]], ...]) -> str:
    """What keeps a unit from these ops, each on operands of its widths, or ""."""
    missing = dict.fromkeys(op for op, _ in ops if not unit.supports(op))
    if missing:
        return f"{unit.name} lacks {', '.join(missing)}"
    for op, bits in ops:
        try:
            issued(unit, op, bits)
        except RuleError as error:
            return f"{error.rule} (got {error.got})"
    return ""


def _ways(unit: Unit, op: str, bits: tuple[int, ...]) -> Iterator[tuple[str, ...]]:
    """Each width that the unit has the op for, repeated for as many passes as the operands need."""
    if not unit.bits:
        yield (op,)
        return
    wide = max(bits)
    given = sorted((bit or wide for bit in bits), reverse=True)
    for name, widths in _widths(unit, op):
        passes = [1] if wide <= min(widths) else []
        if op in PRODUCTS:
            a, b = (given[0], given[-1])
            passes = [-(-a // one) * -(-b // other) for one, other in dict.fromkeys((widths, widths[::-1]))]
        elif op in BY_WORDS:
            passes = [-(-wide // max(widths))]
        for count in passes:
            if count <= MOST_PASSES:
                yield (name,) * count


def _widths(unit: Unit, op: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """(name for `unit.cost`, widths of the two operands) of each form that the unit has of an op."""
    stated = unit.ops[op].by_bits
    for key in stated:
        one, _, other = key.partition("x")
        first, second = int(one), int(other or one)
        yield f"{op}@{key}", (max(first, second), min(first, second))
    for width in unit.bits:
        if str(width) not in stated and f"{width}x{width}" not in stated:
            yield op, (width, width)


def _key(unit: Unit, way: tuple[str, ...]) -> tuple[int, float, str]:
    cost = unit.cost(way[0])
    return len(way) * cost.cycles, len(way) * (cost.energy_pj or 0.0), way[0]
