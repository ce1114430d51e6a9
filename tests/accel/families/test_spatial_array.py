"""Spatial arrays: what is derived follows from what is written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.specs.errors import SpecError


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 4096), st.integers(1, 4096), st.integers(1, 64))
def test_pes_follow_rows_cols_and_cores(rows, cols, cores):
    sizes = {"array.rows": str(rows), "array.cols": str(cols), "cores": str(cores)}
    machine = load_machine("tpu-v4i", sizes)
    assert machine.unit("array2d").pes == rows * cols * cores
    assert machine.unit("array1d").pes == 128 * cores
    assert machine.memory("local").capacity_bytes == 4 * 2**20 * cores
    assert list(machine.unit("array2d").dims) == (["cores"] if cores > 1 else []) + ["rows", "cols"]


def test_a_reduction_of_rows_follows_the_rows():
    assert load_machine("fusemax-cloud").unit("array2d").reduction_latency_cycles == {"max": 256}
    half = load_machine("fusemax-cloud", {"array.rows": "128"})
    assert half.unit("array2d").reduction_latency_cycles == {"max": 128}


def test_rows_mean_nothing_on_a_vector():
    with pytest.raises(SpecError) as caught:
        load_machine("fusemax-cloud", {"vector.reduction_latency_cycles.max": "rows"})
    message = (
        "--set vector.reduction_latency_cycles.max: may say 'rows' only on a unit that has rows; known: lanes"
    )
    assert str(caught.value) == message


def test_separate_ports_stay_separate():
    buffer = load_machine("tpu-v4i").memory("gb")
    assert (buffer.read_bytes_per_s, buffer.write_bytes_per_s) == (2048 * 10**9, 1024 * 10**9)
    assert not buffer.shared_port
    dram = load_machine("tpu-v4i").dram
    assert dram.shared_port
    assert dram.read_bytes_per_s == 614 * 10**9


def test_one_port_or_two_not_both():
    with pytest.raises(SpecError, match="write one shared port or two ports"):
        load_machine("tpu-v4i", {"buffer_port.bandwidth": "1GB/s"})


def test_fusemax_runs_softmax_on_both_arrays_and_flat_on_one():
    fusemax, flat = load_machine("fusemax-cloud"), load_machine("flat-cloud")
    assert fusemax.unit("array2d").cost("exp").cycles == fusemax.unit("array1d").cost("exp").cycles == 6
    assert not fusemax.unit("array2d").supports("div")
    assert not flat.unit("array2d").supports("exp")
    assert not flat.unit("array2d").supports("max")
    assert flat.unit("array1d").cost("exp").cycles == 1
    assert flat.unit("array1d").fused_ops == (("add", "exp"),)
