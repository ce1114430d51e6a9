"""Shapes: how far a tensor's accesses reach along each dimension."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from einsim.workloads.cascade import Cascade
    from einsim.workloads.expression import Access, Index


def reach(index: Index, sizes: Mapping[str, int]) -> tuple[int, int]:
    """Smallest and largest value of an index over whole ranks."""
    low = high = index.offset
    for term in index.terms:
        span = term.coefficient * (sizes[term.rank] - 1)
        low, high = low + min(span, 0), high + max(span, 0)
    return low, high


def radix(index: Index, sizes: Mapping[str, int]) -> tuple[str, ...]:
    """Ranks of an index that walks one range as nested parts, outermost first; () when it isn't one.

    m1*256+m0 with m0 of size 256 is such an index: every value is met once.
    """
    if index.offset or len(index.terms) < 2:
        return ()
    terms = sorted(index.terms, key=lambda term: -term.coefficient)
    stride = 1
    for term in reversed(terms):
        if term.coefficient != stride:
            return ()
        stride *= sizes[term.rank]
    return tuple(term.rank for term in terms)


def accesses_of(cascade: Cascade, tensor: str) -> Iterator[Access]:
    """Every access to a tensor, its producer's write first."""
    producer = cascade.producer(tensor)
    if producer is not None:
        yield producer.output
    for einsum in cascade.einsums:
        yield from (access for access in einsum.reads if access.tensor == tensor)


def extent(index: Index, declared: str, cascade: Cascade) -> int:
    """Elements that an index needs along a dimension declared over a rank.

    A partition of the declared rank never passes its end: the part beyond is cut off by a bound.
    """
    sizes = {rank.name: rank.size for rank in cascade.ranks}
    into = radix(index, sizes)
    if any(part.into == into and sizes[part.rank] == sizes[declared] for part in cascade.partitions):
        return sizes[declared]
    return reach(index, sizes)[1] + 1


def tensor_shape(cascade: Cascade, tensor: str) -> tuple[int, ...]:
    """The declared ranks' sizes, or as far as an access reaches."""
    ranks = cascade.tensor(tensor).ranks
    shape = [cascade.size(rank) for rank in ranks]
    for access in accesses_of(cascade, tensor):
        for axis, index in enumerate(access.indices):
            shape[axis] = max(shape[axis], extent(index, ranks[axis], cascade))
    return tuple(shape)
