"""Pass analysis: how many traversals of a rank's fibres a cascade forces on every mapping of it.

A pass is one traversal of every element of a fibre; needing an element again after all the others of that
fibre were visited adds a pass (Nayak et al., FuseMax, MICRO 2024, arXiv 2406.10491). Reads are of two kinds:

- a *stream* read takes a value that exists as soon as its own part of the fibre was visited: an element, a
  block's partial result, or the state that an iterative rank carries along;
- a *barrier* read takes a value that exists only once the whole fibre was visited: a result from which the
  rank is gone, the last state, or the fibre in another order.

An element-wise function of a fibre counts as that fibre: it can be computed again only by reading it again.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from specs.errors import SpecError
from specs.near import near
from workloads.cascade import Cascade, Einsum
from workloads.expression import Access, Index, Term
from workloads.shape import radix

Parts = dict[tuple[Term, ...], str]


class PassReport(msgspec.Struct, frozen=True, kw_only=True):
    """`passes` over the rank's family, over each tensor read along it, and each Einsum's pass."""

    rank: str
    family: tuple[str, ...]
    passes: int
    tensors: dict[str, int]
    einsums: dict[str, int]


def family(cascade: Cascade, rank: str) -> tuple[str, ...]:
    """The rank, its parts, the rank it is a part of and that one's parts, in declared order."""
    sizes = {known.name: known.size for known in cascade.ranks}
    if rank not in sizes:
        raise SpecError("rank", f"unknown rank '{rank}'", where=cascade.source, hint=near(rank, sizes))
    groups = [{part.rank, *part.into} for part in cascade.partitions]
    for einsum in cascade.einsums:
        for access in (einsum.output, *einsum.reads):
            groups += [set(radix(index, sizes)) for index in access.indices]
    found, before = {rank}, set[str]()
    while found != before:
        before = set(found)
        found = found.union(*(group for group in groups if group & found))
    return tuple(name for name in sizes if name in found)


def passes(cascade: Cascade, rank: str) -> PassReport:
    """The least number of passes that any mapping of the cascade makes over fibres of a rank.

    Raises SpecError for a rank that the cascade doesn't have.
    """
    ranks = family(cascade, rank)
    einsums = pass_of(cascade, rank)
    tensors = {}
    for tensor in cascade.tensors:
        fibre = _carriers(cascade, tensor.name, set(ranks))
        levels = _levels(cascade, set(ranks), fibre.__contains__)
        if any(levels[name] for name in fibre):
            tensors[tensor.name] = max(levels[name] for name in fibre)
    return PassReport(
        rank=rank, family=ranks, passes=max(einsums.values(), default=0), tensors=tensors, einsums=einsums
    )


def pass_of(cascade: Cascade, rank: str) -> dict[str, int]:
    """The earliest pass, from 1, of every Einsum that iterates the rank's family; the others are left out.

    Einsums of different passes can't share a loop over the rank.
    """
    ranks = set(family(cascade, rank))
    walking = {einsum.name for einsum in cascade.einsums if ranks & set(einsum.ranks)}
    levels = _levels(cascade, ranks, walking.__contains__)
    return {einsum.name: levels[einsum.name] for einsum in cascade.einsums if einsum.name in walking}


def _carriers(cascade: Cascade, tensor: str, ranks: set[str]) -> set[str]:
    """Einsums that read the tensor's fibre, or one made of it element by element."""
    fibres, found = {tensor}, set[str]()
    grown = True
    while grown:
        reading = {
            einsum.name
            for einsum in cascade.einsums
            if any(read.tensor in fibres and ranks & set(read.ranks) for read in einsum.reads)
        }
        found |= reading
        kept = {name for name in reading if ranks & set(cascade.einsum(name).output.ranks)}
        grown = not kept <= fibres
        fibres |= kept
    return found


def _levels(cascade: Cascade, ranks: set[str], walks: Callable[[str], bool]) -> dict[str, int]:
    """Passes begun by the time each Einsum runs; `walks` tells the Einsums that need a pass of their own.

    An Einsum that doesn't walk the fibre runs after the passes that it waits for. Reads of a recurrence are
    stream reads, so the levels settle within one round an Einsum.
    """
    parts = _parts(cascade)
    levels = {einsum.name: int(walks(einsum.name)) for einsum in cascade.einsums}
    for _ in range(len(cascade.einsums) + 1):
        before = dict(levels)
        for einsum in cascade.einsums:
            for read in einsum.reads:
                producer = cascade.producer(read.tensor)
                if producer is None:
                    continue
                streams = (
                    walks(producer.name) and walks(einsum.name) and _streams(read, producer, ranks, parts)
                )
                waits = 0 if streams or not walks(einsum.name) else 1
                levels[einsum.name] = max(levels[einsum.name], levels[producer.name] + waits)
        if levels == before:
            return levels
    return levels


def _streams(read: Access, producer: Einsum, ranks: set[str], parts: Parts) -> bool:
    """Whether the value read exists as soon as its own part of the fibre was visited."""
    carried = False
    for written, index in zip(producer.output.indices, read.indices, strict=True):
        if not ranks & set(written.ranks):
            continue
        first = not index.terms and index.offset == 0
        # A window around the place written (t + r) visits the dimension in the order written too.
        if not first and not _walk(written, parts) <= _walk(index, parts):
            return False
        carried = True
    return carried


def _walk(index: Index, parts: Parts) -> set[Term]:
    """The terms, those of a partitioned rank's parts as that rank."""
    whole = parts.get(index.terms)
    return {Term(1, whole)} if whole else set(index.terms)


def _parts(cascade: Cascade) -> Parts:
    found = {}
    for part in cascade.partitions:
        stride, terms = 1, []
        for rank in reversed(part.into):
            terms.append(Term(stride, rank))
            stride *= cascade.size(rank)
        found[tuple(reversed(terms))] = part.rank
    return found
