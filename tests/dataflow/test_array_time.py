"""A unit with a convention takes the cycles of the array itself: the mapping's tile and the stepped model agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.accel.machine import OpCost, Unit
from einsim.dataflow.leaf import array_cycles
from einsim.dataflow.mapping import Compute
from einsim.sim.arrays.gemm import ArraySpec
from einsim.sim.arrays.stepped import step
from einsim.specs.errors import RuleError
from einsim.workloads.notation import parse

SIZE = st.integers(1, 9)
CONVENTIONS = ("scale-sim", "edge-aware", "overlapped")
SPACE = {
    "output-stationary": {"rows": ("m",), "cols": ("n",)},
    "weight-stationary": {"rows": ("k",), "cols": ("n",)},
    "input-stationary": {"rows": ("k",), "cols": ("m",)},
}


def unit(rows, cols, convention, kind="systolic"):
    return Unit(
        name="pe", kind=kind, dims={"rows": rows, "cols": cols}, ops={"mac": OpCost()}, reads_from="gb",
        dataflows=tuple(SPACE), convention=convention,
    )  # fmt: skip


@settings(max_examples=120)
@given(SIZE, SIZE, SIZE, SIZE, SIZE, st.sampled_from(CONVENTIONS), st.sampled_from(sorted(SPACE)))
def test_a_tile_takes_the_cycles_of_the_stepped_array(rows, cols, m, n, k, convention, flow):
    work = parse("Z[m,n] = A[m,k] * B[k,n]", name="gemm", sizes={"m": m, "n": n, "k": k})
    node = Compute(einsum="Z", unit="pe", spatial=SPACE[flow], stationarity=flow)
    pe, extents = unit(rows, cols, convention), {"m": m, "n": n, "k": k}
    ours = array_cycles(work, pe, work.einsum("Z"), node, extents)
    spec = ArraySpec(rows=rows, cols=cols, dataflow=flow, convention=convention)
    assert ours == len(step(spec, np.ones((m, k), int), np.ones((k, n), int)).macs_per_cycle)


def test_a_convention_is_for_systolic_arrays():
    with pytest.raises(RuleError, match="is for systolic units with rows and cols"):
        unit(4, 4, "scale-sim", kind="array")
