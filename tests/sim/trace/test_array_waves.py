"""The waves of an array are the stepped model's: its products, its results, its skew, its refusal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.sim.arrays.gemm import ArraySpec
from einsim.sim.arrays.stepped import step
from einsim.sim.trace.array_waves import registers, write_array_waves
from einsim.specs.errors import RuleError
from tests.sim.trace.readers import read_vcd

SIZES = st.integers(1, 7)
CONVENTIONS = st.sampled_from(["scale-sim", "edge-aware", "overlapped"])


def array(rows, cols, convention="overlapped", dataflow="output-stationary"):
    return ArraySpec(rows=rows, cols=cols, dataflow=dataflow, convention=convention)


@settings(max_examples=32)
@given(SIZES, SIZES, SIZES, SIZES, st.integers(1, 9), CONVENTIONS, st.integers(0, 999))
def test_every_product_and_result_is_the_stepped_models(rows, cols, m, n, k, convention, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-50, 50, (m, k)), rng.integers(-50, 50, (k, n))
    spec = array(rows, cols, convention)
    stepped = step(spec, a, b)
    _, _, real, sums = registers(spec, a, b)
    assert real.sum(axis=(1, 2)).tolist() == stepped.macs_per_cycle.tolist()
    assert set(np.unique(stepped.outputs)) <= set(np.unique(sums))
    assert (stepped.outputs == a @ b).all()


def test_wellen_reads_operands_skew_and_results(tmp_path):
    a, b = np.array([[1, 2, 3], [-4, 5, 6]]), np.array([[7, 8], [9, -1], [2, 3]])
    path = tmp_path / "array.vcd"
    write_array_waves(array(2, 2), a, b, path)
    values = read_vcd(path)
    assert [values["array.row_0.col_0.a"](1000 * at) for at in range(3)] == [1, 2, 3]
    assert values["array.row_1.col_0.a"](1000) == 2**28 - 4  # a cycle later, in two's complement
    assert [values["array.row_0.col_1.b"](1000 * at) for at in (1, 2, 3)] == [8, 2**28 - 1, 3]
    for (r, c), total in np.ndenumerate(a @ b):
        assert values[f"array.row_{r}.col_{c}.sum"](1000 * (2 + r + c)) == total % 2**32
        assert values[f"array.row_{r}.col_{c}.real"](1000 * (2 + r + c)) == 1
    assert values["array.row_0.col_0.real"](3000) == 0
    assert values["array.cycle"](4000) == 4


def test_what_waves_can_not_hold_is_refused(tmp_path):
    ones = np.ones((2, 2), np.int64)
    with pytest.raises(RuleError, match="output-stationary"):
        write_array_waves(array(2, 2, dataflow="weight-stationary"), ones, ones, tmp_path / "a.vcd")
    large = np.ones((200, 200), np.int64)
    with pytest.raises(RuleError, match="smaller product"):
        write_array_waves(array(200, 200), large, large, tmp_path / "a.vcd")
