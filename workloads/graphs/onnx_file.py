"""ONNX files as graphs: constants folded, shapes inferred node by node, old operators as new ones.

Weights aren't needed: a file whose weights lie beside it is read without them. This module needs the `onnx`
package (`pip install einsim[onnx]`), so it is imported where a file is read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TypeProto, defs, helper, inliner, numpy_helper, shape_inference

from einsim.specs.errors import SpecError
from einsim.workloads.graphs.graph import Attribute, Constant, Node, OperatorGraph
from einsim.workloads.graphs.onnx_constants import computed_ahead
from einsim.workloads.graphs.operators import LOWERED, MOVES

LARGEST_BYTES = 2**31 - 1
"""What a message of protocol buffers can be."""
MOST_KNOWN = 2**20
"""Elements of a constant whose values are looked at; of a larger one only the shape is."""
_MOST_SHAPE = 4096
"""Elements of a constant that a shape may depend on."""
_MOST_SAID = 200
"""Characters of a library's message."""
_SHAPES = {"Shape", "Size", "Constant"}
_NO_DATA = {
    ("Resize", 1),
    ("Resize", 2),
    ("Upsample", 1),
    ("BatchNormalization", 3),
    ("BatchNormalization", 4),
}
"""Inputs, by operator and place, that are stored and were not learnt."""
_FLOATS = {"FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16"}
_FAULTS = (
    onnx.checker.ValidationError, shape_inference.InferenceError, defs.SchemaError, ValueError, RuntimeError,
)  # fmt: skip
"""What onnx raises of a model that is none."""
_DOMAINS = {"", "ai.onnx"}


class OnnxFile:
    """A file's model; `dimensions` are the sizes that it leaves open, by name, and `graph` fills them in."""

    def __init__(self, path: Path) -> None:
        """SpecError, one line, for whatever is no valid ONNX model."""
        self.path = path
        self.model = _checked(path)
        self.body = self.model.graph
        stored = {tensor.name for tensor in self.body.initializer}
        self.inputs = [value for value in self.body.input if value.name not in stored]
        self.dimensions: dict[str, int] = {}
        for value in self.inputs:
            for axis, (name, size) in enumerate(self._axes(value)):
                if size is None:  # images or texts at once are the one size that all know
                    self.dimensions.setdefault(name, int(axis == 0))

    @property
    def name(self) -> str:
        """Its graph's, or the file's."""
        return self.path.stem

    def _axes(self, value: onnx.ValueInfoProto) -> list[tuple[str, int | None]]:
        """Name and size of each dimension of an input; None where it is open."""
        if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
            raise SpecError(f"input {value.name}", "has no shape", where=str(self.path))
        found: list[tuple[str, int | None]] = []
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            known = dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
            found.append((_word(dim.dim_param) or f"{_word(value.name)}_{axis}", known))
        return found

    def batch(self, sizes: Mapping[str, int]) -> int:
        """The first dimension of the first input: how many run at once."""
        axes = self._axes(self.inputs[0]) if self.inputs else []
        name, size = axes[0] if axes else ("", 1)
        return size if size is not None else sizes.get(name) or 1

    def graph(self, sizes: Mapping[str, int]) -> OperatorGraph:
        """The graph at these sizes of open dimensions. SpecError names the node that can't be read."""
        sizes = {**self.dimensions, **sizes}
        missing = [name for name, size in sizes.items() if not size]
        if missing:
            rule = "an input leaves this size open; give it"
            raise SpecError(missing[0], rule, where=str(self.path), hint=f"--set {missing[0]}=128")
        reader = _OnnxReader(self.model, str(self.path))
        for value in self.inputs:
            shape = [sizes[name] if size is None else size for name, size in self._axes(value)]
            reader.types[value.name] = helper.make_tensor_type_proto(value.type.tensor_type.elem_type, shape)
        return reader.read(self.name, [value.name for value in self.inputs])


def _word(name: str) -> str:
    """A name as a setting can be called."""
    return "".join(sign if sign.isalnum() else "_" for sign in name).strip("_")


def _checked(path: Path) -> onnx.ModelProto:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise SpecError("", f"is larger than {LARGEST_BYTES} bytes", where=str(path))
        model = onnx.load(str(path), load_external_data=False)
    except FileNotFoundError:
        raise SpecError("", "no such file", where=str(path)) from None
    except OSError as error:
        raise SpecError("", f"cannot be read: {error.strerror or error}", where=str(path)) from None
    except (DecodeError, ValueError, UnicodeDecodeError):
        raise SpecError("", "is no ONNX model, or is cut off", where=str(path)) from None
    if not all(isinstance(text, str) for text in _texts(model)):
        raise SpecError("", "holds a name that is no text: no ONNX model, or damaged", where=str(path))
    if not model.graph.node:
        raise SpecError("", "holds no graph of nodes: no ONNX model, or cut off", where=str(path))
    try:
        if model.functions:
            model = inliner.inline_local_functions(model)
        _check_order(model.graph, str(path))
        known = onnx.ModelProto()
        known.CopyFrom(model)
        for tensor in known.graph.initializer:  # weights beside the file are not looked for
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                tensor.CopyFrom(onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=[0]))
        onnx.checker.check_model(known)
    except _FAULTS as error:
        raise SpecError("", f"is no valid ONNX model: {_line(error)}", where=str(path)) from None
    return model


