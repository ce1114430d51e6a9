"""Batch norms after convolutions and matrix products go into their weights and biases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from einsim.workloads.graphs.graph import Node, OperatorGraph

Array = NDArray[np.float64]
Values = Mapping[str, Array]
_TAKES = {"Conv", "ConvTranspose", "Gemm"}


def fold_batch_norms(graph: OperatorGraph) -> OperatorGraph:
    """The graph without the batch norms that directly follow a node which has a weight and a bias.

    What was learnt stays counted: a norm's scale and shift count with the bias that they become.
    """
    pairs = dict(_pairs(graph))
    norms = {norm.name: node for node, norm in pairs.values()}
    nodes, shapes, weights = [], dict(graph.shapes), dict(graph.weights)
    for node in graph.nodes:
        if node.name in norms:
            continue
        if node.name in pairs:
            _, norm = pairs[node.name]
            bias = folded_bias(node)
            shapes[bias] = graph.shapes[norm.inputs[1]]
            weights[bias] = sum(weights.pop(value, 0) for value in (*node.inputs[2:3], *norm.inputs[1:3]))
            inputs = (*node.inputs[:2], bias)
            nodes.append(msgspec.structs.replace(node, inputs=inputs, outputs=norm.outputs[:1]))
        else:
            nodes.append(node)
    return msgspec.structs.replace(graph, nodes=tuple(nodes), shapes=shapes, weights=weights)


def folded_bias(node: Node) -> str:
    """The name of the bias that takes in a norm."""
    return f"{node.name}.folded_bias"


def folded_values(graph: OperatorGraph, values: Values) -> dict[str, Array]:
    """The stored values of `fold_batch_norms(graph)` from those of the graph, for whoever computes with them.

    Of a batch norm that stays, scale and bias are replaced by the factor and the summand that it comes to.
    """
    found = dict(values)
    folded = {norm.name for _, (_, norm) in _pairs(graph)}
    for node, norm in (pair for _, pair in _pairs(graph)):
        factor, summand = _affine(norm, values)
        weight = np.asarray(values[node.inputs[1]])
        axis = _axis(node)
        shape = [-1 if at == axis else 1 for at in range(weight.ndim)]
        found[node.inputs[1]] = weight * factor.reshape(shape)
        bias = np.asarray(values[node.inputs[2]]) if node.given(2) else np.zeros_like(factor)
        found[folded_bias(node)] = bias * factor + summand
    for norm in graph.nodes:
        if norm.op == "BatchNormalization" and norm.name not in folded:
            found[norm.inputs[1]], found[norm.inputs[2]] = _affine(norm, values)
    return found


def _affine(norm: Node, values: Values) -> tuple[Array, Array]:
    """Factor and summand of a batch norm (Ioffe & Szegedy, arXiv 1502.03167)."""
    scale, shift, mean, variance = (np.asarray(values[name], dtype=np.float64) for name in norm.inputs[1:5])
    factor = scale / np.sqrt(variance + norm.number("epsilon", 1e-5))
    return factor, shift - mean * factor


def _axis(node: Node) -> int:
    """The weight's dimension of output channels."""
    return {"Conv": 0, "ConvTranspose": 1}.get(node.op, 0 if node.whole("transB", 0) else 1)


def _pairs(graph: OperatorGraph) -> Iterator[tuple[str, tuple[Node, Node]]]:
    """Nodes, by name, with the batch norm that alone reads them."""
    for norm in graph.nodes:
        if norm.op != "BatchNormalization":
            continue
        node = graph.producers.get(norm.inputs[0])
        if node is None or node.op not in _TAKES or graph.uses[node.output] > 1:
            continue
        alone = all(graph.uses[value] <= 1 for value in (*node.inputs[1:3], *norm.inputs[1:5]) if value)
        scaled = node.whole("group", 1) > 1 if node.op == "ConvTranspose" else {1.0} != {
            node.number("alpha", 1.0), node.number("beta", 1.0)
        }  # fmt: skip
        if (
            alone
            and not scaled
            and all(graph.stored(value) for value in (*node.inputs[1:3], *norm.inputs[1:5]))
        ):
            yield node.name, (node, norm)
