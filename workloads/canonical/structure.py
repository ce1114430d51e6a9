"""A cascade as a graph: ranks, tensors with their axes, Einsums, accesses, terms, operators and bounds.

Names are nowhere in it. Sizes, widths, formats, offsets, strides, literals and the order of axes are details,
which a form leaves out and an identity takes in.
"""

from __future__ import annotations

import math

from einsim.workloads.canonical.graph import Graph
from einsim.workloads.canonical.twins import Classes, twins
from einsim.workloads.cascade import Bound, Cascade, Einsum, Partition, SameBlock
from einsim.workloads.expression import Access, Apply, Expr, Index, Literal, Term
from einsim.workloads.ops import position_rank, prune_parts
from einsim.workloads.points import difference

#: Operators whose operands may change places and be regrouped.
REGROUPED = frozenset(("add", "mul", "max", "min"))
SWAPPED = frozenset(("eq", "ne"))
#: Comparisons read from the other side.
TURNED = {"gt": "lt", "ge": "le"}


class Structure:
    """The graph, and what its vertices are. `apart` keeps twin ranks apart; `bounds` takes in masks."""

    def __init__(self, cascade: Cascade, einsums: tuple[Einsum, ...], *, bounds: bool, apart: bool) -> None:
        self.cascade = cascade
        self.graph = Graph(first="made")  # of mirror images, those whose results lie alike correspond
        self._made = {einsum.name for einsum in einsums}
        self.masks = masks(cascade, einsums)
        self.ranks: dict[int, tuple[str, ...]] = {}
        self.tensors: dict[int, str] = {}
        self.einsums: dict[int, str] = {}
        taken = self.masks if bounds else ()
        classes: Classes = twins(cascade, einsums, taken)
        if apart:
            classes = tuple((rank,) for group in classes for rank in group)
        self._rank: dict[str, int] = {}
        for group in classes:
            sizes = tuple(cascade.size(rank) for rank in group)
            vertex = self.graph.vertex("rank", detail=sizes)
            self.ranks[vertex] = group
            self._rank |= dict.fromkeys(group, vertex)
        self._first = {rank: group[0] for group in classes for rank in group}
        self._tensor: dict[str, int] = {}
        self._axis: dict[tuple[str, int], int] = {}
        self._partitions()
        for einsum in einsums:
            self._einsum(einsum)
        for bound in taken:
            self._bound(bound)

    def _partitions(self) -> None:
        for part in self.cascade.partitions:
            if not any(rank in self._rank for rank in part.into):
                continue
            vertex = self.graph.vertex("partition", detail=(self.cascade.size(part.rank),))
            if part.rank in self._rank:
                self.graph.edge(vertex, self._rank[part.rank], "whole")
            for digit, rank in enumerate(part.into):
                if rank in self._rank:
                    self.graph.edge(vertex, self._rank[rank], "digit", digit)

    def _einsum(self, einsum: Einsum) -> None:
        graph = self.graph
        vertex = graph.vertex("einsum", einsum.reduce or "", tuple(sorted(einsum.ops)))
        self.einsums[vertex] = einsum.name
        known: dict[Access, int] = {}
        graph.edge(vertex, self._access(einsum.output), "writes")
        graph.edge(vertex, self._expression(einsum.expr, known), "value")
        for rank in einsum.reduced:
            if self._first[rank] == rank:
                graph.edge(vertex, self._rank[rank], "reduces")

    def _expression(self, expr: Expr, known: dict[Access, int]) -> int:
        graph = self.graph
        if isinstance(expr, Access):
            if expr not in known:
                known[expr] = self._access(expr)
            return known[expr]
        if isinstance(expr, Literal):
            return graph.vertex("literal", detail=(expr.value,))
        if rank := position_rank(expr.op):
            vertex = graph.vertex("position")
            graph.edge(vertex, self._rank[rank], "along")
            return vertex
        if pruned := prune_parts(expr.op):
            vertex = graph.vertex("prune", detail=pruned[:2])
            graph.edge(vertex, self._rank[pruned[2]], "along")
            graph.edge(vertex, self._expression(expr.args[0], known), "operand")
            return vertex
        op, operands = expr.op, expr.args
        if op in TURNED:
            op, operands = TURNED[op], operands[::-1]
        vertex = graph.vertex("op", op)
        loose = op in REGROUPED or op in SWAPPED
        for place, operand in enumerate(_regrouped(expr) if op in REGROUPED else operands):
            graph.edge(vertex, self._expression(operand, known), "operand", 0 if loose else place)
        return vertex

    def _access(self, access: Access) -> int:
        graph = self.graph
        vertex = graph.vertex("access")
        graph.edge(vertex, self._tensor_vertex(access.tensor), "of")
        declared = self.cascade.tensor(access.tensor).ranks
        for axis, index in enumerate(access.indices):
            rank = index.plain
            if rank is not None and self._first[rank] != rank:
                continue  # a twin's axis is part of the first one's
            size = self.cascade.size(declared[axis])
            slot = graph.vertex("index", _shift(index, size), detail=(index.offset,))
            graph.edge(vertex, slot, "at")
            graph.edge(slot, self._axis_vertex(access.tensor, axis), "axis")
            self._terms(slot, index.terms, "term")
        return vertex

    def _terms(self, vertex: int, terms: tuple[Term, ...], label: str) -> None:
        digits = _digits(self.cascade, terms)
        for term in terms:
            kind = digits.get(term.rank) or _stride(term.coefficient)
            self.graph.edge(vertex, self._rank[term.rank], label, kind, detail=(term.coefficient,))

    def _tensor_vertex(self, name: str) -> int:
        if name not in self._tensor:
            tensor, initial = self.cascade.tensor(name), self.cascade.initial
            state = "state" if name in initial else ""
            leaves = name in self._made and self.cascade.is_output(name)
            detail = (tensor.bits, repr(initial.get(name)), leaves, _format(self.cascade, name))
            vertex = self.graph.vertex("tensor", state, detail=detail)
            self._tensor[name], self.tensors[vertex] = vertex, name
        return self._tensor[name]

    def _axis_vertex(self, tensor: str, axis: int) -> int:
        key = (tensor, axis)
        if key not in self._axis:
            kind = "made" if tensor in self._made else "given"
            self._axis[key] = self.graph.vertex(kind, detail=(axis,))
            self.graph.edge(self._tensor[tensor], self._axis[key], "has")
        return self._axis[key]

    def _bound(self, bound: Bound | SameBlock) -> None:
        if isinstance(bound, SameBlock):
            vertex = self.graph.vertex("block", detail=bound.lengths)
            for side in (bound.left, bound.right):
                part = self.graph.vertex("side", detail=(side.offset,))
                self.graph.edge(vertex, part, "side")
                self._bound_terms(part, side.terms)
            return
        coefficients, constant = difference(bound.right, bound.left)
        vertex = self.graph.vertex("bound", detail=(constant,))
        self._bound_terms(vertex, tuple(Term(value, rank) for rank, value in coefficients.items()))

    def _bound_terms(self, vertex: int, terms: tuple[Term, ...]) -> None:
        for positive in (True, False):
            own = tuple(term for term in terms if (term.coefficient > 0) == positive)
            inside = tuple(term for term in own if term.rank in self._rank)
            self._terms(vertex, inside, "above" if positive else "below")


