"""What bounds leave of a tile is what visiting its points one by one finds."""

from __future__ import annotations

import itertools
import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.dataflow.cut import _hull
from einsim.dataflow.mask import Mask, _narrow
from einsim.workloads.cascade import Bound, Index, SameBlock, Term
from einsim.workloads.notation import parse

SIZES = {"m": 12, "p": 10, "q": 3}
PLAIN = parse("rank m = 12, p = 10, q = 3\nZ[m,p,q] = A[m,p] * B[p,q]")


def index(terms: dict[str, int], offset: int = 0) -> Index:
    return Index(terms=tuple(Term(value, rank) for rank, value in terms.items()), offset=offset)


@st.composite
def bounds(draw: st.DrawFn):
    found = []
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            left, right = draw(st.sampled_from([("m", "p"), ("p", "m"), ("m", "q")]))
            found.append(
                Bound(
                    index({left: draw(st.integers(1, 2))}, draw(st.integers(-6, 6))),
                    index({right: draw(st.integers(1, 2))}),
                )
            )
        elif draw(st.booleans()):
            found.append(Bound(index({}, draw(st.integers(0, 8))), index({draw(st.sampled_from("mp")): 1})))
        else:
            lengths = draw(st.sampled_from([(4,), (1, 3, 5), (2, 6)]))
            found.append(SameBlock(index({"m": 1}), index({"p": 1}, draw(st.integers(0, 2))), lengths))
    return tuple(found)


@st.composite
def boxes(draw: st.DrawFn):
    box = {}
    for rank, size in SIZES.items():
        start = draw(st.integers(0, size - 1))
        box[rank] = (start, draw(st.integers(1, size - start)))
    return box


def kept(acting, point) -> bool:
    def value(side):
        return side.offset + sum(term.coefficient * point[term.rank] for term in side.terms)

    def block(bound, at):
        start = number = 0
        while start + bound.lengths[min(number, len(bound.lengths) - 1)] <= at:
            start += bound.lengths[min(number, len(bound.lengths) - 1)]
            number += 1
        return number

    return all(
        block(bound, value(bound.left)) == block(bound, value(bound.right))
        if isinstance(bound, SameBlock)
        else value(bound.left) <= value(bound.right)
        for bound in acting
    )


def visited(acting, box):
    ranges = [range(start, start + extent) for start, extent in box.values()]
    points = (dict(zip(box, at, strict=True)) for at in itertools.product(*ranges))
    return [point for point in points if kept(acting, point)]


@settings(max_examples=160)
@given(bounds(), boxes())
def test_points_and_their_box_are_those_of_a_visit(acting, box):
    mask = Mask(msgspec.structs.replace(PLAIN, bounds=acting), SIZES)
    points = visited(acting, box)
    assert mask.points(box, SIZES) == len(points)
    trimmed = mask.trim(box)
    if points:
        for rank in SIZES:
            low, extent = trimmed[rank]
            here = {point[rank] for point in points}
            assert low <= min(here)
            assert max(here) < low + extent
            if len(acting) == 1 and isinstance(acting[0], Bound):
                assert (low, low + extent - 1) == (min(here), max(here))
    if mask.whole(box):
        assert len(points) == math.prod(extent for _, extent in box.values())


@settings(max_examples=160)
@given(bounds(), boxes(), st.sets(st.sampled_from("mpq"), min_size=1))
def test_places_of_some_ranks_are_those_that_a_point_has(acting, box, mine):
    """A point has to keep all bounds at once: of a rank between two others not one value for each."""
    mask = Mask(msgspec.structs.replace(PLAIN, bounds=acting), SIZES)
    places = {tuple(point[rank] for rank in mine) for point in visited(acting, box)}
    assert mask.points(box, mine) == len(places)


@settings(max_examples=160)
@given(bounds(), boxes(), st.sampled_from("mp"), st.integers(1, 4))
def test_iterations_that_nothing_cuts_differently_are_alike(acting, box, rank, tile):
    mask = Mask(msgspec.structs.replace(PLAIN, bounds=acting), SIZES)
    own = box.pop(rank)
    box.pop("q")
    uneven = mask.uneven((rank,), tile, own, box)
    seen = {}
    for at in range(-(-own[1] // tile)):
        if any(first <= at < stop for first, stop in uneven):
            continue
        start, extent = own[0] + at * tile, min(tile, own[1] - at * tile)
        points = visited(acting, {**box, rank: (start, extent), "q": (0, SIZES["q"])})
        moved = [{**point, rank: point[rank] - start} for point in points]
        assert seen.setdefault(extent, moved) == moved


@pytest.mark.parametrize(("ranks", "acts"), [(("m",), False), (("m", "p"), True), (("p",), False)])
def test_a_bound_on_two_ranks_acts_on_what_iterates_both(ranks, acts):
    mask = Mask(msgspec.structs.replace(PLAIN, bounds=(Bound(index({"m": 1}), index({"p": 1})),)), ranks)
    assert bool(mask) == acts


def test_a_loop_over_what_several_ranks_make_together_is_no_rank_of_a_bound():
    assert _hull({"c*j": (0, 2)}, {"c*j": (2, 2)}, {}) == {"c*j": (0, 4)}
    assert _hull({"p": (1, 2)}, {}, {"p": 8}) == {"p": (0, 8)}


def test_a_rank_that_cancels_in_a_bound_cuts_nothing():
    # drawn input 11:385 divided by it
    ends = {"m": (0, 7), "p": (0, 7)}
    assert _narrow(({"m": 0, "p": -1}, 3), ends)
    assert ends == {"m": (0, 7), "p": (0, 3)}