def _check_order(graph: onnx.GraphProto, where: str) -> None:
    """Each node reads only what there is before it: onnx says so without the node's place."""
    there = {"", *(one.name for one in (*graph.input, *graph.initializer))}
    there |= {one.values.name for one in graph.sparse_initializer}
    made = {value for node in graph.node for value in node.output}
    for at, node in enumerate(graph.node):
        for value in node.input:
            if value not in there:
                rule = (
                    "reads a value that only it or a later node makes"
                    if value in made
                    else "reads a value that nothing makes"
                )
                raise SpecError(
                    f"{node.op_type} {node.name or f'{node.op_type}_{at}'}", rule, got=value, where=where
                )
        there.update(node.output)


def _texts(model: onnx.ModelProto) -> Iterator[object]:
    """Every name; one that is damaged comes as bytes."""
    for node in model.graph.node:
        yield from (*node.input, *node.output, node.op_type, node.name, node.domain)
        yield from (attribute.name for attribute in node.attribute)
    for value in (*model.graph.input, *model.graph.output):
        yield value.name
        yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)
    yield from (tensor.name for tensor in model.graph.initializer)
    yield from (one.domain for one in model.opset_import)


def _line(error: Exception) -> str:
    """What a library's message says before its context, on one line; long names are cut."""
    said = str(error).strip().partition("\n\n")[0]
    return " ".join(said.split())[:_MOST_SAID] or type(error).__name__


