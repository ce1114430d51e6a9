"""What a reader of a result should know of its mapping: products that no matrix unit computes."""

from __future__ import annotations

from einsim.accel.machine import Machine
from einsim.dataflow.mapping import Compute, Mapping, walk
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.expression import Apply, Expr, expression_ranks, nodes


def remarks(mapping: Mapping, cascade: Cascade, machine: Machine) -> tuple[str, ...]:
    """A note for each sum of products that a vector unit computes because other ops stand beside it."""
    matrix = [unit.name for unit in machine.matrix_units if unit.supports("mac")]
    found = []
    for leaf in (node for node, _ in walk(mapping.tree) if isinstance(node, Compute)):
        einsum, unit = cascade.einsum(leaf.einsum), machine.unit(leaf.unit)
        if matrix and unit.kind == "vector" and _hides_a_product(einsum):
            others = ", ".join(dict.fromkeys(op for op in einsum.ops if op not in ("mul", "add", "mac")))
            found.append(
                f"{einsum.name} sums a product of two tensors with {others or 'more'} beside it, so "
                f"{unit.name} computes all of it; as an Einsum of its own the product would run on "
                f"{matrix[0]}"
            )
    return tuple(found)


def _hides_a_product(einsum: Einsum) -> bool:
    """Whether a matrix product is a part of an Einsum that is none itself."""
    if einsum.reduce != "sum" or einsum.contracts:
        return False
    return any(isinstance(node, Apply) and _multiplies(node, einsum) for node in nodes(einsum.expr))


def _multiplies(node: Apply, einsum: Einsum) -> bool:
    if node.op != "mul":
        return False
    one, other = (_ranks(side, einsum) for side in node.args)
    kept = set(einsum.output.ranks)
    return bool(one & other & set(einsum.reduced) and (one - other) & kept and (other - one) & kept)


def _ranks(expr: Expr, einsum: Einsum) -> set[str]:
    return set(expression_ranks(expr)) & set(einsum.ranks)
