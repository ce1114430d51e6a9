"""Networks that are graphs run whole, by name and from ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from einsim.cli.main import cli, main
from einsim.models.judge import evaluate_model
from einsim.workloads.graphs.networks import build
from tests.workloads.graphs.exported import as_array, to_onnx
from tests.workloads.graphs.test_onnx_file import exported


def run(*words):
    return CliRunner().invoke(cli, ["run", *words], catch_exceptions=False)


@pytest.fixture
def layer(tmp_path):
    return str(exported(tmp_path / "layer.onnx"))


def test_a_file_is_the_sum_of_its_parts(layer):
    found = evaluate_model(layer, "sa8295p", settings={"batch": 2, "seq": 16}, level="analytical")
    assert found.total.macs == sum(row.result.macs for row in found.rows)
    assert found.total.cycles == sum(row.result.cycles for row in found.rows)
    assert [(phase.phase, phase.tokens, phase.unit) for phase in found.phases] == [("forward", 2, "inputs")]


def test_text_and_page_say_activations_and_what_costs_nothing(layer, tmp_path):
    done = run(layer, "--set", "seq=16", "--accel", "sa8295p", "--level", "analytical")
    assert done.exit_code == 0
    assert "536 parameters, 1.05 KiB of weights, 10 parts" in done.stdout
    assert "inputs/s" in done.stdout
    assert "energy/input" in done.stdout
    kept, page = tmp_path / "kept.json", tmp_path / "page.html"
    assert (
        run(
            layer, "--set", "seq=16", "--accel", "sa8295p", "--level", "analytical", "-o", str(kept)
        ).exit_code
        == 0
    )
    assert main(["report", str(kept), "-o", str(page)]) == 0
    assert "<th>inputs/s</th><th>energy/input</th>" in page.read_text()
    assert (
        "note: cost nothing, as views of memory: Cast x1, Reshape x4, Transpose x4, Unsqueeze x1"
        in done.stdout
    )


def test_a_file_that_is_cut_off_is_one_line(layer, capsys):
    path = Path(layer)
    path.write_bytes(path.read_bytes()[:-100])
    assert main(["run", layer, "--accel", "sa8295p"]) == 2
    assert capsys.readouterr().err == f"error: {path}: is no ONNX model, or is cut off\n"


@pytest.mark.slow
def test_a_file_costs_what_the_network_of_its_name_does(tmp_path):
    graph = build("squeezenet-1.1", image=64)
    zeros = {value: np.zeros(graph.shapes[value]) for value in graph.weights}
    known = {value: as_array(value, constant) for value, constant in graph.constants.items()}
    onnx.save(to_onnx(graph, zeros | known), tmp_path / "net.onnx")
    file, name = (
        evaluate_model(named, "tpu-v4i", settings=given, level="analytical")
        for named, given in ((tmp_path / "net.onnx", {}), ("squeezenet-1.1", {"image": 64}))
    )
    assert [row.result.cycles for row in file.rows] == [row.result.cycles for row in name.rows]
    assert (file.total.energy_j, file.total.dram_bytes) == (name.total.energy_j, name.total.dram_bytes)
    assert file.size == name.size


@pytest.mark.slow
@pytest.mark.parametrize("accel", ["eyeriss-like", "sa8295p", "tpu-v4i"])
def test_resnet_50_runs_on(accel):
    found = evaluate_model("resnet-50", accel)
    assert found.total.macs == 4_089_184_256
    assert sum(row.count for row in found.rows) == 55
