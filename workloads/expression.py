"""The right-hand side of an Einsum: affine indices, accesses, literals and operators, as frozen values."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import msgspec

from einsim.workloads.ops import position_rank, primitive


class Term(msgspec.Struct, frozen=True):
    """`coefficient * rank` inside an index."""

    coefficient: int
    rank: str


class Index(msgspec.Struct, frozen=True, dict=True):
    """An affine index: the sum of its terms plus a constant; no terms means a constant index."""

    terms: tuple[Term, ...]
    offset: int = 0

    @cached_property
    def ranks(self) -> tuple[str, ...]:
        """Ranks of the terms, in the order written."""
        return tuple(term.rank for term in self.terms)

    @property
    def plain(self) -> str | None:
        """The rank's name when the index is that rank and nothing else, otherwise None."""
        if len(self.terms) == 1 and self.terms[0].coefficient == 1 and self.offset == 0:
            return self.terms[0].rank
        return None


class Access(msgspec.Struct, frozen=True, dict=True):
    """One element of a tensor, chosen by one index a dimension."""

    tensor: str
    indices: tuple[Index, ...]

    @cached_property
    def ranks(self) -> tuple[str, ...]:
        """Distinct ranks of all indices, in the order written."""
        return tuple(dict.fromkeys(rank for index in self.indices for rank in index.ranks))

    @cached_property
    def apart(self) -> bool:
        """Whether each point of its ranks has an element of its own, as no index has two and none stays."""
        terms = [term for index in self.indices for term in index.terms]
        alone = all(len(index.terms) < 2 for index in self.indices) and len(terms) == len(self.ranks)
        return alone and all(term.coefficient for term in terms)


class Literal(msgspec.Struct, frozen=True):
    """A constant value."""

    value: float


class Apply(msgspec.Struct, frozen=True):
    """A scalar operator on expressions; `op`: one of `ops.OPS`, or prune[2:4,i] or position[m]."""

    op: str
    args: tuple[Expr, ...]


Expr = Access | Literal | Apply


def nodes(expr: Expr) -> Iterator[Expr]:
    """Every node, arguments before the operator that uses them, left to right."""
    if isinstance(expr, Apply):
        for argument in expr.args:
            yield from nodes(argument)
    yield expr


def accesses(expr: Expr) -> tuple[Access, ...]:
    """Distinct accesses in the order written."""
    return tuple(dict.fromkeys(node for node in nodes(expr) if isinstance(node, Access)))


def expression_ranks(expr: Expr) -> tuple[str, ...]:
    """Distinct ranks of all accesses and positions in the order written."""
    found: dict[str, None] = {}
    for node in nodes(expr):
        if isinstance(node, Access):
            found.update(dict.fromkeys(node.ranks))
        elif isinstance(node, Apply) and (rank := position_rank(node.op)):
            found[rank] = None
    return tuple(found)


def expression_ops(expr: Expr, reduce: str | None) -> tuple[str, ...]:
    """Primitive operations of one iteration point, in order.

    A repeated sub-expression counts once. A summed product is a "mac": the outermost mul and the sum are one.
    """
    distinct = dict.fromkeys(node for node in nodes(expr) if isinstance(node, Apply))
    ops = [primitive(node.op) for node in distinct if position_rank(node.op) is None]
    if reduce == "sum":
        if isinstance(expr, Apply) and expr.op == "mul":
            return (*ops[:-1], "mac")
        return (*ops, "add")
    return tuple(ops) if reduce is None else (*ops, reduce)
