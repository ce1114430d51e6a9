"""Which points of an Einsum touch what is there: what no point makes is never moved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

from einsim.dataflow.mask import Mask, mask_of
from einsim.workloads.cascade import Access, Cascade, Einsum, Index, SameBlock, Term
from einsim.workloads.points import MOST_STEPS, Linear, difference, projected


@lru_cache(maxsize=4096)
def touching(cascade: Cascade, einsum: Einsum, access: Access) -> Mask:
    """The points of an Einsum that touch what an access finds: what no point makes is never moved. Over 2**20
    places that other bounds than affine ones tie are not told apart.
    """
    own, maker, sizes = mask_of(cascade, einsum.ranks), cascade.producer(access.tensor), cascade.sizes
    if access == einsum.output or maker is None or maker.iterative:
        return own
    made, written = mask_of(cascade, maker.ranks), maker.output.indices
    places = {at.plain: to for at, to in zip(written, access.indices, strict=True) if at.plain}
    both = enumerate(zip(written, access.indices, strict=True))
    digits = {f"place {dim}": (at, to) for dim, (at, to) in both
              if len(at.terms) > 1 and all(term.coefficient > 0 for term in at.terms)}  # fmt: skip
    bounds = [_of_places(one, {name: at for name, (at, _) in digits.items()}) for one in made.linear]
    places |= {name: Index(to.terms, to.offset - at.offset) for name, (at, to) in digits.items()}
    sizes = {**sizes, **{name: 1 + _reach(at, sizes) for name, (at, _) in digits.items()}}
    linear, exact = projected(bounds, places, {rank: (0, size) for rank, size in sizes.items()})
    linear = [_put(one, places) for one in linear]
    lacking = own.lacking(linear, own.trim({}) or {})
    found = Mask(cascade, einsum.ranks, lacking) if lacking else own
    named = {rank for bound in made.blocks for side in (bound.left, bound.right) for rank in side.ranks}
    named |= {rank for coefficients, _ in bounds for rank in coefficients}
    within = {rank: f"{rank} of {maker.name}" for rank in sorted(named.difference(places))}
    tied = own.tied.union(*(places[rank].ranks for rank in named.intersection(places)))
    many = math.prod(sizes[rank] for rank in (*tied, *within))
    places |= {rank: Index((Term(1, name),)) for rank, name in within.items()}
    blocks = [_same(bound, places) for bound in made.blocks]
    if (exact and {*blocks} <= {*own.blocks}) or many > MOST_STEPS:
        return found
    linear = [_put(one, places) for one in bounds]
    every = Mask(cascade, einsum.ranks, linear, blocks, {name: sizes[rank] for rank, name in within.items()})
    return every if every.points({}, einsum.ranks) < found.points({}, einsum.ranks) else found


def _of_places(linear: Linear, digits: Mapping[str, Index]) -> Linear:
    """A constraint on the digits of a place as one on the place, by its name, less its offset."""
    coefficients, constant = linear
    for name, place in digits.items():
        terms = {term.rank: term.coefficient for term in place.terms}
        times = max(coefficients.get(rank, 0) // value for rank, value in terms.items())
        if times and all(coefficients.get(rank, 0) == value * times for rank, value in terms.items()):
            rest = {rank: value for rank, value in coefficients.items() if rank not in terms}
            coefficients = {**rest, name: times}
    return coefficients, constant


def _reach(index: Index, sizes: Mapping[str, int]) -> int:
    return sum(term.coefficient * (sizes[term.rank] - 1) for term in index.terms)


def _put(linear: Linear, places: Mapping[str, Index]) -> Linear:
    """A constraint with indices in place of its ranks."""
    found, constant = dict[str, int](), linear[1]
    for rank, value in linear[0].items():
        constant += value * places[rank].offset
        for term in places[rank].terms:
            found[term.rank] = found.get(term.rank, 0) + value * term.coefficient
    return found, constant


def _same(bound: SameBlock, places: Mapping[str, Index]) -> SameBlock:
    """Blocks with indices in place of their ranks."""
    sides = [_put(difference(side, Index(())), places) for side in (bound.left, bound.right)]
    left, right = (Index(tuple(Term(n, rank) for rank, n in many.items()), least) for many, least in sides)
    return SameBlock(left=left, right=right, lengths=bound.lengths)
