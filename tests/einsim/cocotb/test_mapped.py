"""A mapping's cycles on its array are those of the RTL that implements the array."""

from __future__ import annotations

import numpy as np
import pytest

from einsim.accel.load import load_machine
from einsim.cocotb import ArraySpec, cycles_expected
from einsim.dataflow.mapping import Compute, Mapping, chain
from einsim.dataflow.templates import build_mapping
from einsim.rtl_models.build import build, run_jobs
from einsim.rtl_models.design import find_design
from einsim.rtl_models.simulator import choose
from einsim.rtl_models.systolic.model import systolic_job, systolic_parameters
from einsim.specs.errors import RuleError
from einsim.workloads.notation import parse

M, N, K = 9, 7, 6
SPACE = {
    "output-stationary": {"rows": ("m",), "cols": ("n",)},
    "weight-stationary": {"rows": ("k",), "cols": ("n",)},
}


@pytest.fixture(scope="module")
def work():
    return parse("Z[m,n] = A[m,k] * B[k,n]", name="gemm", sizes={"m": M, "n": N, "k": K})


def machine(dataflow, convention):
    settings = {
        "array.rows": "4", "array.cols": "3", "cores": "1", "array.convention": convention,
        "array.dataflows": f"[{dataflow}]",
    }  # fmt: skip
    return load_machine("tpu-v4i", settings)


def mapped(dataflow, *loops):
    leaf = Compute(einsum="Z", unit="array2d", spatial=SPACE[dataflow], stationarity=dataflow)
    return Mapping(cascade="gemm", machine="tpu-v4i", template="by hand", tree=chain(*loops, leaf))


@pytest.mark.parametrize("dataflow", SPACE)
def test_cycles_of_a_mapping_are_those_of_the_rtl(work, dataflow):
    design = find_design("systolic_os" if dataflow == "output-stationary" else "systolic_ws")
    spec = ArraySpec(rows=4, cols=3, dataflow=dataflow)
    jobs, expected = [], []
    for convention in ("scale-sim", "edge-aware", "overlapped"):
        array = ArraySpec(rows=4, cols=3, dataflow=dataflow, convention=convention)
        jobs.append(systolic_job(array, np.ones((M, K), int), np.ones((K, N), int)))
        expected.append(cycles_expected(mapped(dataflow), work, machine=machine(dataflow, convention)))
    built = build(design, choose("icarus"), systolic_parameters(spec))
    assert [outcome.cycles for outcome in run_jobs(built, jobs)] == expected


def test_tiles_of_a_mapping_follow_one_another(work):
    """Loops over single row tiles: the array starts anew each time, so that the cycles add up."""
    chip = machine("output-stationary", "scale-sim")
    whole = cycles_expected(mapped("output-stationary"), work, machine=chip)
    assert cycles_expected(mapped("output-stationary", ("m", 4)), work, machine=chip) == whole


def test_a_template_of_a_preset_is_taken_too(work):
    chip = load_machine("tpu-v4i")
    mapping = build_mapping(work, chip)
    assert cycles_expected(mapping, work, machine=chip) >= M * N * K / chip.unit("array2d").pes


def test_a_unit_that_is_not_used_is_refused_and_a_machine_is_needed(work):
    chip = machine("output-stationary", "scale-sim")
    with pytest.raises(RuleError, match="the mapping computes nothing on"):
        cycles_expected(mapped("output-stationary"), work, machine=chip, unit="array1d")
    with pytest.raises(TypeError, match="a Mapping does not run a Cascade"):
        cycles_expected(mapped("output-stationary"), work)
