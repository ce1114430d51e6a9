"""ONNX files: what is read of them, and what is refused in one line."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from einsim.specs.errors import SpecError
from einsim.workloads.graphs.networks import attending, build
from einsim.workloads.graphs.onnx_file import OnnxFile
from einsim.workloads.graphs.parts import GraphNetwork
from tests.workloads.graphs.exported import as_array, computed, to_onnx

FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


def info(name, *shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def saved(path, nodes, inputs, outputs, stored=None, opset=17):
    """A file of these nodes; `stored` are arrays by name."""
    held = [numpy_helper.from_array(value, name) for name, value in (stored or {}).items()]
    body = helper.make_graph(nodes, "test", inputs, outputs, held)
    onnx.save(helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)]), path)
    return path


def weights(seed=0, **shapes):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("name", "size", "ids"),
    [("mobilenet-v2", {"image": 32}, ()), ("yolov8n", {"image": 64}, ()), ("bert-base-uncased", {"seq": 5}, ("words", "types"))],
)  # fmt: skip
def test_a_network_written_as_onnx_reads_back_as_the_same_parts(tmp_path, monkeypatch, name, size, ids):
    monkeypatch.setitem(attending._BERTS, "bert-base-uncased", (8, 2, 2))
    graph = build(name, **size)
    zeros = {value: np.zeros(graph.shapes[value]) for value in graph.weights}
    known = {value: as_array(value, constant) for value, constant in graph.constants.items()}
    onnx.save(to_onnx(graph, zeros | known, ids), tmp_path / "net.onnx")
    ours, read = GraphNetwork(graph=graph), GraphNetwork(graph=OnnxFile(tmp_path / "net.onnx").graph({}))
    assert read.parameters == ours.parameters
    assert [step.cascade for step in read.steps] == [step.cascade for step in ours.steps]
    assert [(part.count, part.parameters) for part in read.parts] == [
        (part.count, part.parameters) for part in ours.parts
    ]
    assert read.live == ours.live


def exported(path, opset=17):
    """A block of a transformer as exporters write it: shapes computed, layer norm and GELU in pieces, scores masked."""
    w = weights(G=(8,), B=(8,), WQ=(8, 8), WK=(8, 8), WV=(8, 8), BQ=(8,), WO=(8, 8), W1=(8, 16), W2=(16, 8))
    w |= {
        "one": np.array(1.0, np.float32), "half": np.array(0.5, np.float32), "two": np.array(2.0, np.float32), "root": np.array(2**0.5, np.float32),
        "eps": np.array(1e-5, np.float32), "low": np.array(-1e4, np.float32), "four": np.array(2.0, np.float32),
        "i0": np.array(0), "i1": np.array(1), "h": np.array([2]), "m1": np.array([-1]), "ax": np.array([0]), "ax12": np.array([1, 2]),
    }  # fmt: skip
    n = helper.make_node
    nodes = [
        n("Unsqueeze", ["mask", "ax12"], ["m4"]), n("Cast", ["m4"], ["mf"], to=FLOAT), n("Sub", ["one", "mf"], ["mi"]), n("Mul", ["mi", "low"], ["mb"]),
        n("ReduceMean", ["x"], ["mu"], axes=[-1]), n("Sub", ["x", "mu"], ["c"]), n("Pow", ["c", "two"], ["cc"]), n("ReduceMean", ["cc"], ["var"], axes=[-1]),
        n("Add", ["var", "eps"], ["ve"]), n("Sqrt", ["ve"], ["sd"]), n("Div", ["c", "sd"], ["xn"]), n("Mul", ["xn", "G"], ["xg"]), n("Add", ["xg", "B"], ["ln"]),
        n("Shape", ["ln"], ["sh"]), n("Gather", ["sh", "i0"], ["b"]), n("Gather", ["sh", "i1"], ["p"]),
        n("Unsqueeze", ["b", "ax"], ["b1"]), n("Unsqueeze", ["p", "ax"], ["p1"]), n("Concat", ["b1", "p1", "h", "m1"], ["split"], axis=0),
        n("MatMul", ["ln", "WQ"], ["q0"]), n("Add", ["BQ", "q0"], ["q"]), n("MatMul", ["ln", "WK"], ["k"]),
        n("Reshape", ["q", "split"], ["q4"]), n("Transpose", ["q4"], ["qt"], perm=[0, 2, 1, 3]),
        n("Reshape", ["k", "split"], ["k4"]), n("Transpose", ["k4"], ["kt"], perm=[0, 2, 3, 1]),
        n("MatMul", ["qt", "kt"], ["s0"]), n("Div", ["s0", "four"], ["s1"]), n("Add", ["s1", "mb"], ["s"]), n("Softmax", ["s"], ["a"], axis=-1),
        n("MatMul", ["ln", "WV"], ["v"]), n("Reshape", ["v", "split"], ["v4"]), n("Transpose", ["v4"], ["vt"], perm=[0, 2, 1, 3]),
        n("MatMul", ["a", "vt"], ["o"]), n("Transpose", ["o"], ["ot"], perm=[0, 2, 1, 3]), n("Concat", ["b1", "p1", "m1"], ["join"], axis=0), n("Reshape", ["ot", "join"], ["oj"]),
        n("MatMul", ["oj", "WO"], ["z"]), n("Add", ["z", "x"], ["r"]),
        n("MatMul", ["r", "W1"], ["f"]), n("Div", ["f", "root"], ["fr"]), n("Erf", ["fr"], ["fe"]), n("Add", ["fe", "one"], ["fo"]), n("Mul", ["f", "fo"], ["fm"]), n("Mul", ["fm", "half"], ["fg"]),
        n("MatMul", ["fg", "W2"], ["g"]), n("Add", ["r", "g"], ["y"]),
    ]  # fmt: skip
    return saved(
        path,
        nodes,
        [info("x", "batch", "seq", 8), info("mask", "batch", "seq", kind=INT)],
        [info("y", "batch", "seq", 8)],
        w,
        opset,
    )


def test_a_layer_as_exporters_write_it(tmp_path):
    file = OnnxFile(exported(tmp_path / "layer.onnx"))
    assert file.dimensions == {"batch": 1, "seq": 0}
    graph = file.graph({"batch": 2, "seq": 5})
    network = GraphNetwork(graph=graph)
    assert graph.parameters == 2 * 8 + 4 * 64 + 8 + 2 * 128
    attention = next(step for step in network.steps if any(node.op == "Softmax" for node in step.nodes))
    assert [node.op for node in attention.nodes] == ["MatMul", "Div", "Add", "Softmax", "MatMul"]
    rng = np.random.default_rng(1)
    inputs = {
        "x": rng.standard_normal((2, 5, 8)).astype(np.float32),
        "mask": np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]),
    }
    model = onnx.load(tmp_path / "layer.onnx")
    expected = ReferenceEvaluator(model).run(None, inputs)[0]
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    found = computed(network, values, inputs)["y"]
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-5)  # the evaluator computes in 32 bits


def test_an_open_size_is_asked_for_by_its_name(tmp_path):
    file = OnnxFile(exported(tmp_path / "layer.onnx"))
    with pytest.raises(
        SpecError, match=r"layer.onnx seq: an input leaves this size open; give it; --set seq=128"
    ):
        file.graph({})


def test_weights_beside_the_file_are_not_needed(tmp_path):
    model = onnx.load(exported(tmp_path / "layer.onnx"))
    onnx.save(
        model,
        tmp_path / "outside.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=100,
    )
    (tmp_path / "weights.bin").unlink()
    sizes = {"batch": 2, "seq": 5}
    inside, outside = (OnnxFile(tmp_path / f"{name}.onnx").graph(sizes) for name in ("layer", "outside"))
    assert outside.parameters == inside.parameters
    assert [step.cascade for step in GraphNetwork(graph=outside).steps] == [
        step.cascade for step in GraphNetwork(graph=inside).steps
    ]


def test_before_opset_13_a_softmax_goes_over_the_dimension_that_has_elements(tmp_path):
    node = helper.make_node("Softmax", ["x"], ["y"])
    path = saved(tmp_path / "s.onnx", [node], [info("x", 2, 5, 1, 1)], [info("y", 2, 5, 1, 1)], opset=11)
    assert OnnxFile(path).graph({}).nodes[0].attributes["axis"] == 1
    path = saved(tmp_path / "s.onnx", [node], [info("x", 2, 5, 3)], [info("y", 2, 5, 3)], opset=11)
    with pytest.raises(SpecError, match="Softmax Softmax_0: goes over several dimensions"):
        OnnxFile(path).graph({})


def test_a_function_of_the_file_is_put_in_its_place(tmp_path):
    body = [helper.make_node("Relu", ["a"], ["r"]), helper.make_node("Add", ["r", "r"], ["b"])]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    function = helper.make_function("own", "Twice", ["a"], ["b"], body, opsets[:1])
    graph = helper.make_graph(
        [helper.make_node("Twice", ["x"], ["y"], domain="own")], "g", [info("x", 2, 3)], [info("y", 2, 3)]
    )
    onnx.save(helper.make_model(graph, opset_imports=opsets, functions=[function]), tmp_path / "f.onnx")
    assert [node.op for node in OnnxFile(tmp_path / "f.onnx").graph({}).nodes] == ["Relu", "Add"]


def test_operators_without_a_cascade_are_counted_wherever_they_come_from(tmp_path):
    nodes = [
        helper.make_node("NonZero", ["x"], ["i"]), helper.make_node("TopK", ["x", "k"], ["v", "at"]),
        helper.make_node("Attention", ["x"], ["z"], domain="com.microsoft"), helper.make_node("Relu", ["z"], ["y"]),
    ]  # fmt: skip
    path = tmp_path / "odd.onnx"
    body = helper.make_graph(
        nodes,
        "g",
        [info("x", 4, 8)],
        [info("y", 4, 8), info("v", 4, 2), info("i", 2, None, kind=INT)],
        [numpy_helper.from_array(np.array([2]), "k")],
    )
    onnx.save(
        helper.make_model(
            body, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        ),
        path,
    )
    with pytest.raises(
        SpecError, match=r"odd.onnx graph: operators without a cascade: Attention x1, NonZero x1, TopK x1"
    ):
        _ = GraphNetwork(graph=OnnxFile(path).graph({})).steps


def broken():
    """Bytes that are no model, by what is wrong with them."""
    conv = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[3, 3])
    stored = [numpy_helper.from_array(np.zeros((4, 3, 3, 3), np.float32), "w")]
    shapes = [info("x", 1, 3, 8, 8)], [info("y", 1, 4, 6, 6)]

    def model(nodes=(conv,), inputs=shapes[0], held=stored, opset=17):
        body = helper.make_graph(list(nodes), "g", inputs, shapes[1], held)
        return helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString()

    whole = model()
    short = numpy_helper.from_array(np.zeros((4, 3, 3, 3), np.float32), "w")
    short.raw_data = short.raw_data[:-8]
    return {
        "empty": b"", "text": b"name: not-a-model\n", "json": b'{"model_type": "bert"}', "zeros": bytes(64),
        "cut in half": whole[: len(whole) // 2], "cut at the end": whole[:-3], "bits turned": bytes(one ^ 0x55 for one in whole),
        "unknown input": model([helper.make_node("Conv", ["x", "v"], ["y"])]),
        "channels": model(inputs=[info("x", 1, 5, 8, 8)]), "no shape": model(inputs=[helper.make_tensor_value_info("x", FLOAT, None)]),
        "weights too short": model(held=[short]), "an operator that is none": model([helper.make_node("Convolve", ["x", "w"], ["y"])]),
        "attribute of another kind": model([helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape="3x3")]),
        "a later opset than there is": model(opset=9999), "two nodes of one result": model([conv, conv]),
        "a cycle": model([helper.make_node("Add", ["y", "x"], ["z"]), helper.make_node("Relu", ["z"], ["y"])]),
    }  # fmt: skip


@pytest.mark.parametrize("name", broken())
def test_what_is_no_model_is_refused_in_one_line(tmp_path, name):
    path = tmp_path / "net.onnx"
    path.write_bytes(broken()[name])
    with pytest.raises(SpecError) as caught:
        _ = GraphNetwork(graph=OnnxFile(path).graph({})).steps
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


CONTRADICTIONS = {
    "kernel_shape must be .3, 3., as its weight is": ("Conv", {"kernel_shape": [7, 3]}, (16, 8, 3, 3)),
    "kernel_shape must be .2, 2., as its weight is": ("ConvTranspose", {"kernel_shape": [3, 2], "strides": [2, 2]}, (8, 4, 2, 2)),
    "Attribute kernel_shape has incorrect size": ("Conv", {"kernel_shape": [3]}, (16, 8, 3, 3)),
    "in 3 groups doesn't fit 8 channels": ("Conv", {"group": 3}, (16, 8, 3, 3)),
    "in 0 groups doesn't fit 8 channels": ("Conv", {"group": 0}, (16, 8, 3, 3)),
    "in 2 groups doesn't fit 8 channels": ("Conv", {"group": 2}, (15, 4, 3, 3)),
    "Attribute strides has incorrect size": ("Conv", {"strides": [2]}, (16, 8, 3, 3)),
    "Attribute pads has incorrect size": ("Conv", {"pads": [1, 1]}, (16, 8, 3, 3)),
    "Attribute dilations has incorrect size": ("Conv", {"dilations": [1, 1, 1]}, (16, 8, 3, 3)),
    "auto_pad must be one of NOTSET, SAME_UPPER, SAME_LOWER, VALID .got 'SAME'": ("Conv", {"auto_pad": "SAME"}, (16, 8, 3, 3)),
    "Incompatible dimensions for matrix multiplication": ("MatMul", {}, (1, 8, 9, 3)),
}  # fmt: skip


@pytest.mark.parametrize("said", CONTRADICTIONS)
def test_a_node_that_contradicts_its_weight_is_refused(tmp_path, said):
    op, attributes, shape = CONTRADICTIONS[said]
    node = helper.make_node(op, ["x", "w"], ["y"], **attributes)
    path = saved(
        tmp_path / "net.onnx",
        [node],
        [info("x", 1, 8, 10, 10)],
        [info("y", "a", "b", "c", "d")],
        weights(w=shape),
    )
    with pytest.raises(SpecError, match=rf"net.onnx {op} {op}_0: .*{said}"):
        _ = GraphNetwork(graph=OnnxFile(path).graph({})).steps


@pytest.mark.parametrize(
    ("left", "right", "added", "said"),
    [((4, 8), (7, 5), (5,), "Dimension mismatch"), ((4, 8), (8, 5), (3,), r"w2: must be of shape \(5,\) \(got \(3,\)\)"),
     ((4, 8), (8, 5), (2, 4, 5), r"C must have at most two dimensions \(got \(2, 4, 5\)\)")],
)  # fmt: skip
def test_a_gemm_of_other_shapes_is_refused(tmp_path, left, right, added, said):
    node = helper.make_node("Gemm", ["x", "w1", "w2"], ["y"])
    path = saved(
        tmp_path / "net.onnx", [node], [info("x", *left)], [info("y", "a", "b")], weights(w1=right, w2=added)
    )
    with pytest.raises(SpecError, match=rf"net.onnx Gemm Gemm_0.*{said}"):
        _ = GraphNetwork(graph=OnnxFile(path).graph({})).steps


def test_a_value_that_is_not_there_yet_is_told_with_its_node(tmp_path):
    add, relu = helper.make_node("Add", ["x", "z"], ["r"]), helper.make_node("Relu", ["r"], ["z"], name="act")
    ends = [info("x", 1, 4)], [info("z", 1, 4)]
    for nodes, said in (
        ([add, relu], "Add Add_0: reads a value that only it or a later node makes (got 'z')"),
        ([relu], "Relu act: reads a value that nothing makes (got 'r')"),
    ):
        path = saved(tmp_path / "net.onnx", nodes, *ends)
        with pytest.raises(SpecError) as caught:
            OnnxFile(path)
        assert str(caught.value) == f"{path} {said}"


def test_a_model_cut_anywhere_is_refused_or_read(tmp_path):
    path, rng = tmp_path / "net.onnx", np.random.default_rng(0)
    whole = exported(tmp_path / "layer.onnx").read_bytes()
    for at in sorted(rng.choice(len(whole), 60, replace=False)):
        path.write_bytes(whole[:at])
        with pytest.raises(SpecError):
            _ = GraphNetwork(graph=OnnxFile(path).graph({"batch": 1, "seq": 4})).steps
    for at in sorted(rng.choice(len(whole), 60, replace=False)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            _ = GraphNetwork(graph=OnnxFile(path).graph({"batch": 1, "seq": 4})).steps
        except SpecError:
            continue


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SpecError, match="no such file"):
        OnnxFile(tmp_path / "net.onnx")
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        OnnxFile(tmp_path)
