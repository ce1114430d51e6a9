"""A graph as a model: what its settings mean."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from einsim.specs.errors import EinsimError, SpecError
from einsim.workloads.graphs.model import network_model, onnx_model
from einsim.workloads.load import load_model, load_workload
from einsim.workloads.settings import read_settings


def settled(model, **given):
    return read_settings(model.parameters, given, model.name)


def phase(model, **given):
    (found,) = model.phases(settled(model, **given))
    return found


def test_weights_and_activations_have_their_own_widths():
    model = network_model("mobilenet-v1")
    part = phase(model, image=32, weights=4, activations=8).parts(1, {})[0]
    assert {tensor.name: tensor.bits for tensor in part.cascade.tensors} == {
        "I": 8,
        "W": 4,
        "Z": 8,
        "B": 16,
        "Y": 8,
    }
    one, other = (model.size(settled(model, **given)) for given in ({}, {"weights": 4, "activations": 8}))
    biases = 11_944  # of 27 convolutions and the product
    assert one.weight_bytes - other.weight_bytes == (one.weight_bytes / 2 - biases) * 1.5
    assert one.parameters == other.parameters == 4_231_976


def test_a_batch_is_read_at_once():
    found = phase(network_model("mobilenet-v1"), image=32, b=4)
    assert (found.tokens, found.unit) == (4, "images")
    assert found.parts(1, {})[0].cascade.sizes["b"] == 4
    assert phase(network_model("bert-base-uncased"), seq=8).unit == "texts"


def test_a_part_is_a_cascade_of_its_own():
    most = load_workload("resnet-50", {})
    assert (most.name, most.macs) == ("resnet-50 layer3.1.conv1 forward", 256 * 1024 * 14 * 14)
    assert load_workload("resnet-50", {"part": "layer4.1.conv2"}).sizes == {
        "k": 512,
        "c": 512,
        "y": 7,
        "x": 7,
        "r": 3,
        "q": 3,
    }
    assert load_workload("resnet-50", {"layer": "0"}).size("r") == 7
    with pytest.raises(SpecError, match="unknown part 'conv2'; did you mean 'conv1'"):
        load_workload("resnet-50", {"part": "conv2"})
    with pytest.raises(SpecError, match="layer: must be one of the 55 layers"):
        load_workload("resnet-50", {"layer": "55"})


def file(path, *shape):
    """A file of one product of its last dimension, whose other dimensions may be open."""
    weight = numpy_helper.from_array(np.zeros((shape[-1], 3), np.float32), "w")
    given, made = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (*shape[:-1], last))
        for name, last in (("x", shape[-1]), ("y", 3))
    )
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")], "g", [given], [made], [weight]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_open_sizes_of_a_file_are_settings_by_its_own_names(tmp_path):
    model = onnx_model(file(tmp_path / "net.onnx", "N", "part", None, 4))
    names = {parameter.name: parameter.default for parameter in model.sizes}
    assert names == {"N": 1, "part_size": None, "x_2": None}
    found = phase(model, N=2, part_size=3, x_2=5)
    assert (found.tokens, found.parts(1, {})[0].cascade.sizes) == (2, {"d": 4, "b": 30, "k": 3})
    with pytest.raises(SpecError, match=r"net.onnx part: an input leaves this size open"):
        phase(model, N=2)
    assert load_model(str(tmp_path / "net.onnx")).name == "net"


def test_without_the_package_a_file_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "einsim.workloads.graphs.onnx_file", None)
    with pytest.raises(
        EinsimError, match=r"net.onnx: ONNX files need another package: pip install 'einsim\[onnx\]'"
    ):
        onnx_model(tmp_path / "net.onnx")


def test_what_skips_a_part_is_held_beside_it():
    parts = {part.name: part for part in phase(network_model("resnet-50"), activations=8).parts(1, {})}
    assert parts["conv1"].beside_bytes == 0
    assert parts["layer1.1.conv1"].beside_bytes == 0  # the block's input is its own
    assert parts["layer2.1.conv2"].beside_bytes == 28 * 28 * 512
