"""What of an ONNX graph is known before it runs: shapes, and what is computed from constants alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TypeProto, helper
from onnx.reference import ReferenceEvaluator

Known = Mapping[str, NDArray[np.generic]]

MOST_COMPUTED = 2**20
"""Elements of a result that is computed beforehand."""


def computed_ahead(
    node: onnx.NodeProto, known: Known, types: Mapping[str, TypeProto], opset: int
) -> dict[str, NDArray[np.generic]] | None:
    """A node's results where they are known beforehand, else None; shapes are known of every value."""
    if node.op_type in {"Shape", "Size"}:
        return {node.output[0]: _shape(node, types[node.input[0]])}
    if any(value and value not in known for value in node.input) or node.op_type.startswith("Random"):
        return None
    for value in node.output:
        dims = types[value].tensor_type.shape.dim if value in types else []
        elements = 1
        for dim in dims:
            elements *= dim.dim_value
        if elements > MOST_COMPUTED:
            return None
    given = {value: known[value] for value in node.input if value}
    return _run(node, given, opset)


def _shape(node: onnx.NodeProto, kind: TypeProto) -> NDArray[np.generic]:
    sizes = np.array([dim.dim_value for dim in kind.tensor_type.shape.dim], dtype=np.int64)
    if node.op_type == "Size":
        return np.array(sizes.prod(), dtype=np.int64)
    chosen = {one.name: one.i for one in node.attribute}
    found: NDArray[np.generic] = sizes[slice(chosen.get("start", 0), chosen.get("end"))]
    return found


def _run(node: onnx.NodeProto, given: Known, opset: int) -> dict[str, NDArray[np.generic]] | None:
    """By ONNX's reference evaluator; None where it has no such operator."""
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in given.items()
    ]
    names = [name for name in node.output if name]
    outputs = [helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in names]
    body = helper.make_graph([node], "known", inputs, outputs)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)])
    try:
        found = ReferenceEvaluator(model).run(None, dict(given))
    except Exception:  # noqa: BLE001  # whatever it can't do stays a node, which is lowered or refused by name
        return None
    return {name: np.asarray(value) for name, value in zip(names, found, strict=True)}
