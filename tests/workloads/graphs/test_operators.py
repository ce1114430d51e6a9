"""Each operator's cascade computes what ONNX's reference evaluator does."""

from __future__ import annotations

import numpy as np
import pytest

from einsim.specs.errors import SpecError
from einsim.workloads.graphs.graph import Constant, Node, OperatorGraph
from einsim.workloads.graphs.parts import GraphNetwork
from tests.workloads.graphs.exported import computed, one_node, stored_values

I, W = "input", "weight"
WHOLE = (np.int64, "whole")


def made(op, shapes, result, constants=None, outputs=1, **attributes):
    """A graph of one node: the first input is the graph's, others are weights, or constants where given."""
    names = [f"{'x' if at == 0 else 'w'}{at}" for at in range(len(shapes))]
    given = {
        f"whole.{at}" if whole else f"number.{at}": (at, values)
        for at, (whole, values) in (constants or {}).items()
    }
    known = {
        name: Constant(np.shape(values), tuple(map(float, np.ravel(values))))
        for name, (_, values) in given.items()
    }
    for name, (at, _) in given.items():
        names[at] = name
    sizes = dict(zip(names, shapes, strict=True)) | {"y": result}
    sizes.pop("", None)
    node = Node(
        op=op,
        name=op.lower(),
        inputs=tuple(name if shape is not None else "" for name, shape in zip(names, shapes, strict=True)),
        outputs=("y",),
        attributes=attributes,
    )
    weights = {
        name: int(np.prod(shape))
        for name, shape in sizes.items()
        if name[0] == "w" and name not in known and shape is not None
    }
    return OperatorGraph(
        name=op,
        nodes=(node,),
        shapes={name: tuple(shape) for name, shape in sizes.items() if shape is not None},
        inputs=("x0",),
        outputs=("y",),
        weights=weights,
        constants=known,
    )


