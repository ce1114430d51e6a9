"""Laws of the specs: sizes, names and N:M ratios are checked at birth, and folds cover the GEMM."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.sim.arrays.gemm import CONVENTIONS, DATAFLOWS, ArraySpec, Gemm, fold
from einsim.specs.errors import RuleError
from einsim.workloads.sparsity import kept_in_groups

size = st.integers(1, 60)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gemm(m=0, n=1, k=1), r"m: must be an integer >= 1 \(got 0\)"),
        (lambda: Gemm(m=1, n=1.5, k=1), r"n: must be an integer >= 1 \(got 1.5\)"),
        (lambda: Gemm(m=1, n=1, k=True), r"k: must be an integer >= 1 \(got true\)"),
        (lambda: Gemm(m=1, n=1, k=4, nm=(3, 2)), r"nm: must be \[n, m\] with 1 <= n <= m"),
        (lambda: ArraySpec(rows=1, cols=0, dataflow=DATAFLOWS[0]), r"cols: must be an integer >= 1"),
        (lambda: ArraySpec(rows=1, cols=1, dataflow="ws"), r"dataflow: must be one of output-stationary"),
        (
            lambda: ArraySpec(rows=1, cols=1, dataflow=DATAFLOWS[0], convention="exact"),
            r"convention: must be one of scale-sim",
        ),
    ],
)
def test_wrong_specs_are_refused(make, message):
    with pytest.raises(RuleError, match=message):
        make()


@settings(deadline=None)  # the first call compiles
@given(k=size, m=st.integers(1, 12), data=st.data())
def test_kept_slots_are_those_of_each_group(k, m, data):
    n = data.draw(st.integers(1, m))
    by_group = sum(min(n, len(range(g, min(g + m, k)))) for g in range(0, k, m))
    assert kept_in_groups(n, m, k) == by_group
    assert kept_in_groups(m, m, k) == k


@settings(deadline=None)  # the first call compiles
@given(m=size, n=size, k=size, rows=size, cols=size, dataflow=st.sampled_from(DATAFLOWS))
def test_the_tiles_of_a_fold_cover_the_gemm_and_no_more(m, n, k, rows, cols, dataflow):
    spec = ArraySpec(rows=rows, cols=cols, dataflow=dataflow, convention=CONVENTIONS[0])
    laid = fold(spec, Gemm(m=m, n=n, k=k))
    assert laid.along_rows * laid.along_cols * laid.stream == m * n * k
    assert (laid.row_tiles - 1) * rows < laid.along_rows <= laid.row_tiles * rows
    assert (laid.col_tiles - 1) * cols < laid.along_cols <= laid.col_tiles * cols
