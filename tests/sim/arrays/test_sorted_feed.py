"""Laws of an array behind its sorter: the sorter sets the pace, waits only add, N:M gives no speed-up in line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einsim.sim.arrays.gemm import CONVENTIONS, ArraySpec, Gemm
from einsim.sim.arrays.sorted_feed import slot_cycles, sorted_clocks
from einsim.sim.arrays.systolic import elapsed
from einsim.specs.errors import RuleError

PATTERNS = [(1, 4), (2, 4), (2, 8), (4, 4)]


@st.composite
def cases(draw):
    nm = draw(st.sampled_from(PATTERNS))
    array = ArraySpec(
        rows=draw(st.integers(1, 5)),
        cols=draw(st.integers(1, 5)),
        dataflow="output-stationary",
        convention=draw(st.sampled_from(CONVENTIONS)),
    )
    size = st.integers(1, 12)
    return array, Gemm(m=draw(size), n=draw(size), k=nm[1] * draw(st.integers(1, 4)), nm=nm)


@given(cases())
def test_the_array_is_never_faster_than_its_sorter_nor_than_itself(case):
    array, gemm = case
    slots = sum(slot_cycles(array, gemm))
    n, m = gemm.nm
    clocks = sorted_clocks(array, gemm)
    assert clocks >= elapsed(array, gemm)
    assert clocks >= slots // n * m + 1 + n  # m clocks a group, one to hand it over, n to take the last


@given(cases(), st.integers(0, 2**16))
def test_waits_never_make_it_faster(case, seed):
    array, gemm = case
    slots = sum(slot_cycles(array, gemm))
    n, m = gemm.nm
    gaps = [(seed >> (i % 16)) % 3 for i in range(slots // n * m)]
    assert sorted_clocks(array, gemm, waits={"in": gaps}) >= sorted_clocks(array, gemm)


def test_one_tile_by_hand():
    """2:8, two groups: sorted in 8 and 16, handed over in 17, last slot in 18, then 4 + 3 - 2 to drain."""
    array = ArraySpec(rows=4, cols=3, dataflow="output-stationary", convention="overlapped")
    assert sorted_clocks(array, Gemm(m=4, n=3, k=16, nm=(2, 8))) == 16 + 1 + 2 + 4 + 3 - 2


def test_pruning_in_line_takes_the_time_of_the_dense_gemm():
    array = ArraySpec(rows=4, cols=4, dataflow="output-stationary", convention="overlapped")
    dense = elapsed(array, Gemm(m=4, n=64, k=64))
    assert sorted_clocks(array, Gemm(m=4, n=64, k=64, nm=(2, 8))) >= dense


def test_what_it_does_not_cover_is_refused():
    array = ArraySpec(rows=2, cols=2, dataflow="output-stationary")
    with pytest.raises(RuleError, match="multiple of m = 4"):
        sorted_clocks(array, Gemm(m=2, n=2, k=6, nm=(2, 4)))
    with pytest.raises(RuleError, match="N:M"):
        sorted_clocks(array, Gemm(m=2, n=2, k=4))