def masks(cascade: Cascade, einsums: tuple[Einsum, ...]) -> tuple[Bound | SameBlock, ...]:
    """The bounds on ranks of these Einsums; what cuts off a partition's padding is none."""
    ranks = {rank for einsum in einsums for rank in einsum.ranks}
    paddings = {padding for part in cascade.partitions for padding in _paddings(cascade, part)}
    return tuple(
        bound for bound in cascade.bounds
        if bound not in paddings and ranks & {*bound.left.ranks, *bound.right.ranks}
    )  # fmt: skip


def _paddings(cascade: Cascade, part: Partition) -> tuple[Bound]:
    strides = [math.prod(map(cascade.size, part.into[at + 1 :])) for at in range(len(part.into))]
    terms = tuple(Term(stride, rank) for stride, rank in zip(strides, part.into, strict=True))
    return (Bound(Index(terms), Index((), cascade.size(part.rank) - 1)),)


def _digits(cascade: Cascade, terms: tuple[Term, ...]) -> dict[str, str]:
    """Ranks of the terms that walk a partitioned rank, each with its digit."""
    own = {term.rank: abs(term.coefficient) for term in terms}
    for part in cascade.partitions:
        strides = [math.prod(map(cascade.size, part.into[at + 1 :])) for at in range(len(part.into))]
        if all(own.get(rank) == stride for rank, stride in zip(part.into, strides, strict=True)):
            return {rank: f"digit {at}" for at, rank in enumerate(part.into)}
    return {}


def _stride(coefficient: int) -> str:
    sign = "-" if coefficient < 0 else "+"
    return f"{sign}1" if abs(coefficient) == 1 else sign


def _shift(index: Index, size: int) -> str:
    """What an offset says whatever the sizes are: the first, the last state, a neighbour, or some place."""
    if not index.terms:
        return "first" if index.offset == 0 else "end" if index.offset == size else "place"
    if all(abs(term.coefficient) == 1 for term in index.terms):
        return str(index.offset)
    return "shifted" if index.offset else "0"


def _regrouped(expr: Apply) -> tuple[Expr, ...]:
    """Operands of a chain of one operator."""
    found: list[Expr] = []
    for operand in expr.args:
        same = isinstance(operand, Apply) and operand.op == expr.op
        found += _regrouped(operand) if same and isinstance(operand, Apply) else (operand,)
    return tuple(found)


def _format(cascade: Cascade, name: str) -> tuple[object, ...]:
    """Sparsity without the rank's name: the axis that it runs along."""
    tensor = cascade.tensor(name)
    sparsity = tensor.sparsity
    axis = tensor.ranks.index(sparsity.rank) if sparsity.rank in tensor.ranks else -1
    figures = tuple(getattr(sparsity, field) for field in sparsity.__struct_fields__ if field != "rank")
    return (type(sparsity).__name__, axis, *figures)
