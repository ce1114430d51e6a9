"""What the notation leaves unsaid: sizes of partitioned ranks and the dimensions of undeclared tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workloads.cascade import Bound, Einsum, Partition, Tensor
from einsim.workloads.expression import Access, Index, Term
from einsim.workloads.shape import radix
from einsim.workloads.sparsity import DENSE, Sparsity

Wanted = tuple[tuple[str, ...] | None, int, Sparsity, str]
"""Declared ranks, bits, sparsity and place of a tensor."""


def settle_partitions(
    sizes: dict[str, int], partitions: Mapping[str, Partition], places: Mapping[str, str], source: str
) -> tuple[Bound, ...]:
    """Fill in the missing sizes; bounds that cut off the padding of a last part that isn't full."""
    padding = []
    for rank, part in partitions.items():
        where = places.get(f"-> {rank}", source)
        outer, *inner = part.into
        unknown = [name for name in inner if name not in sizes]
        if unknown:
            raise SpecError(
                f"ranks.{unknown[0]}", f"rank '{rank}' is split by it, so it needs a size", where=where
            )
        bad = [name for name in (*part.into, rank) if sizes.get(name, 1) < 1]
        if bad:
            raise SpecError(
                f"ranks.{bad[0]}", "must be >= 1", got=sizes[bad[0]], where=places.get(bad[0], where)
            )
        stride = math.prod(sizes[name] for name in inner)
        if rank not in sizes and outer not in sizes:
            raise SpecError(f"ranks.{rank}", f"'{rank}' or '{outer}' needs a size", where=where)
        sizes.setdefault(rank, stride * sizes.get(outer, 1))
        sizes.setdefault(outer, -(-sizes[rank] // stride))
        if sizes[outer] != -(-sizes[rank] // stride):
            rule = f"must be {-(-sizes[rank] // stride)}, as {rank} = {sizes[rank]} in parts of {stride}"
            raise SpecError(f"ranks.{outer}", rule, got=sizes[outer], where=places.get(outer, where))
        if sizes[outer] * stride != sizes[rank]:
            terms = []
            for name in part.into:
                terms.append(Term(stride, name))
                stride //= sizes[inner[len(terms) - 1]] if len(terms) <= len(inner) else 1
            padding.append(Bound(Index(tuple(terms)), Index((), sizes[rank] - 1)))
    return tuple(padding)


def declared_tensors(
    einsums: Sequence[Einsum],
    *,
    sizes: Mapping[str, int],
    partitions: Sequence[Partition],
    wanted: Mapping[str, Wanted],
    places: Mapping[str, str],
    pruned: Mapping[str, Sparsity],
) -> tuple[Tensor, ...]:
    """Every tensor, declared ones first, then in the order of appearance.

    An undeclared dimension takes the rank that indexes it, the partitioned rank for its parts, or the rank of
    the largest stride for any other sum.
    """
    seen: dict[str, list[tuple[Access, str]]] = {name: [] for name in wanted}
    for einsum in einsums:
        for access in (*einsum.reads, einsum.output):
            seen.setdefault(access.tensor, []).append((access, einsum.name))
    tensors = []
    for name, uses in seen.items():
        ranks, bits, sparsity, where = wanted.get(name, (None, 16, DENSE, ""))
        if not uses:
            hint = near(name, [other for other in seen if other not in wanted])
            raise SpecError(f"tensors.{name}", "no Einsum uses it", where=where, hint=hint)
        counts = {len(access.indices): user for access, user in reversed(uses)}
        if ranks is not None:
            unknown = [rank for rank in ranks if rank not in sizes]
            if unknown:
                rule = f"unknown rank '{unknown[0]}'"
                raise SpecError(f"tensors.{name}", rule, where=where, hint=near(unknown[0], sizes))
            counts.setdefault(len(ranks), "")
        if len(counts) > 1:
            expected = len(ranks) if ranks is not None else len(uses[0][0].indices)
            count, user = next((c, u) for c, u in counts.items() if c != expected)
            rule = f"tensor '{name}' has {expected} dimension{'s' * (expected != 1)} elsewhere"
            raise SpecError(f"einsums.{user}", rule, got=count, where=places[user])
        if ranks is None:
            ranks = _dimensions(name, uses, sizes, partitions, places)
        sparsity = pruned.get(name, DENSE) if sparsity == DENSE else sparsity
        if sparsity.rank and sparsity.rank not in ranks:
            rule = f"'{sparsity.rank}' is not a dimension of {name}"
            raise SpecError(f"tensors.{name}.sparse", rule, where=where, hint=near(sparsity.rank, ranks))
        tensors.append(Tensor(name, ranks, bits, sparsity))
    return tuple(tensors)


def _dimensions(
    name: str,
    uses: Sequence[tuple[Access, str]],
    sizes: Mapping[str, int],
    partitions: Sequence[Partition],
    places: Mapping[str, str],
) -> tuple[str, ...]:
    written = [access for access, user in uses if user == name and access.tensor == name]
    ordered = written + [access for access, _ in uses]
    ranks = []
    for axis in range(len(uses[0][0].indices)):
        candidates = [access.indices[axis] for access in ordered]
        best = next((i.plain for i in candidates if i.plain), None)
        best = best or next((_declared(i, sizes, partitions) for i in candidates if i.terms), None)
        if best is None:
            user = uses[0][1]
            rule = f"dimension {axis + 1} of '{name}' has no rank"
            hint = f"declare it: tensor {name}[...]"
            raise SpecError(f"einsums.{user}", rule, where=places[user], hint=hint)
        ranks.append(best)
    return tuple(ranks)


def _declared(index: Index, sizes: Mapping[str, int], partitions: Sequence[Partition]) -> str:
    into = radix(index, sizes)
    parent = next((part.rank for part in partitions if part.into == into), None)
    return parent or max(index.terms, key=lambda term: abs(term.coefficient)).rank