CASES = {
    "conv": made("Conv", [(2, 4, 7, 6), (5, 4, 3, 2), (5,)], (2, 5, 4, 5), kernel_shape=(3, 2), strides=(2, 1), pads=(1, 0, 1, 0)),
    "conv dilated": made("Conv", [(1, 3, 9, 9), (2, 3, 3, 3)], (1, 2, 7, 7), dilations=(2, 2), pads=(1, 1, 1, 1)),
    "conv of groups": made("Conv", [(1, 6, 5, 5), (4, 3, 3, 3), (4,)], (1, 4, 3, 3), group=2),
    "conv depthwise": made("Conv", [(1, 4, 5, 5), (4, 1, 3, 3), (4,)], (1, 4, 3, 3), group=4, strides=(2, 2), pads=(1, 1, 1, 1)),
    "conv of patches": made("Conv", [(1, 3, 8, 8), (6, 3, 4, 4), (6,)], (1, 6, 2, 2), strides=(4, 4)),
    "conv uneven pads": made("Conv", [(1, 2, 5, 5), (3, 2, 3, 3)], (1, 3, 3, 3), auto_pad="SAME_UPPER", strides=(2, 2)),
    "conv sparse": made("Conv", [(1, 2, 9, 9), (3, 2, 1, 1)], (1, 3, 5, 5), strides=(2, 2)),
    "conv 1d": made("Conv", [(2, 3, 10), (4, 3, 3), (4,)], (2, 4, 10), pads=(1, 1)),
    "conv 3d": made("Conv", [(1, 2, 4, 5, 6), (3, 2, 2, 3, 3)], (1, 3, 3, 3, 4)),
    "conv transpose": made("ConvTranspose", [(2, 3, 4, 5), (3, 4, 2, 2), (4,)], (2, 4, 8, 10), strides=(2, 2)),
    "gemm": made("Gemm", [(3, 4), (4, 5), (5,)], (3, 5), alpha=0.5, beta=2.0),
    "gemm turned": made("Gemm", [(4, 3), (5, 4), (3, 5)], (3, 5), transA=1, transB=1),
    "matmul": made("MatMul", [(2, 3, 4), (4, 5)], (2, 3, 5)),
    "matmul batched": made("MatMul", [(2, 1, 3, 4), (5, 4, 2)], (2, 5, 3, 2)),
    "matmul vector": made("MatMul", [(2, 3, 4), (4,)], (2, 3)),
    "vector matmul": made("MatMul", [(4,), (2, 4, 3)], (2, 3)),
    "einsum": made("Einsum", [(2, 3, 4), (5, 4, 3)], (2, 5), equation="abc,dcb->ad"),
    "batch norm": made("BatchNormalization", [(2, 3, 4), (3,), (3,), (3,), (3,)], (2, 3, 4)),
    "layer norm": made("LayerNormalization", [(2, 3, 4), (4,), (4,)], (2, 3, 4), epsilon=0.1),
    "layer norm of two": made("LayerNormalization", [(2, 3, 4), (3, 4)], (2, 3, 4), axis=1),
    "rms norm": made("RMSNormalization", [(2, 3, 4), (4,)], (2, 3, 4), epsilon=0.1),
    "instance norm": made("InstanceNormalization", [(2, 3, 4, 5), (3,), (3,)], (2, 3, 4, 5)),
    "group norm": made("GroupNormalization", [(2, 6, 4, 5), (6,), (6,)], (2, 6, 4, 5), num_groups=2),
    "softmax": made("Softmax", [(2, 3, 4)], (2, 3, 4)),
    "softmax over rows": made("Softmax", [(2, 3, 4)], (2, 3, 4), axis=1),
    "log softmax": made("LogSoftmax", [(2, 5)], (2, 5)),
    "max pool": made("MaxPool", [(1, 2, 7, 7)], (1, 2, 4, 4), kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1)),
    "max pool rounded up": made("MaxPool", [(1, 2, 6, 6)], (1, 2, 3, 3), kernel_shape=(3, 3), strides=(2, 2), ceil_mode=1),
    "mean pool": made("AveragePool", [(1, 2, 6, 6)], (1, 2, 3, 3), kernel_shape=(2, 2), strides=(2, 2)),
    "mean pool inside": made("AveragePool", [(1, 2, 5, 4)], (1, 2, 5, 4), kernel_shape=(3, 3), pads=(1, 1, 1, 1)),
    "mean pool with pads": made("AveragePool", [(1, 2, 5, 4)], (1, 2, 5, 4), kernel_shape=(3, 3), pads=(1, 1, 1, 1), count_include_pad=1),
    "global mean": made("GlobalAveragePool", [(2, 3, 4, 5)], (2, 3, 1, 1)),
    "global max": made("GlobalMaxPool", [(2, 3, 4, 5)], (2, 3, 1, 1)),
    "reduce mean": made("ReduceMean", [(2, 3, 4), (1,)], (2, 3, 1), {1: (True, [-1])}),
    "reduce mean away": made("ReduceMean", [(2, 3, 4), (2,)], (3,), {1: (True, [0, 2])}, keepdims=0),
    "reduce sum all": made("ReduceSum", [(2, 3)], (1, 1)),
    "reduce max": made("ReduceMax", [(2, 3, 4), (1,)], (2, 1, 4), {1: (True, [1])}),
    "reduce L2": made("ReduceL2", [(2, 3, 4), (1,)], (2, 1, 4), {1: (True, [1])}),
    # The evaluator takes as many channels as there are images.
    "local response norm": made("LRN", [(6, 6, 2, 2)], (6, 6, 2, 2), size=5, alpha=0.5, beta=0.75, bias=1.5),
    "local response norm of two": made("LRN", [(6, 6, 2, 2)], (6, 6, 2, 2), size=2, alpha=0.5),
    "resize nearest": made("Resize", [(1, 2, 3, 4), None, None, (4,)], (1, 2, 6, 12), {3: (True, [1, 2, 6, 12])}, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    "resize linear": made("Resize", [(1, 2, 3, 4), None, None, (4,)], (1, 2, 6, 12), {3: (True, [1, 2, 6, 12])}, mode="linear"),
    "clip": made("Clip", [(3, 4), (), ()], (3, 4), {1: (False, -0.5), 2: (False, 0.25)}),
    "clip above": made("Clip", [(3, 4), None, ()], (3, 4), {2: (False, 0.25)}),
    "power": made("Pow", [(3, 4), ()], (3, 4), {1: (False, 3.0)}),
    "broadcast": made("Add", [(2, 3, 1, 4), (5, 1)], (2, 3, 5, 4)),
    "channel slope": made("PRelu", [(2, 3, 4, 4), (3, 1, 1)], (2, 3, 4, 4)),
    "leaky relu": made("LeakyRelu", [(3, 4)], (3, 4), alpha=0.1),
    "elu": made("Elu", [(3, 4)], (3, 4), alpha=0.7),
    "selu": made("Selu", [(3, 4)], (3, 4)),
    "hard sigmoid": made("HardSigmoid", [(3, 4)], (3, 4), alpha=0.3),
    "gelu tanh": made("Gelu", [(3, 4)], (3, 4), approximate="tanh"),
    "max of three": made("Max", [(3, 4), (3, 4), (4,)], (3, 4)),
    "mean of two": made("Mean", [(3, 4), (3, 4)], (3, 4)),
    **{op: made(op, [(3, 4)], (3, 4)) for op in ("Relu", "Sigmoid", "Tanh", "Erf", "Exp", "Abs", "Neg", "Softplus", "Softsign", "Mish", "HardSwish", "Gelu", "Swish")},
    **{op: made(op, [(3, 4), (3, 1)], (3, 4)) for op in ("Sub", "Mul", "Div", "Min", "Sum")},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_operator_computes_what_onnx_says(name):
    graph = CASES[name]
    values = stored_values(graph, seed=3)
    data = np.random.default_rng(5).standard_normal(graph.shapes["x0"])
    found = computed(GraphNetwork(graph=graph), values, {"x0": data})["y"]
    node = graph.nodes[0]
    expected = one_node(node, {"x0": data, **values})[0]
    assert found.shape == expected.shape == graph.shapes["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_a_transposed_convolution_of_groups_is_one_of_each_group():
    graph = made("ConvTranspose", [(1, 4, 3, 3), (4, 3, 2, 2)], (1, 6, 6, 6), strides=(2, 2), group=2)
    values, data = stored_values(graph), np.random.default_rng(5).standard_normal((1, 4, 3, 3))
    found = computed(GraphNetwork(graph=graph), values, {"x0": data})["y"]
    alone = made("ConvTranspose", [(1, 2, 3, 3), (2, 3, 2, 2)], (1, 3, 6, 6), strides=(2, 2)).nodes[0]
    halves = [
        one_node(alone, {"x0": data[:, at : at + 2], "w1": values["w1"][at : at + 2]})[0] for at in (0, 2)
    ]
    np.testing.assert_allclose(
        found, np.concatenate(halves, axis=1)
    )  # the evaluator itself knows no groups here


def test_a_gather_of_computed_indices_reads_as_many_rows():
    graph = OperatorGraph(
        name="words", nodes=(Node(op="Gather", name="words", inputs=("w0", "ids"), outputs=("y",)),),
        shapes={"w0": (10, 4), "ids": (2, 3), "y": (2, 3, 4)}, inputs=("ids",), outputs=("y",), weights={"w0": 40},
    )  # fmt: skip
    network = GraphNetwork(graph=graph)
    values, ids = stored_values(graph), np.array([[1, 2, 3], [9, 0, 9]])
    np.testing.assert_array_equal(computed(network, values, {"ids": ids})["y"], values["w0"][ids])
    part = network.parts[0]
    assert (part.parameters, part.cascade.elements(part.weights[0])) == (40, 24)


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (made("ConvTranspose", [(1, 3, 4, 4), (3, 2, 3, 3)], (1, 2, 9, 9), strides=(2, 2)), "kernel as large as its stride"),
        (made("Pow", [(3, 4), ()], (3, 4), {1: (False, 1.5)}), "powers 1 to 8"),
        (made("Resize", [(1, 2, 3, 3), None, None, (4,)], (1, 2, 5, 5), {3: (True, [1, 2, 5, 5])}), "whole factors"),
        (made("Einsum", [(2, 3), (3, 3)], (2,), equation="ab,bb->a"), "distinct letters"),
    ],
)  # fmt: skip
def test_what_has_no_cascade_is_refused_by_operator_and_node(graph, said):
    node = graph.nodes[0]
    with pytest.raises(SpecError, match=f"^{node.op} {node.name}: .*{said}"):
        _ = GraphNetwork(graph=graph).steps


def test_operators_without_a_cascade_are_named_and_counted():
    nodes = [
        Node(op=op, name=f"n{at}", inputs=("x0",), outputs=(f"y{at}",))
        for at, op in enumerate(("LSTM", "TopK", "LSTM"))
    ]
    graph = OperatorGraph(
        name="odd", nodes=tuple(nodes), shapes={"x0": (2, 2)}, inputs=("x0",), outputs=("y0",), weights={}
    )
    with pytest.raises(SpecError, match=r"^graph: operators without a cascade: LSTM x2, TopK x1 \(got .*n0"):
        _ = GraphNetwork(graph=graph).steps
