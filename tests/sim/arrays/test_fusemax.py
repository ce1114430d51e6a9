"""Laws of FuseMax's program: the jump equals the walk, stalled costs R a tile, interleaving hides it."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.sim.arrays.fusemax import FuseMaxSpec, HeadShape, busy_cycles, fusemax_cycles, starts, tiles

size = st.integers(1, 40)


@settings(max_examples=120, deadline=None)
@given(
    rows=st.integers(1, 300),
    cols=size,
    depth=st.integers(1, 7),
    m=st.integers(1, 3000),
    p=size,
    e=size,
    f=size,
)
def test_the_jump_equals_the_walk(rows, cols, depth, m, p, e, f):
    spec, work = FuseMaxSpec(rows=rows, cols=cols, depth=depth), HeadShape(m=m, p=p, e=e, f=f)
    qk, sub, length = starts(spec, work)
    assert fusemax_cycles(spec, work) == length + rows + cols - 2
    assert all(two - one >= e + 1 + rows for one, two in zip(qk, sub, strict=True))  # RM is there
    spans = sorted([(s, s + e + 1) for s in qk] + [(s, s + 8 + f) for s in sub])
    assert all(one[1] <= two[0] for one, two in pairwise(spans))  # one operation at a time


@settings(deadline=None)  # the first call compiles
@given(rows=size, cols=size, m=st.integers(1, 200), p=size, e=size, f=size)
def test_stalled_tiles_take_their_work_and_one_column_of_waiting(rows, cols, m, p, e, f):
    spec, work = FuseMaxSpec(rows=rows, cols=cols), HeadShape(m=m, p=p, e=e, f=f)
    along_m, along_p = tiles(spec, work)
    each = (e + 1) + rows + (1 + 6 + 1 + f)
    assert fusemax_cycles(spec, work) == along_m * along_p * each + rows + cols - 2


@settings(deadline=None)  # the first call compiles
@given(rows=size, cols=size, m=st.integers(1, 400), p=size, e=size, f=size, depth=st.integers(1, 6))
def test_deeper_interleaving_is_never_slower_and_never_beats_the_work(rows, cols, m, p, e, f, depth):
    spec, work = FuseMaxSpec(rows=rows, cols=cols, depth=depth), HeadShape(m=m, p=p, e=e, f=f)
    count = tiles(spec, work)[0] * tiles(spec, work)[1]
    deeper = fusemax_cycles(msgspec.structs.replace(spec, depth=depth + 1), work)
    assert deeper <= fusemax_cycles(spec, work)
    assert deeper >= count * busy_cycles(work) + rows + cols - 2


def test_on_the_papers_array_enough_tiles_in_flight_reach_full_use_and_a_million_tokens_are_quick():
    work = HeadShape(m=1 << 20, p=1 << 20, e=64, f=64)
    count = 4096 * 4096
    stalled, two, four = (fusemax_cycles(FuseMaxSpec(rows=256, cols=256, depth=d), work) for d in (1, 2, 4))
    assert stalled == count * (64 + 1 + 256 + 8 + 64) + 510
    assert two < stalled / 1.9
    assert count * busy_cycles(work) <= four <= count * busy_cycles(work) + 1000
