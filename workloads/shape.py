"""How far an index reaches over whole ranks."""

from __future__ import annotations

from collections.abc import Mapping

from einsim.workloads.expression import Index


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
