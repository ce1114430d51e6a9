"""What tiles touch is what visiting their points one by one finds: holes, overlaps and bounds included."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.dataflow.footprint import Use, touched
from einsim.dataflow.mask import Mask
from einsim.workloads.cascade import Access, Bound, Index, Term
from einsim.workloads.notation import parse

SIZES = {"m": 9, "p": 7, "q": 3}
PLAIN = parse("rank m = 9, p = 7, q = 3\nZ[m,p,q] = X[5*m+p+8,3*p+q+8] * Y[p,q]")


@st.composite
def indices(draw: st.DrawFn):
    ranks = draw(st.lists(st.sampled_from("mpq"), unique=True, max_size=2))
    terms = tuple(Term(draw(st.sampled_from([1, 1, 2, 3])), rank) for rank in ranks)
    return Index(terms=terms, offset=draw(st.integers(0, 4)))


@st.composite
def accesses(draw: st.DrawFn):
    return Access("X", (draw(indices()), draw(indices())))


@st.composite
def uses(draw: st.DrawFn):
    box = {}
    for rank, size in SIZES.items():
        start = draw(st.integers(0, size - 1))
        box[rank] = (start, draw(st.integers(1, size - start)))
    bounds = ()
    if draw(st.booleans()):
        offset = draw(st.integers(-3, 5))
        bounds = (Bound(Index((Term(1, "m"),)), Index((Term(1, "p"),), offset)),)
    mask = Mask(msgspec.structs.replace(PLAIN, bounds=bounds), SIZES)
    return Use(draw(accesses()), box, mask), bounds


def visited(use, bounds):
    found = set()
    for at in itertools.product(*(range(low, low + extent) for low, extent in use.box.values())):
        point = dict(zip(use.box, at, strict=True))

        def value(index, point=point):
            return index.offset + sum(term.coefficient * point[term.rank] for term in index.terms)

        if all(value(bound.left) <= value(bound.right) for bound in bounds):
            found.add(tuple(value(index) for index in use.access.indices))
    return found


@settings(max_examples=200)
@given(st.lists(uses(), min_size=1, max_size=4))
def test_elements_are_those_of_a_visit_each_counted_once(drawn):
    assert touched(PLAIN, [use for use, _ in drawn]) == len(set().union(*(visited(*one) for one in drawn)))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Z[i] = X[i] * X[i+512]", 1536),  # rows 0..1023 and 512..1535
        ("Z[i] = X[4*i]", 1024),  # every fourth
        ("Z[i] = X[i] * X[i+4096]", 2048),
    ],
)
def test_a_million_points_take_no_visit(text, count):
    cascade = parse(f"rank i = 1024\n{text}")
    box = {"i": (0, 1024)}
    assert touched(cascade, [Use(read, box) for read in cascade.einsums[0].reads]) == count


def test_a_step_of_a_state_that_a_constant_reads_is_no_dimension():
    """Last steps T[m,P] and T[m-p,P] read beside T[m,p] gave a traceback (drawn input 404:6070)."""
    work = parse(
        "initial T = 0\nT[m,p+1] = X[m,p] * T[m,p]\nZ[m] = T[m,P]", sizes={"m": 9, "p": 7}, name="last"
    )
    every, last = work.einsum("T").output, work.einsum("Z").reads[0]
    found = touched(work, [Use(every, {"m": (0, 4), "p": (2, 3)}), Use(last, {"m": (3, 5), "p": (0, 7)})])
    assert found == 8
