"""Operand widths: each primitive operation of an Einsum with the bits of the values that it works on."""

from __future__ import annotations

from collections.abc import Mapping

from einsim.workloads.einsum import Einsum
from einsim.workloads.expression import Access, Apply, Expr, Literal, nodes
from einsim.workloads.ops import position_rank, primitive

WideOp = tuple[str, tuple[int, ...]]
"""An op and the bits of its operands."""


def wide_ops(einsum: Einsum, bits: Mapping[str, int]) -> tuple[WideOp, ...]:
    """The ops of `einsum.ops` in the same order, each with its operands' bits; `bits` are those of tensors.

    A value that is made and used within the Einsum is as wide as the widest that went into it, a comparison's
    is one bit, and a constant or a position is as wide as what it meets.
    """
    expr = einsum.expr
    distinct = dict.fromkeys(node for node in nodes(expr) if isinstance(node, Apply))
    found = [
        (primitive(node.op), _operands(node, bits)) for node in distinct if position_rank(node.op) is None
    ]
    if einsum.reduce is None:
        return tuple(found)
    if einsum.reduce == "sum" and isinstance(expr, Apply) and expr.op == "mul":
        return (*found[:-1], ("mac", _operands(expr, bits)))
    return (*found, ("add" if einsum.reduce == "sum" else einsum.reduce, (value_bits(expr, bits),)))


def value_bits(expr: Expr, bits: Mapping[str, int]) -> int:
    """Bits of an expression's value; 0 for a constant."""
    if isinstance(expr, Access):
        return bits[expr.tensor]
    if isinstance(expr, Literal) or position_rank(expr.op) is not None:
        return 0
    if primitive(expr.op) == "cmp":
        return 1
    return max(_operands(expr, bits))


def _operands(node: Apply, bits: Mapping[str, int]) -> tuple[int, ...]:
    """What chooses in a selection is no operand of it."""
    args = node.args[1:] if node.op == "select" else node.args
    own = [value_bits(argument, bits) for argument in args]
    return tuple(one or max(own) for one in own)
