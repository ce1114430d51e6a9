"""Point counts equal counting by hand, also in a tile, and don't depend on size."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.specs.errors import SpecError
from einsim.workloads.library import build
from einsim.workloads.notation import parse
from einsim.workloads.points import block_starts, count

COEFFICIENT = st.sampled_from([-3, -2, -1, 1, 2, 3])


@st.composite
def systems(draw: st.DrawFn):
    names = "xyzw"[: draw(st.integers(1, 4))]
    box = {}
    for name in names:
        low = draw(st.integers(-4, 4))
        box[name] = (low, low + draw(st.integers(0, 5)))
    constraints = []
    for _ in range(draw(st.integers(0, 3))):
        ranks = draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
        constraints.append(({rank: draw(COEFFICIENT) for rank in ranks}, draw(st.integers(-8, 8))))
    return box, constraints


def by_hand(box, constraints):
    points = itertools.product(*(range(*bounds) for bounds in box.values()))
    named = (dict(zip(box, point, strict=True)) for point in points)
    return sum(all(sum(v * p[r] for r, v in c.items()) + k >= 0 for c, k in constraints) for p in named)


@settings(max_examples=120, deadline=None)
@given(systems())
def test_a_count_equals_visiting_every_point(system):
    assert count(*system) == by_hand(*system)


def causal_points(m: int) -> int:
    return m * (m + 1) // 2


def test_a_causal_million_by_million_is_counted_at_once():
    cascade = build("attention", seq="1M", causal=True, b=1, h=1, e=1)
    start = time.perf_counter()
    assert cascade.points("GM") == causal_points(2**20)
    assert time.perf_counter() - start < 0.1


def visible(m, p, *, causal, window, block):
    return (
        (not causal or m <= p)
        and (not window or (p - m < window and (causal or m - p < window)))
        and (not block or m // block == p // block)
    )


MASKS = st.fixed_dictionaries(
    {
        "causal": st.booleans(),
        "window": st.one_of(st.none(), st.integers(1, 12)),
        "block": st.one_of(st.none(), st.integers(1, 12)),
    }
)


@settings(max_examples=48, deadline=None)
@given(MASKS, st.integers(1, 14), st.integers(1, 6), st.data())
def test_masked_attention_has_the_points_of_its_mask_in_any_tile(mask, seq, m0, data):
    documents = {"documents": (mask["block"],)} if mask["block"] else {}
    given_ = {"causal": mask["causal"], "window": mask["window"], **documents}
    cascade = build("attention", passes=1, seq=seq, m0=m0, b=1, h=1, e=1, **given_)
    m0, m1 = cascade.size("m0"), cascade.size("m1")
    tile = {}
    for rank, size in (("m1", m1), ("m0", m0), ("p", seq)):
        start = data.draw(st.integers(0, size))
        tile[rank] = (start, data.draw(st.integers(start, size)))

    def seen(m, p):
        return m < seq and visible(m, p, **mask)

    inside = itertools.product(*(range(*tile[rank]) for rank in ("m1", "m0", "p")))
    assert cascade.points("LM", tile) == sum(seen(a * m0 + b, p) for a, b, p in inside)
    whole = itertools.product(range(m1), range(seq))
    blocks = sum(any(seen(a * m0 + b, p) for b in range(m0)) for a, p in whole)
    assert cascade.points("RM") == blocks


@settings(max_examples=24, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.integers(1, 16),
)
def test_two_partitioned_sides_of_a_block_bound_count_every_pair_once(a, b, lengths, size):
    text = f"""
        rank m = {size}, m0 = {a}, p = {size}, p0 = {b}
        m -> m1, m0
        p -> p1, p0
        where same[{",".join(map(str, lengths))}](m, p)
        P[m1,p1] = X[m1] * Y[p1]
    """
    cascade = parse(text)
    starts = block_starts(tuple(lengths), 40)

    def touched(outer, part):
        return {sum(start <= outer * part + i for start in starts) for i in range(part)}

    pairs = itertools.product(range(cascade.size("m1")), range(cascade.size("p1")))
    assert cascade.points("P") == sum(bool(touched(i, a) & touched(j, b)) for i, j in pairs)


def test_tiles_of_a_whole_add_up_to_it():
    cascade = build("attention", seq=100, causal=True, window=37, b=2, h=1, e=3)
    tiles = itertools.product(range(0, 100, 7), range(0, 100, 11))
    parts = (cascade.points("QK", {"m": (m, m + 7), "p": (p, p + 11)}) for m, p in tiles)
    assert sum(parts) == cascade.points("QK")


def test_a_bound_on_ranks_of_one_side_leaves_the_other_einsums_whole():
    cascade = build("attention", seq=8, causal=True, b=1, h=1, e=1)
    assert cascade.points("AV") == causal_points(8)
    assert build("attention", passes=1, seq=8, m0=4, causal=True, b=1, h=1, e=1).points("AV") == 8


def test_bounds_that_cannot_be_counted_say_so():
    cascade = parse(
        "rank x = 4G, y = 4G, z = 4G\nwhere x + y <= z\nP[x,y,z] = A[x] * B[y] * C[z]".replace(
            "4G", "2097152"
        )
    )
    with pytest.raises(SpecError) as error:
        cascade.points("P")
    assert str(error.value) == "where: ties ranks x, y, z of over 2**20 values: too many to count"


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 30))
def test_blocks_start_where_the_lengths_before_end_and_the_last_length_repeats(lengths, stop):
    starts = block_starts(tuple(lengths), stop)
    steps = [b - a for a, b in itertools.pairwise(starts)]
    padded = lengths + [lengths[-1]] * len(steps)
    assert starts[0] == 0
    assert steps == padded[: len(steps)]
    assert starts[-1] >= stop
