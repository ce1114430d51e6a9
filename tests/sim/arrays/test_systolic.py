"""Laws of the closed forms: SCALE-Sim's and STONNE's published forms, and bounds between the conventions."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.sim.arrays.gemm import CONVENTIONS, DATAFLOWS, ArraySpec, Gemm, fold
from einsim.sim.arrays.schedule import COLS, ROWS, START, schedule
from einsim.sim.arrays.systolic import cycles, elapsed, traffic, utilization

OS, WS, IS = DATAFLOWS


def spec(rows, cols, dataflow, convention):
    return ArraySpec(rows=int(rows), cols=int(cols), dataflow=dataflow, convention=convention)


@st.composite
def cases(draw, largest=50):
    size = st.integers(1, largest)
    nm = draw(st.none() | st.integers(1, 8).flatmap(lambda m: st.tuples(st.integers(1, m), st.just(m))))
    gemm = Gemm(m=draw(size), n=draw(size), k=draw(size), nm=nm)
    array = spec(draw(size), draw(size), draw(st.sampled_from(DATAFLOWS)), draw(st.sampled_from(CONVENTIONS)))
    return array, gemm


def sweep(count):
    rng = np.random.default_rng(17)
    R, C, M, N, K = rng.integers(1, 300, (5, count))
    m = rng.integers(1, 17, count)
    n = 1 + rng.integers(0, 16, count) % m
    return R, C, M, N, K, n, m


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("sparse", [False, True])
def test_scale_sims_totals_and_words_on_2000_shapes(dataflow, sparse):
    # Written in numpy from SCALE-Sim 3.0's behaviour, not from our fold; its total is the count less one.
    R, C, M, N, K, n, m = sweep(2000)
    Kc = K // m * n + np.minimum(K % m, n) if sparse else K

    def c(a, b):
        return -(-a // b)

    if dataflow == OS:
        total = c(M, R) * c(N, C) * (R + C + Kc - 2) - 1
        words = M * Kc * c(N, C), Kc * N * c(M, R), M * N
    elif dataflow == WS:
        total = c(Kc, R) * c(N, C) * (2 * R + C + M - 2) - 1
        words = M * Kc * c(N, C), Kc * N, M * N * c(Kc, R)
    else:
        total = c(Kc, R) * c(M, C) * (2 * R + C + N - 2) - 1
        words = M * Kc, Kc * N * c(M, C), M * N * c(Kc, R)
    for i in range(2000):
        nm = (int(n[i]), int(m[i])) if sparse else None
        gemm = Gemm(m=int(M[i]), n=int(N[i]), k=int(K[i]), nm=nm)
        array = spec(R[i], C[i], dataflow, "scale-sim")
        moved = traffic(array, gemm)
        assert cycles(array, gemm) == total[i]
        assert (moved.a_reads, moved.b_reads, moved.writes) == (words[0][i], words[1][i], words[2][i])
        assert moved.index_reads == (words[1][i] if sparse else 0)


def test_48_runs_of_scale_sim_itself_are_met():
    """SCALE-Sim 3.0.0 (PyPI, with numpy 1.26.4), GEMM mode, layer-wise N:M, run on 2026-11-22, its reports as printed.

    Two counts are known to differ: it adds R + C idle slots a tile to the writes of output-stationary runs, and
    multiplies the sparse weight-stationary reads of A by m / n.
    """
    with (Path(__file__).parent / "scalesim_3_0_0_runs.csv").open() as lines:
        runs = list(csv.DictReader(lines))
    assert len(runs) == 48
    for run in runs:
        R, C, keep, of = (int(run[name]) for name in ("rows", "cols", "keep", "of"))
        array = spec(R, C, run["dataflow"], "scale-sim")
        gemm = Gemm(m=int(run["m"]), n=int(run["n"]), k=int(run["k"]), nm=(keep, of) if of > 1 else None)
        moved, tiles = traffic(array, gemm), fold(array, gemm).count
        a_factor = Fraction(of, keep) if run["dataflow"] == WS else 1
        idle = tiles * (R + C) if run["dataflow"] == OS else 0
        assert cycles(array, gemm) == int(run["total_cycles"])
        assert moved.a_reads * a_factor == int(run["ifmap_reads"])
        assert moved.b_reads == int(run["filter_reads"])
        assert moved.writes + idle == int(run["ofmap_writes"])


@settings(deadline=None)
@given(case=cases())
def test_edge_aware_is_stonnes_time_summed_over_the_tiles(case):
    array, gemm = msgspec.structs.replace(case[0], convention="edge-aware", dataflow=OS), case[1]
    total = 0
    for row in range(0, gemm.m, array.rows):
        for col in range(0, gemm.n, array.cols):
            used = min(array.rows, gemm.m - row) + min(array.cols, gemm.n - col)
            total += gemm.slots + used + 3
    assert cycles(array, gemm) == total


def test_the_issues_gemm_on_scale_sims_array():
    gemm = Gemm(m=1024, n=1024, k=1024)
    assert cycles(spec(32, 32, OS, "scale-sim"), gemm) == 1024 * (32 + 32 + 1024 - 2) - 1


@settings(deadline=None)  # the first call compiles
@given(case=cases())
def test_overlapped_is_never_slower_than_scale_sim_and_never_beats_the_macs(case):
    array, gemm = case
    for convention in CONVENTIONS:
        here = msgspec.structs.replace(array, convention=convention)
        assert elapsed(here, gemm) * array.rows * array.cols >= gemm.macs
        assert 0 < utilization(here, gemm) <= 1
    times = {c: elapsed(msgspec.structs.replace(array, convention=c), gemm) for c in CONVENTIONS}
    assert times["overlapped"] <= times["scale-sim"]


@settings(deadline=None)  # the first call compiles
@given(case=cases(), grow=st.sampled_from(["m", "n", "k"]))
def test_a_larger_gemm_is_never_faster(case, grow):
    array, gemm = case
    larger = msgspec.structs.replace(gemm, **{grow: getattr(gemm, grow) + 1})
    assert elapsed(array, larger) >= elapsed(array, gemm)


@settings(deadline=None)  # the first call compiles
@given(case=cases())
def test_n_to_m_is_never_slower_than_dense_nor_faster_than_its_ratio(case):
    array, gemm = case
    dense = msgspec.structs.replace(gemm, nm=None)
    assert elapsed(array, gemm) <= elapsed(array, dense)
    if gemm.nm is not None and not array.stationary:  # a stationary k is cut in whole tiles
        assert elapsed(array, gemm) * gemm.nm[1] >= elapsed(array, dense) * gemm.nm[0]


@settings(deadline=None)  # the first call compiles
@given(case=cases())
def test_every_word_is_read_and_written_at_least_once(case):
    array, gemm = case
    moved = traffic(array, gemm)
    assert moved.a_reads >= gemm.m * (gemm.slots if array.convention == "scale-sim" else gemm.k)
    assert moved.b_reads >= gemm.slots * gemm.n
    assert moved.writes >= gemm.m * gemm.n


@settings(deadline=None)  # the first call compiles
@given(case=cases(largest=20))
def test_the_schedule_starts_tiles_in_order_and_covers_each_output_once_per_sum(case):
    array, gemm = case
    table = schedule(array, gemm)
    assert (np.diff(table[:, START]) > 0).all()
    assert table[0, START] >= 0
    assert (table[:, ROWS] * table[:, COLS]).sum() * fold(array, gemm).stream == gemm.macs
