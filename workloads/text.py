"""A cascade as text that `einsim.workloads.notation.parse` reads back to the same cascade."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from einsim.workloads.bound import Bound, SameBlock
from einsim.workloads.einsum import Einsum, Partition, Tensor
from einsim.workloads.expression import Access, Apply, Expr, Index, Literal, expression_ranks
from einsim.workloads.ops import position_rank, prune_parts
from einsim.workloads.sparsity import NM, Block, Dense, Density, RunLength, Sparsity, TopK

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_STRENGTH = {"add": 1, "sub": 1, "mul": 2, "div": 2}
_COMPARE = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}


def cascade_text(
    name: str, sizes: Mapping[str, int], partitions: Iterable[Partition], tensors: Iterable[Tensor],
    initial: Mapping[str, float], declared: Iterable[str], bounds: Iterable[Bound | SameBlock],
    einsums: Sequence[Einsum],
) -> str:  # fmt: skip
    """The whole cascade: ranks, partitions, tensors, state, outputs, bounds, then one Einsum a line."""
    lines = [
        f"cascade {name}",
        "rank " + ", ".join(f"{rank} = {size}" for rank, size in sizes.items()),
    ]
    lines += [f"{part.rank} -> {', '.join(part.into)}" for part in partitions]
    lines += [tensor_text(tensor) for tensor in tensors]
    lines += [f"initial {tensor} = {number_text(value)}" for tensor, value in initial.items()]
    lines += [f"output {tensor}" for tensor in declared]
    lines += [f"where {bound_text(bound, sizes)}" for bound in bounds]
    width = max((len(access_text(einsum.output, sizes)) for einsum in einsums), default=0)
    lines += [einsum_text(einsum, sizes, width) for einsum in einsums]
    return "\n".join(lines) + "\n"


def tensor_text(tensor: Tensor) -> str:
    """A tensor's declaration."""
    subscript = f"[{','.join(tensor.ranks)}]"
    sparse = sparsity_text(tensor.sparsity)
    return f"tensor {tensor.name}{subscript} bits {tensor.bits}" + (f" sparse {sparse}" if sparse else "")


def sparsity_text(sparsity: Sparsity) -> str:
    """As written after `sparse`: `2:4 e`, `topk 8:64 e`, `block 16 0.3 e`, `density 0.1`; "" when dense."""
    match sparsity:
        case Dense() | RunLength():  # which is what a memory makes of a density
            return ""
        case NM(n=n, m=m, rank=rank):
            return f"{n}:{m} {rank}"
        case TopK(k=k, of=of, rank=rank):
            return f"topk {k}:{of} {rank}"
        case Block(size=size, density=density, rank=rank):
            return f"block {size} {density!r} {rank}"
        case Density(density=density):
            return f"density {density!r}"


def einsum_text(einsum: Einsum, sizes: Mapping[str, int], width: int = 0) -> str:
    """One Einsum on one line; a summed product leaves its sum implied, as usual."""
    right = expr_text(einsum.expr, sizes)
    implied = tuple(rank for rank in expression_ranks(einsum.expr) if rank not in einsum.output.ranks)
    product = isinstance(einsum.expr, Apply) and einsum.expr.op == "mul"
    if einsum.reduce is not None and not (einsum.reduce == "sum" and product and implied == einsum.reduced):
        right = f"{einsum.reduce}[{','.join(einsum.reduced)}]({right})"
    return f"{access_text(einsum.output, sizes):<{width}} = {right}"


def bound_text(bound: Bound | SameBlock, sizes: Mapping[str, int]) -> str:
    """A bound as written after `where`."""
    left, right = index_text(bound.left, sizes), index_text(bound.right, sizes)
    if isinstance(bound, SameBlock):
        return f"same[{','.join(map(str, bound.lengths))}]({left}, {right})"
    return f"{left} <= {right}"


def access_text(access: Access, sizes: Mapping[str, int]) -> str:
    """A tensor and its indices."""
    if not access.indices:
        return access.tensor
    return f"{access.tensor}[{','.join(index_text(index, sizes) for index in access.indices)}]"


def index_text(index: Index, sizes: Mapping[str, int]) -> str:
    """An index, the size of a rank written in upper case where a coefficient is exactly that size."""
    text = ""
    for term in index.terms:
        sign = "-" if term.coefficient < 0 else "+" if text else ""
        factor = abs(term.coefficient)
        text += sign + (term.rank if factor == 1 else f"{term.rank}*{_stride_text(factor, index, sizes)}")
    if index.offset or not text:
        sign = "+" if text and index.offset >= 0 else ""
        text += f"{sign}{index.offset}"
    return text


def _stride_text(factor: int, index: Index, sizes: Mapping[str, int]) -> str:
    for term in index.terms:
        name = term.rank.upper()
        if term.coefficient == 1 and sizes.get(term.rank) == factor and name not in sizes:
            return name
    return str(factor)


def number_text(value: float) -> str:
    """A number that reads back to the same value."""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def expr_text(expr: Expr, sizes: Mapping[str, int], strength: int = 0) -> str:
    """An expression, in parentheses where it binds less tightly than `strength` asks."""
    if isinstance(expr, Literal):
        text = number_text(expr.value)
        return f"({text})" if text.startswith("-") and strength > 1 else text
    if isinstance(expr, Access):
        return access_text(expr, sizes)
    position = position_rank(expr.op)
    if position:
        return position
    if expr.op in _INFIX:
        own = _STRENGTH[expr.op]
        left, right = expr_text(expr.args[0], sizes, own), expr_text(expr.args[1], sizes, own + 1)
        text = f"{left} {_INFIX[expr.op]} {right}"
        return f"({text})" if own < strength else text
    if expr.op in _COMPARE:
        left, right = (expr_text(argument, sizes, 1) for argument in expr.args)
        return f"({left} {_COMPARE[expr.op]} {right})"
    pruned = prune_parts(expr.op)
    name = f"prune[{pruned[0]}:{pruned[1]},{pruned[2]}]" if pruned else expr.op
    return f"{name}({', '.join(expr_text(argument, sizes) for argument in expr.args)})"
