"""The event simulator meets SCALE-Sim's forms too: cycles and SRAM words, tile by tile, on random shapes."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from einsim.sim.arrays.gemm import DATAFLOWS, ArraySpec, Gemm
from einsim.sim.arrays.simulated import simulated
from einsim.sim.arrays.sorter import prune
from einsim.sim.arrays.stalls import Ports
from einsim.sim.arrays.stepped import step
from einsim.sim.arrays.systolic import cycles, elapsed, traffic
from einsim.specs.errors import RuleError

OS, WS, IS = DATAFLOWS


def c(a, b):
    return -(-a // b)


def scale_sim(dataflow, R, C, M, N, K):
    """SCALE-Sim 3.0's total and its words of A, B and the output; K is already cut by n:m."""
    if dataflow == OS:
        return c(M, R) * c(N, C) * (R + C + K - 2) - 1, M * K * c(N, C), K * N * c(M, R), M * N
    if dataflow == WS:
        return c(K, R) * c(N, C) * (2 * R + C + M - 2) - 1, M * K * c(N, C), K * N, M * N * c(K, R)
    return c(K, R) * c(M, C) * (2 * R + C + N - 2) - 1, M * K, K * N * c(M, C), M * N * c(K, R)


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("shapes", [100, pytest.param(400, marks=pytest.mark.slow)])
def test_the_simulator_counts_scale_sims_cycles_and_words(dataflow, shapes):
    rng = np.random.default_rng(DATAFLOWS.index(dataflow))
    for i in range(shapes):
        R, C, M, N, K, m = (int(x) for x in rng.integers(1, (40, 40, 300, 300, 300, 17)))
        n = int(rng.integers(1, m + 1)) if i % 2 else m
        found = simulated(
            ArraySpec(rows=R, cols=C, dataflow=dataflow), Gemm(m=M, n=N, k=K, nm=(n, m) if i % 2 else None)
        )
        kept = K // m * n + min(K % m, n)
        total = scale_sim(dataflow, R, C, M, N, kept)
        assert (found.cycles, found.a_reads, found.b_reads, found.writes) == total
        assert found.stall_cycles == 0


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_closed_form_stepped_array_and_simulator_agree(dataflow):
    rng = np.random.default_rng(9)
    for convention in ("scale-sim", "edge-aware"):
        spec = ArraySpec(rows=7, cols=5, dataflow=dataflow, convention=convention)
        for nm in (None, (2, 4)) if convention == "scale-sim" else (None,):
            M, N, K = (int(x) for x in rng.integers(1, 40, 3))
            a, b = rng.integers(-128, 128, (M, K)), rng.integers(-128, 128, (K, N))
            gemm, right = Gemm(m=M, n=N, k=K, nm=nm), b if nm is None else prune(b, nm)
            stepped, event, words = step(spec, a, right, nm=nm), simulated(spec, gemm), traffic(spec, gemm)
            assert stepped.cycles == event.cycles == cycles(spec, gemm)
            for each in (stepped, event):
                assert (each.a_reads, each.b_reads, each.writes) == (
                    words.a_reads,
                    words.b_reads,
                    words.writes,
                )


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_a_port_that_is_too_slow_stalls_the_array_by_the_words_it_is_behind(dataflow):
    spec, gemm = ArraySpec(rows=32, cols=32, dataflow=dataflow), Gemm(m=256, n=256, k=256)
    words = traffic(spec, gemm)
    reads, bound = words.a_reads + words.b_reads, elapsed(spec, gemm)
    free = simulated(spec, gemm, Ports(load_words_per_cycle=4 * reads / bound))
    slow = simulated(spec, gemm, Ports(load_words_per_cycle=reads / bound / 4))
    assert free.stall_cycles == 0
    assert slow.cycles == pytest.approx(4 * bound, rel=0.02)
    assert slow.stall_cycles == slow.cycles + 1 - bound
    assert slow.result.breakdown_by_unit["array"]["bandwidth:sram.read"] == slow.stall_cycles
    assert msgspec.structs.replace(slow.result, cycles=0).traffic == free.result.traffic


def test_what_has_no_separate_tiles_is_refused():
    with pytest.raises(RuleError, match="convention: must keep tiles apart"):
        simulated(ArraySpec(rows=2, cols=2, dataflow=OS, convention="overlapped"), Gemm(m=1, n=1, k=1))
    with pytest.raises(RuleError, match="convention: N:M shortens both operands in scale-sim only"):
        simulated(
            ArraySpec(rows=2, cols=2, dataflow=OS, convention="edge-aware"), Gemm(m=1, n=1, k=4, nm=(2, 4))
        )
