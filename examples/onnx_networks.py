"""Writes published networks as ONNX files: `python examples/onnx_networks.py FOLDER [NAME ...]`.

Weights are described, not stored: their data lies in a file that is not written, since no cost depends on it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from einsim.workloads.graphs import networks
from einsim.workloads.graphs.graph import Constant, OperatorGraph

NAMES = (
    "resnet-18", "resnet-50", "vgg-16", "mobilenet-v1", "mobilenet-v2", "efficientnet-lite0",
    "squeezenet-1.0", "yolov8n", "vit-b-16", "bert-base-uncased",
)  # fmt: skip
OPSET = 24  # the first with Swish
WEIGHTS = "weights.bin"


def model(graph: OperatorGraph) -> onnx.ModelProto:
    """The ONNX model of a graph, in float32; texts come as whole numbers."""
    nodes = []
    for one in graph.nodes:
        node = helper.make_node(one.op, list(one.inputs), list(one.outputs), name=one.name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in one.attributes.items())
        nodes.append(node)
    indices = {one.inputs[1] for one in graph.nodes if one.op == "Gather" and one.inputs[1] in graph.inputs}
    kinds = {name: TensorProto.INT64 if name in indices else TensorProto.FLOAT for name in graph.inputs}
    given, made = (
        [helper.make_tensor_value_info(name, kind, graph.shapes[name]) for name, kind in some.items()]
        for some in (kinds, dict.fromkeys(graph.outputs, TensorProto.FLOAT))
    )
    weights = [stored(name, graph.shapes[name]) for name in graph.weights]
    constants = [known(name, constant) for name, constant in graph.constants.items()]
    body = helper.make_graph(nodes, graph.name, given, made, [*weights, *constants])
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)])


def stored(name: str, shape: tuple[int, ...]) -> TensorProto:
    """A weight whose data lies elsewhere."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=WEIGHTS)
    return tensor


def known(name: str, constant: Constant) -> TensorProto:
    """A constant with its elements, whole ones as int64 but for factors and summands."""
    array = np.array(constant.values).reshape(constant.shape)
    number = name.startswith("number.") or not np.isfinite(array).all() or (array != np.rint(array)).any()
    return numpy_helper.from_array(array.astype(np.float32 if number else np.int64), name)


def main(folder: Path, names: tuple[str, ...] = NAMES) -> None:
    """Write a file a network."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / f"{name}.onnx"
        path.write_bytes(model(networks.build(name)).SerializeToString())
        print(f"wrote {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), tuple(sys.argv[2:]) or NAMES)
