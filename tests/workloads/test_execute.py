"""Numeric execution does what the notation says, on small cascades worked out by numpy alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.specs.errors import SpecError
from einsim.workloads.execute import execute, prune
from einsim.workloads.notation import parse

RNG = np.random.default_rng(7)


def run(text, **inputs):
    cascade = parse(text)
    return execute(cascade, inputs)


@settings(max_examples=16, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 7))
def test_a_product_over_a_shared_rank_is_a_matrix_product(m, k, n):
    a, b = RNG.normal(size=(m, k)), RNG.normal(size=(k, n))
    found = run(f"rank m = {m}, k = {k}, n = {n}\nZ[m,n] = A[m,k] * B[k,n]", A=a, B=b)
    np.testing.assert_allclose(found["Z"], a @ b, rtol=1e-12)


def test_transposes_diagonals_and_broadcasts():
    x = RNG.normal(size=(4, 4))
    found = run("rank i = 4, j = 4\nT[j,i] = X[i,j]\nD[i] = X[i,i]\nB[i,j] = D[i]\nS = X[i,j]", X=x)
    np.testing.assert_array_equal(found["T"], x.T)
    np.testing.assert_array_equal(found["D"], np.diag(x))
    np.testing.assert_array_equal(found["B"], np.broadcast_to(np.diag(x)[:, None], (4, 4)))
    np.testing.assert_allclose(found["S"], x.sum())
    assert found["S"].shape == ()


def test_a_rank_reduced_without_being_read_multiplies():
    found = run("rank i = 3, j = 5\nZ[i] = sum[j](X[i])\nC = sum[i](1)", X=np.arange(3.0))
    np.testing.assert_array_equal(found["Z"], 5 * np.arange(3.0))
    assert found["C"] == 3


def test_operators_follow_numpy():
    x, y = RNG.normal(size=9), RNG.uniform(0.5, 2, size=9)
    text = """
        rank i = 9
        A[i] = max(X[i], 0.25) - min(X[i], Y[i])
        B[i] = tanh(X[i]) * sqrt(Y[i]) + rsqrt(Y[i]) / log(Y[i] + 1)
        C[i] = abs(X[i]) if X[i] <= Y[i] else 1 - X[i] ** 2
        D[i] = (X[i] > 0) + (X[i] != Y[i]) * i
    """
    found = run(text, X=x, Y=y)
    np.testing.assert_allclose(found["A"], np.maximum(x, 0.25) - np.minimum(x, y))
    np.testing.assert_allclose(found["B"], np.tanh(x) * np.sqrt(y) + 1 / np.sqrt(y) / np.log(y + 1))
    np.testing.assert_allclose(found["C"], np.where(x <= y, np.abs(x), 1 - x**2))
    np.testing.assert_allclose(found["D"], (x > 0) + (x != y) * np.arange(9))


def test_an_iterative_rank_carries_its_state():
    x = RNG.normal(size=(6, 3))
    text = """
        rank t = 6, i = 3
        initial S = 0
        initial P = 1
        S[t+1,i] = S[t,i] * 0.5 + X[t,i]
        P[t+1] = P[t] * 2
        Z[i] = S[T,i] + P[T]
    """
    found = run(text, X=x)
    state = np.zeros(3)
    for row in x:
        state = state * 0.5 + row
    np.testing.assert_allclose(found["Z"], state + 64)


def test_a_recurrence_may_run_through_several_einsums_and_two_ranks():
    cost = RNG.uniform(size=(4, 5))
    text = """
        rank i = 4, j = 5
        initial D = 0
        B[i,j] = min(D[i,j+1], D[i+1,j])
        D[i+1,j+1] = C[i,j] + min(B[i,j], D[i,j])
    """
    found = run(text, C=cost)
    expected = np.zeros((5, 6))
    for i in range(4):
        for j in range(5):
            expected[i + 1, j + 1] = cost[i, j] + min(expected[i, j + 1], expected[i + 1, j], expected[i, j])
    np.testing.assert_allclose(found["D"], expected)


def test_points_outside_the_bounds_stay_out_of_reductions_and_states():
    x = RNG.normal(size=(5, 5))
    text = """
        rank m = 5, p = 5
        where m <= p
        initial R = -inf
        M[p] = max[m](X[m,p])
        S[p] = sum[m](X[m,p])
        E[m,p] = exp(X[m,p])
        R[m+1,p] = max(R[m,p], X[m,p])
    """
    found = run(text, X=x)
    upper = np.triu(np.ones((5, 5), bool))
    np.testing.assert_allclose(found["M"], np.where(upper, x, -np.inf).max(0))
    np.testing.assert_allclose(found["S"], np.where(upper, x, 0).sum(0))
    np.testing.assert_allclose(found["E"], np.where(upper, np.exp(x), 0))
    np.testing.assert_allclose(found["R"][-1], found["M"])


def test_parts_beyond_the_end_of_a_partitioned_rank_do_not_count():
    x = RNG.normal(size=10)
    text = """
        rank m = 10, m0 = 4
        m -> m1, m0
        tensor Y[m]
        L[m1] = max[m0](X[m])
        S = sum[m1,m0](X[m])
        Y[m] = X[m] * 2
    """
    found = run(text, X=x)
    np.testing.assert_allclose(found["L"], [x[:4].max(), x[4:8].max(), x[8:].max()])
    np.testing.assert_allclose(found["S"], x.sum())
    np.testing.assert_allclose(found["Y"], x * 2)


@settings(max_examples=24, deadline=None)
@given(st.integers(1, 20), st.integers(1, 8), st.data())
def test_pruning_keeps_the_largest_of_every_group(extent, group, data):
    kept = data.draw(st.integers(1, group))
    value = np.array(data.draw(st.lists(st.integers(-9, 9), min_size=extent, max_size=extent)), dtype=float)
    pruned = prune(value[None, :], kept, group, 1)[0]
    for start in range(0, extent, group):
        part, left = value[start : start + group], pruned[start : start + group]
        chosen = sorted(range(len(part)), key=lambda at: -abs(part[at]))[:kept]
        np.testing.assert_array_equal(left, [v if at in chosen else 0 for at, v in enumerate(part)])


def test_inputs_are_checked():
    cascade = parse("rank m = 3\nZ[m] = X[m]")
    for inputs, message in (
        ({}, "inputs.X: is missing; needs shape (3,)"),
        ({"X": np.zeros(4)}, "inputs.X: must have shape (3,) (got (4,))"),
        ({"X": np.zeros(3), "XX": np.zeros(3)}, "inputs.XX: is no input of the cascade; did you mean 'X'?"),
    ):
        with pytest.raises(SpecError) as error:
            execute(cascade, inputs)
        assert str(error.value) == message
