"""Networks that a script writes as ONNX files read back with the published parameters and all their work."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from einsim.workloads.graphs.networks import build
from einsim.workloads.graphs.onnx_file import OnnxFile
from einsim.workloads.graphs.parts import GraphNetwork
from tests.workloads.graphs.test_networks import PUBLISHED

SCRIPT = Path(__file__).parents[2] / "examples" / "onnx_networks.py"
SPEC = importlib.util.spec_from_file_location("onnx_networks", SCRIPT)
assert SPEC is not None
assert SPEC.loader is not None
EXAMPLE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(EXAMPLE)


@pytest.mark.parametrize("name", EXAMPLE.NAMES)
def test_a_written_network_has_its_parameters_and_multiply_accumulates(tmp_path, name):
    EXAMPLE.main(tmp_path, (name,))
    read = GraphNetwork(graph=OnnxFile(tmp_path / f"{name}.onnx").graph({}))
    parameters, macs = PUBLISHED[name]
    assert read.parameters == parameters
    assert read.macs == GraphNetwork(graph=build(name)).macs
    assert macs is None or read.macs / 1e9 == pytest.approx(macs, rel=0.01, abs=0.006)
