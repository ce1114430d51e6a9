"""Laws of the stepped systolic arrays: outputs, cycles, activity, words, against numpy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.sim.arrays.gemm import CONVENTIONS, DATAFLOWS, ArraySpec, Gemm
from einsim.sim.arrays.sorter import prune
from einsim.sim.arrays.stepped import step
from einsim.sim.arrays.systolic import cycles, elapsed, traffic
from einsim.specs.errors import RuleError

OS, WS, IS = DATAFLOWS


def operands(rng, m, n, k, nm):
    a, b = rng.integers(-128, 128, (m, k)), rng.integers(-128, 128, (k, n))
    return a, b if nm is None else prune(b, nm)


def agree(array, a, b, nm):
    gemm = Gemm(m=a.shape[0], n=b.shape[1], k=a.shape[1], nm=nm)
    run, words = step(array, a, b, nm=nm), traffic(array, gemm)
    assert (run.outputs == a @ b).all(), (array, gemm)
    assert run.cycles == cycles(array, gemm), (array, gemm)
    assert len(run.macs_per_cycle) == elapsed(array, gemm)
    assert run.macs == gemm.macs
    found = (run.a_reads, run.b_reads, run.index_reads, run.writes)
    assert found == (words.a_reads, words.b_reads, words.index_reads, words.writes), (array, gemm)


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_stepped_equals_closed_form_on_400_random_shapes_each(dataflow, convention):
    # 3,600 shapes in all; the 1,200 with scale-sim are held to SCALE-Sim's forms by test_systolic.
    rng = np.random.default_rng([DATAFLOWS.index(dataflow), CONVENTIONS.index(convention)])
    for i in range(400):
        R, C, M, N, K, m = (int(x) for x in rng.integers(1, (13, 13, 20, 20, 12, 9)))
        nm = None if i % 2 else (int(rng.integers(1, m + 1)), m)
        array = ArraySpec(rows=R, cols=C, dataflow=dataflow, convention=convention)
        agree(array, *operands(rng, M, N, K, nm), nm)


@settings(max_examples=32, deadline=None)
@given(data=st.data())
def test_stepped_equals_closed_form_wherever_hypothesis_looks(data):
    size = st.integers(1, 40)
    nm = data.draw(st.none() | st.integers(1, 16).flatmap(lambda m: st.tuples(st.integers(1, m), st.just(m))))
    array = ArraySpec(
        rows=data.draw(st.integers(1, 20)),
        cols=data.draw(st.integers(1, 20)),
        dataflow=data.draw(st.sampled_from(DATAFLOWS)),
        convention=data.draw(st.sampled_from(CONVENTIONS)),
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    agree(array, *operands(rng, data.draw(size), data.draw(size), data.draw(size), nm), nm)


def twin_output(R, C, a, b):
    """One tile on an output-stationary array, one Python object a register; activity per cycle."""
    M, K, N = a.shape[0], a.shape[1], b.shape[1]
    right, down, acc = {}, {}, {(r, c): 0 for r in range(R) for c in range(C)}
    activity = []
    for cycle in range(R + C + K - 2):
        next_right, next_down, busy = {}, {}, 0
        for r in range(R):
            for c in range(C):
                k_left, k_top = cycle - r, cycle - c
                x = (a[r, k_left] if r < M and 0 <= k_left < K else None) if c == 0 else right.get((r, c - 1))
                y = (b[k_top, c] if c < N and 0 <= k_top < K else None) if r == 0 else down.get((r - 1, c))
                if x is not None and y is not None:
                    acc[r, c] += int(x) * int(y)
                    busy += 1
                next_right[r, c], next_down[r, c] = x, y
        right, down = next_right, next_down
        activity.append(busy)
    return np.array([[acc[r, c] for c in range(N)] for r in range(M)]), activity


def twin_weight(R, C, a, b):
    """One tile on a weight-stationary array: R cycles of loading, then the stream; activity per cycle."""
    M, K, N = a.shape[0], a.shape[1], b.shape[1]
    weight = {(r, c): int(b[r, c]) for r in range(K) for c in range(N)}
    right, total, out, activity = {}, {}, np.zeros((M, N), np.int64), [0] * R
    for cycle in range(R + C + M - 2):
        next_right, next_total, busy = {}, {}, 0
        for r in range(R):
            for c in range(C):
                j = cycle - r
                x = (a[j, r] if r < K and 0 <= j < M else None) if c == 0 else right.get((r, c - 1))
                product = 0
                if x is not None and (r, c) in weight:
                    product, busy = int(x) * weight[r, c], busy + 1
                next_right[r, c] = x
                next_total[r, c] = product + (total.get((r - 1, c), 0) if r else 0)
                j = cycle - (R - 1) - c
                if r == R - 1 and c < N and 0 <= j < M:
                    out[j, c] = next_total[r, c]
        right, total = next_right, next_total
        activity.append(busy)
    return out, activity


@settings(max_examples=20, deadline=None)
@given(R=st.integers(1, 6), C=st.integers(1, 6), data=st.data())
def test_a_tile_runs_as_in_a_plain_python_array_cycle_by_cycle(R, C, data):
    stream = data.draw(st.integers(1, 9))
    one, two = data.draw(st.integers(1, R)), data.draw(st.integers(1, C))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    a, b = rng.integers(-9, 9, (one, stream)), rng.integers(-9, 9, (stream, two))
    run = step(ArraySpec(rows=R, cols=C, dataflow=OS), a, b)
    out, activity = twin_output(R, C, a, b)
    assert (run.outputs == out).all()
    assert run.macs_per_cycle.tolist() == activity
    a, b = rng.integers(-9, 9, (stream, one)), rng.integers(-9, 9, (one, two))
    run = step(ArraySpec(rows=R, cols=C, dataflow=WS), a, b)
    out, activity = twin_weight(R, C, a, b)
    assert (run.outputs == out).all()
    assert run.macs_per_cycle.tolist() == activity
    turned = step(ArraySpec(rows=R, cols=C, dataflow=IS), b.T, a.T)
    assert (turned.outputs == out.T).all()
    assert turned.macs_per_cycle.tolist() == activity


def test_overlapped_tiles_keep_every_element_busy_between_fill_and_drain():
    rng = np.random.default_rng(5)
    for dataflow in DATAFLOWS:
        array = ArraySpec(rows=4, cols=4, dataflow=dataflow, convention="overlapped")
        run = step(array, rng.integers(-9, 9, (16, 16)), rng.integers(-9, 9, (16, 16)))
        lead = 4 if array.stationary else 0
        assert (run.macs_per_cycle[lead + 6 : -6] == 16).all()


def test_edge_aware_overhead_is_three_idle_cycles_before_and_two_after_each_tile():
    array = ArraySpec(rows=4, cols=4, dataflow=OS, convention="edge-aware")
    run = step(array, np.ones((8, 5), int), np.ones((5, 3), int))
    one = [*[0] * 3, *twin_output(4, 3, np.ones((4, 5)), np.ones((5, 3)))[1], 0, 0]
    assert run.macs_per_cycle.tolist() == one + one


@pytest.mark.parametrize("bits", [8, 16, 31, 32, 33, 48, 64])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_accumulators_wrap_as_registers_of_their_width(bits, dataflow):
    rng = np.random.default_rng(bits)
    a, b = rng.integers(-(2**27), 2**27, (3, 40)), rng.integers(-(2**27), 2**27, (40, 2))
    run = step(ArraySpec(rows=4, cols=3, dataflow=dataflow), a, b, accumulator_bits=bits)
    exact = a.astype(object) @ b.astype(object)
    wrapped = [[(int(v) + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1) for v in row] for row in exact]
    assert run.outputs.tolist() == wrapped


@pytest.mark.parametrize(
    ("a", "b", "more", "message"),
    [
        (np.ones((2, 3), int), np.ones((4, 2), int), {}, "must agree in k"),
        (np.ones((2, 3)), np.ones((3, 2), int), {}, "a: must hold integers"),
        (np.ones(3, int), np.ones((3, 2), int), {}, "a: must be a matrix"),
        (np.ones((2, 3), int), np.full((3, 2), 2**27), {}, "b: must fit 28 bits"),
        (np.ones((2, 3), int), np.ones((3, 2), int), {"accumulator_bits": 65}, "between 1 and 64"),
        (
            np.ones((2, 4), int),
            np.ones((4, 2), int),
            {"nm": (1, 4)},
            "keeps 4 of 4 values in group 0 of column 0",
        ),
    ],
)
def test_malformed_operands_are_refused(a, b, more, message):
    with pytest.raises(RuleError, match=message):
        step(ArraySpec(rows=2, cols=2, dataflow=OS), a, b, **more)