class _OnnxReader:
    """Walks the nodes once, in order."""

    def __init__(self, model: onnx.ModelProto, where: str) -> None:
        self.model, self.where = model, where
        self.opset = next((one.version for one in model.opset_import if one.domain in _DOMAINS), 1)
        newest = defs.onnx_opset_version()
        if not 1 <= self.opset <= newest:
            rule = f"opset must be 1 to {newest}, which the installed onnx knows"
            raise SpecError("", rule, got=self.opset, where=where)
        self.types: dict[str, TypeProto] = {}
        self.known: dict[str, NDArray[np.generic]] = {}
        self.weights: dict[str, int] = {}
        self.nodes: list[Node] = []
        self._learnt = _learnt(model.graph)
        self._uses = Counter(value for node in model.graph.node for value in node.input)
        self._roots: dict[str, tuple[str, ...]] = {}

    def read(self, name: str, inputs: list[str]) -> OperatorGraph:
        for tensor in self.model.graph.initializer:
            self._store(tensor)
        for at, node in enumerate(self.model.graph.node):
            self._node(node, node.name or f"{node.op_type}_{at}")
        outputs = tuple(value.name for value in self.model.graph.output)
        used = set(outputs)
        for node in reversed(list(self.nodes)):
            if used & set(node.outputs):
                used |= set(node.inputs)
            else:
                self.nodes.remove(node)
        constants = {}
        for value in used & set(self.known):
            array = self.known[value]
            if array.size > _MOST_SHAPE:
                self._weigh(value, 0)
            else:
                constants[value] = Constant(array.shape, tuple(map(float, array.ravel())))
        stored = {value: learnt for value, learnt in self.weights.items() if value in used}
        return OperatorGraph(
            name=name,
            nodes=tuple(self.nodes),
            shapes={value: self._shape(value) for value in self.types if self._shaped(value)},
            inputs=tuple(inputs),
            outputs=outputs,
            weights=stored,
            constants=constants,
            source=self.where,
        )

    def _store(self, tensor: onnx.TensorProto) -> None:
        """An initializer: a weight, or a constant where its values are few and weren't learnt."""
        elements = math.prod(tensor.dims)
        self.types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
        beside = tensor.data_location == onnx.TensorProto.EXTERNAL
        float_kind = onnx.TensorProto.DataType.Name(tensor.data_type) in _FLOATS
        learnt = elements if float_kind and elements > 1 and tensor.name in self._learnt else 0
        if learnt or elements > MOST_KNOWN or beside:
            self._weigh(tensor.name, learnt)
        else:
            self.known[tensor.name] = self._array(tensor)

    def _weigh(self, value: str, learnt: int) -> None:
        self.weights[value], self._roots[value] = learnt, (value,)

    def _array(self, tensor: onnx.TensorProto) -> NDArray[np.generic]:
        try:
            return numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise SpecError(f"initializer {tensor.name}", _line(error), where=self.where) from None

    def _shaped(self, value: str) -> bool:
        kind = self.types[value]
        return bool(kind.HasField("tensor_type") and kind.tensor_type.HasField("shape"))

    def _shape(self, value: str) -> tuple[int, ...]:
        return tuple(dim.dim_value for dim in self.types[value].tensor_type.shape.dim)

    def _node(self, node: onnx.NodeProto, name: str) -> None:
        where = f"{node.op_type} {name}"
        if self._told_later(node):
            outputs = tuple(node.output)
            self.nodes.append(Node(op=node.op_type, name=name, inputs=tuple(node.input), outputs=outputs))
            return
        self._infer(node, where)
        ahead = computed_ahead(node, self.known, self.types, self.opset)
        if ahead is not None:
            for value, array in ahead.items():
                self.known[value] = array
                kind = helper.np_dtype_to_tensor_dtype(array.dtype)
                self.types[value] = helper.make_tensor_type_proto(kind, list(array.shape))
            return
        made = self._as_now(node, name, where)
        for value in made.outputs:
            if value and (not self._shaped(value) or min((0, *self._sizes(value))) < 0):
                raise SpecError(where, "has a result whose shape isn't known beforehand", where=self.where)
        stored = [value for value in made.inputs if value in self._roots]
        if all(value in self._roots or value in self.known for value in made.inputs if value):
            roots = tuple(dict.fromkeys(root for value in stored for root in self._roots[value]))
            if made.op not in MOVES:
                self._fold(made, roots)
                return
            self._roots.update(dict.fromkeys(made.outputs, roots))
        self.nodes.append(made)

    def _told_later(self, node: onnx.NodeProto) -> bool:
        """Whether it has no cascade or depends on such: they are told all at once, when the graph is used."""
        unknown = node.domain not in _DOMAINS or not defs.has(node.op_type)
        known_ahead = all(value in self.known for value in node.input if value) or node.op_type in _SHAPES
        unknown |= node.op_type not in LOWERED and node.op_type not in MOVES and not known_ahead
        return unknown or any(value and value not in self.types for value in node.input)

    def _fold(self, node: Node, roots: tuple[str, ...]) -> None:
        """What is computed of weights alone is a weight; what was learnt for those counts for it."""
        learnt = 0
        for root in roots:
            if self._uses[root] == 1:
                learnt += self.weights[root]
                self.weights[root] = 0
        for at, value in enumerate(node.outputs):
            self._weigh(value, 0 if at else learnt)

    def _sizes(self, value: str) -> list[int]:
        dims = self.types[value].tensor_type.shape.dim
        return [dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims]

    def _infer(self, node: onnx.NodeProto, where: str) -> None:
        """Types and shapes of the node's results."""
        try:
            schema = defs.get_schema(node.op_type, self.opset, "")
            given = {value: self.types[value] for value in node.input if value}
            data = {
                value: numpy_helper.from_array(self.known[value], value)
                for value in given if value in self.known and self.known[value].size <= _MOST_SHAPE
            }  # fmt: skip
            opsets = [helper.make_opsetid("", self.opset)]
            self.types.update(
                shape_inference.infer_node_outputs(schema, node, given, data, opset_imports=opsets)
            )
        except _FAULTS as error:
            raise SpecError(where, f"its shape can't be inferred: {_line(error)}", where=self.where) from None

    def _as_now(self, node: onnx.NodeProto, name: str, where: str) -> Node:
        """The node in the terms of the newest operators."""
        attributes = {one.name: value for one in node.attribute if (value := _attribute(one)) is not None}
        inputs, op = list(node.input), node.op_type
        if op in {"Softmax", "LogSoftmax"} and self.opset < 13:
            attributes["axis"] = self._softmax_axis(inputs[0], attributes.get("axis", 1), where)
        if op == "Upsample":
            op, inputs = "Resize", [inputs[0]]
            attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return Node(op=op, name=name, inputs=tuple(inputs), outputs=tuple(node.output), attributes=attributes)

    def _softmax_axis(self, value: str, axis: Attribute, where: str) -> int:
        """Before opset 13 it went over all dimensions from one on; here over the one that has elements."""
        shape = self._shape(value)
        assert isinstance(axis, int)
        first = axis % len(shape)
        over = [at for at in range(first, len(shape)) if shape[at] > 1]
        if len(over) > 1:
            raise SpecError(
                where, "goes over several dimensions (opset below 13)", got=shape[first:], where=self.where
            )
        return over[0] if over else first


def _learnt(graph: onnx.GraphProto) -> set[str]:
    """Values that some node reads as data, through what only moves them too."""
    found: set[str] = set()
    for node in reversed(graph.node):
        for at, value in enumerate(node.input):
            moved = node.op_type in MOVES
            if (node.op_type, at) in _NO_DATA or (
                moved and (at or not set(node.output) & found) and node.op_type != "Concat"
            ):
                continue
            found.add(value)
    return found


def _attribute(attribute: onnx.AttributeProto) -> Attribute | None:
    """Numbers and text; None for tensors and graphs, which no lowered operator has."""
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float):
        return _shortest(value)
    if isinstance(value, int):
        return value
    if isinstance(value, list) and all(isinstance(one, int) for one in value):
        return tuple(value)
    if isinstance(value, list) and all(isinstance(one, float) for one in value):
        return tuple(map(_shortest, value))
    return None


def _shortest(value: float) -> float:
    """The number that was meant: attributes hold 32 bits, of which the shortest text is what was written."""
    return float(str(np.float32(value)))
