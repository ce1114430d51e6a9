"""Graphs as ONNX models, and graphs computed by the cascades of their parts: what the laws here compare."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from einsim.workloads.execute import execute
from einsim.workloads.graphs.folding import folded_values
from einsim.workloads.graphs.operators import moves

OPSET = 24


def stored_values(graph, seed=0):
    """Random weights, variances positive; constants as they are, whole numbers where ONNX wants such."""
    rng, found = np.random.default_rng(seed), {}
    variances = {node.inputs[4] for node in graph.nodes if node.op == "BatchNormalization"}
    for name in graph.weights:
        drawn = rng.standard_normal(graph.shapes[name])
        fan = max(1, drawn.size // max(1, drawn.shape[0])) if drawn.ndim > 1 else 1
        found[name] = np.abs(drawn) + 0.5 if name in variances else drawn / np.sqrt(fan)
    for name, constant in graph.constants.items():
        kind = np.int64 if name.startswith("whole") else np.float64
        found[name] = np.array(constant.values, dtype=kind).reshape(constant.shape)
    return found


def to_onnx(graph, values, inputs=(), opset=OPSET):
    """The model of a graph, float64; `inputs` of whole numbers are named."""
    nodes = [
        helper.make_node(n.op, list(n.inputs), list(n.outputs), name=n.name, **n.attributes)
        for n in graph.nodes
    ]
    given = [
        helper.make_tensor_value_info(
            name, onnx.TensorProto.INT64 if name in inputs else onnx.TensorProto.DOUBLE, graph.shapes[name]
        )
        for name in graph.inputs
    ]
    made = [
        helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, graph.shapes[name])
        for name in graph.outputs
    ]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    body = helper.make_graph(nodes, graph.name, given, made, stored)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)])


def one_node(node, inputs):
    """A node's outputs, by ONNX's reference evaluator."""
    made = helper.make_node(
        node.op,
        list(node.inputs),
        list(node.outputs),
        **node.attributes,
    )
    given = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(np.asarray(value).dtype), np.shape(value)
        )
        for name, value in inputs.items()
    ]
    results = [helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in node.outputs]
    model = helper.make_model(
        helper.make_graph([made], "one", given, results), opset_imports=[helper.make_opsetid("", OPSET)]
    )
    return ReferenceEvaluator(model).run(None, {name: np.asarray(value) for name, value in inputs.items()})


def computed(network, values, inputs):
    """Outputs of a network, each part by the numeric execution of its cascade, moves by ONNX's reference."""
    graph = network.folded
    known = {name: as_array(name, constant) for name, constant in graph.constants.items()}
    known |= {**folded_values(network.graph, values), **inputs}

    def value(name):
        if name not in known:
            node = graph.producers[name]
            assert moves(graph, node), f"{name} was not computed before it was read"
            known.update(
                zip(
                    node.outputs, one_node(node, {one: value(one) for one in node.inputs if one}), strict=True
                )
            )
        return known[name]

    for step in network.steps:
        given = {}
        for tensor, source in step.sources.items():
            array = prepared(source, value, step)
            given[tensor] = array.reshape(step.cascade.shape(tensor))
        made = execute(step.cascade, given)
        for name, tensor in step.results.items():
            known[name] = made[tensor].reshape(graph.shapes[name])
    return {name: value(name) for name in graph.outputs}


def as_array(name, constant):
    """A constant; whole numbers as such."""
    found = np.array(constant.values).reshape(constant.shape)
    if name.startswith("number.") or not np.all(np.isfinite(found)):
        return found
    return found.astype(np.int64) if np.array_equal(found, found.astype(np.int64)) else found


def prepared(source, value, step):
    """An input of a cascade from the value that it comes from."""
    if source.kind.startswith("rows "):
        return np.take(value(source.value), value(source.kind[5:]).astype(int), axis=0)
    if source.kind == "taps":
        return taps(source.shape[0])
    if source.kind.startswith("share "):
        return shares(
            next(node for node in step.nodes if node.name == source.kind[6:]), value(source.value), source
        )
    array = value(source.value)
    after = [
        max(0, want - low - have)
        for want, low, have in zip(source.shape, source.before, array.shape, strict=True)
    ]
    around = list(zip(source.before, after, strict=True))
    array = (
        np.pad(array, around, mode="edge") if source.kind == "edge"
        else np.pad(array, around, constant_values=source.fill)
    )  # fmt: skip
    return array[tuple(slice(0, size) for size in source.shape)]


def taps(factor):
    """Weights of the elements before, at and after each of `factor` places of one: half pixels, linear."""
    found = np.zeros((factor, 3))
    for place in range(factor):
        at = (place + 0.5) / factor - 0.5
        low = int(np.floor(at))
        found[place, low + 1] += 1 - (at - low)
        found[place, low + 2] += at - low
    return found


def shares(node, array, source):
    """The reciprocal of how many elements of its input each window of a mean has."""
    kernel = node.attributes["kernel_shape"]
    strides, pads = (
        node.attributes.get("strides", (1,) * len(kernel)),
        node.attributes.get("pads", (0,) * 2 * len(kernel)),
    )
    padded = node.attributes.get("count_include_pad", 0)
    counts = []
    for at, size in enumerate(source.shape):
        low, high = (
            (-pads[at], array.shape[2 + at] + pads[len(kernel) + at]) if padded else (0, array.shape[2 + at])
        )
        starts = [place * strides[at] - pads[at] for place in range(size)]
        counts.append([sum(low <= start + tap < high for tap in range(kernel[at])) for start in starts])
    return 1 / np.array([np.prod(each) for each in itertools.product(*counts)], dtype=float).reshape(
        source.shape
    )
