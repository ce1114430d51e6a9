"""Which operators there are: those that compute, each with what lowers it, and those that only move data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from einsim.specs.errors import SpecError
from einsim.workloads.graphs.contraction import conv, conv_transpose, einsum, gemm, matmul
from einsim.workloads.graphs.draft import PartDraft
from einsim.workloads.graphs.graph import Node, OperatorGraph
from einsim.workloads.graphs.pointwise import POINTWISE, batch_norm, gather_rows, pointwise
from einsim.workloads.graphs.pooling import local_response_norm, pool, resize
from einsim.workloads.graphs.reduction import NORMS, REDUCTIONS, reduction

MOVES = frozenset({
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout", "Cast", "CastLike",
    "Concat",
    "Split", "Slice", "Expand", "Tile", "Pad", "DepthToSpace", "SpaceToDepth",
})  # fmt: skip
"""Operators that compute nothing. They cost nothing: who writes a value writes it where, and in the order in
which, it is read, and what is read of it is chosen by its addresses.
"""
CONTRACTIONS: dict[str, Callable[[Node, PartDraft], None]] = {
    "Conv": conv, "ConvTranspose": conv_transpose, "Gemm": gemm, "MatMul": matmul, "Einsum": einsum,
}  # fmt: skip
LOWERED: dict[str, Callable[[Node, PartDraft], None]] = {
    **CONTRACTIONS, **NORMS, **dict.fromkeys(REDUCTIONS, reduction), **dict.fromkeys(POINTWISE, pointwise),
    "BatchNormalization": batch_norm, "Gather": gather_rows, "MaxPool": pool, "AveragePool": pool,
    "LRN": local_response_norm,
    "Resize": resize, "Upsample": resize,
}  # fmt: skip
"""What lowers each operator that computes."""


def moves(graph: OperatorGraph, node: Node) -> bool:
    """Whether a node only moves data; a gather does where what it picks is known beforehand."""
    return node.op in MOVES or (node.op == "Gather" and graph.stored(node.inputs[1]))


def check_operators(graph: OperatorGraph) -> None:
    """SpecError that names and counts the operators that have no cascade here."""
    unknown = Counter(node.op for node in graph.nodes if node.op not in LOWERED and node.op not in MOVES)
    if unknown:
        first = next(node for node in graph.nodes if node.op in unknown)
        counted = ", ".join(f"{op} x{count}" for op, count in sorted(unknown.items()))
        raise SpecError(
            "graph",
            f"operators without a cascade: {counted}",
            got=f"first at node {first.name}",
            where=graph.source,
        )
