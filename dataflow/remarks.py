"""What a reader of a result should know of its mapping: products that no matrix unit computes, groups of a
sparse operand that its tiles cut.
"""

from __future__ import annotations

from einsim.accel.machine import Machine
from einsim.dataflow.leaf import skippable, skips, sparse_rank
from einsim.dataflow.mapping import Compute, Loop, Mapping, walk
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.expression import Apply, Expr, expression_ranks, nodes
from einsim.workloads.sparsity import group_size


def remarks(mapping: Mapping, cascade: Cascade, machine: Machine) -> tuple[str, ...]:
    """A note for each sum of products that a vector unit computes because other ops stand beside it, and for
    each unit that skips less than it could.
    """
    matrix = [unit.name for unit in machine.matrix_units if unit.supports("mac")]
    found = []
    for leaf, above in walk(mapping.tree):
        if not isinstance(leaf, Compute):
            continue
        einsum, unit = cascade.einsum(leaf.einsum), machine.unit(leaf.unit)
        for rank, sparsity in skips(cascade, unit, einsum, cascade.sizes):
            tile = min(
                (node.tile for node in above if isinstance(node, Loop) and node.rank == rank), default=0
            )
            if tile % group_size(sparsity):
                less = "computes all of it" if sparsity.kept(tile) == tile else "skips less than it could"
                found.append(
                    f"tiles of {tile} along {rank} cut groups of {group_size(sparsity)} that are sparse, so "
                    f"{unit.name} {less} in {einsum.name}"
                )
        for access in einsum.reads if "mac" in einsum.ops else ():
            pattern = cascade.tensor(access.tensor).sparsity
            if pattern.rank and skippable(cascade, unit, access) and sparse_rank(cascade, access) is None:
                found.append(
                    f"several ranks walk the sparse dimension of {access.tensor} together, so {unit.name} "
                    f"computes all of it in {einsum.name}"
                )
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
