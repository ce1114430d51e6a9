"""Twin ranks: ranks that always stand together, which are one rank in all but name.

A batch of b and h, tokens of b and p, queries of g and p (grouped queries share their keys): whether there is
one such rank or several changes nothing about what a cascade is.
"""

from __future__ import annotations

from collections.abc import Iterable

from einsim.workloads.cascade import Bound, Cascade, Einsum, SameBlock
from einsim.workloads.expression import Access, Apply, nodes
from einsim.workloads.ops import position_rank, prune_parts

Classes = tuple[tuple[str, ...], ...]


def twins(cascade: Cascade, einsums: tuple[Einsum, ...], bounds: Iterable[Bound | SameBlock]) -> Classes:
    """The ranks that these Einsums iterate, each with its twins: outermost first, one under a mask last.

    Twins index the same tensors, in every access of one the same axis and by nothing but themselves, and the
    same Einsums reduce them. A rank of a partition or of one of the bounds has none.
    """
    accesses = [access for einsum in einsums for access in (einsum.output, *einsum.reads)]
    fixed = _fixed(accesses)
    alone = _alone(einsums, accesses) | {rank for part in cascade.partitions for rank in part.into}
    alone |= {rank for bound in bounds for side in (bound.left, bound.right) for rank in side.ranks}
    groups: dict[object, list[str]] = {}
    for rank in dict.fromkeys(rank for einsum in einsums for rank in einsum.ranks):
        axes = fixed.get(rank, {})
        reduced = frozenset(einsum.name for einsum in einsums if rank in einsum.reduced)
        together = (frozenset(axes), reduced) if axes and rank not in alone else rank
        groups.setdefault(together, []).append(rank)
    masked = {rank for bound in cascade.bounds for side in (bound.left, bound.right) for rank in side.ranks}

    def place(rank: str) -> tuple[bool, int, int]:
        return rank in masked, sum(fixed.get(rank, {}).values()), cascade.size(rank)

    return tuple(tuple(sorted(group, key=place)) for group in groups.values())


def _fixed(accesses: list[Access]) -> dict[str, dict[str, int]]:
    """The axis of each tensor that a rank, and it alone, indexes in every access."""
    seen: dict[tuple[str, int], set[str | None]] = {}
    for access in accesses:
        for axis, index in enumerate(access.indices):
            seen.setdefault((access.tensor, axis), set()).add(index.plain)
    found: dict[str, dict[str, int]] = {}
    for (tensor, axis), ranks in seen.items():
        (rank, *others) = ranks
        if rank is not None and not others:
            found.setdefault(rank, {})[tensor] = axis
    return found


def _alone(einsums: tuple[Einsum, ...], accesses: list[Access]) -> set[str]:
    """Ranks that somewhere index otherwise: beside others, twice, at another axis, or as a position."""
    fixed = _fixed(accesses)
    found = set[str]()
    for access in accesses:
        for axis, index in enumerate(access.indices):
            found.update(rank for rank in index.ranks if fixed.get(rank, {}).get(access.tensor) != axis)
    for einsum in einsums:
        for op in (node.op for node in nodes(einsum.expr) if isinstance(node, Apply)):
            rank = position_rank(op) or (prune_parts(op) or (0, 0, ""))[2]
            found.add(rank)
    return found
