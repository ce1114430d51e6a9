"""Laws of what a user's testbench gets."""

from __future__ import annotations

import numpy as np
import pytest

from einsim.cocotb import ArraySpec, ChainSpec, Gemm, SorterSpec, cycles_expected, golden_gemm

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dataflow", ["output-stationary", "weight-stationary", "input-stationary"])
def test_events_are_the_outputs_each_once(dataflow):
    a, b = RNG.integers(-128, 128, (7, 5)), RNG.integers(-128, 128, (5, 11))
    array = ArraySpec(rows=3, cols=4, dataflow=dataflow, convention="overlapped")
    golden = golden_gemm(array, a, b)
    assert sorted(event.value for event in golden.events) == sorted((a @ b).ravel().tolist())
    assert all(np.dot(*event.operands) == event.value for event in golden.events)
    assert golden.cycles == cycles_expected(array, Gemm(m=7, n=11, k=5)) == len(golden.macs_per_cycle)


def test_the_last_event_comes_in_the_last_cycle():
    a, b = RNG.integers(-128, 128, (6, 9)), RNG.integers(-128, 128, (9, 8))
    golden = golden_gemm(
        ArraySpec(rows=3, cols=4, dataflow="output-stationary", convention="overlapped"), a, b
    )
    assert max(event.cycle for event in golden.events) == golden.cycles - 1


def test_cycles_of_chain_and_sorter_and_a_wrong_pair():
    assert cycles_expected(ChainSpec(rows=1, cols=1, length=4), Gemm(m=1, n=1, k=8)) == 2 + 4 + 2
    assert cycles_expected(SorterSpec(lanes=4, nm=(2, 8)), 5) == 16
    with pytest.raises(TypeError, match="a SorterSpec does not run a Gemm"):
        cycles_expected(SorterSpec(lanes=4, nm=(2, 8)), Gemm(m=1, n=1, k=1))
