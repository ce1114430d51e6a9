"""Which points touch what is there, against all of them."""

from __future__ import annotations

import itertools

import pytest

from einsim.dataflow.made import touching
from einsim.workloads.notation import parse

SIZES = {"c": 3, "i": 2, "j": 2, "m": 3}


@pytest.mark.parametrize(
    ("read", "place"),
    [
        ("T1[2*c+i,m]", lambda at: 2 * at["c"] + at["i"]),
        ("T1[2*c+j,m]", lambda at: 2 * at["c"] + at["j"]),
        ("T1[2*c+i+1,m]", lambda at: 2 * at["c"] + at["i"] + 1),
        ("T1[4-2*c+j,m]", lambda at: 4 - 2 * at["c"] + at["j"]),
    ],
)
@pytest.mark.parametrize("bound", [4, 3])
def test_digits_that_a_bound_leaves_out_are_not_there_by_other_digits(read, place, bound):
    """What is made at 2*c+i up to a bound is read at other digits up to there (drawn input 303:23)."""
    text = f"rank c = 3, i = 2, j = 2, m = 3\nwhere 2*c+i <= {bound}\nT1[2*c+i,m] = X[2*c+i,m]\n"
    work = parse(text + f"T2[m] = {read} * W[m]", name="digits")
    einsum = work.einsum("T2")
    ranks = einsum.ranks
    points = [  # of a rank that T2 lacks the bound takes what leaves most
        dict(zip(ranks, at, strict=True)) for at in itertools.product(*(range(SIZES[r]) for r in ranks))
    ]
    there = sum(2 * at["c"] + at.get("i", 0) <= bound and place(at) <= bound for at in points)
    assert touching(work, einsum, einsum.reads[0]).points({}, ranks) == there
