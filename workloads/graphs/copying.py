"""Operators that only move data as work of their own, as on machines that keep tensors in blocks.

Where channels lie in blocks, a concatenation, a slice or a transpose puts elements at other places in other
blocks: a compiler writes the result anew. Reshapes and the like stay views.
"""

from __future__ import annotations

from typing import Final

import msgspec

from einsim.workloads.graphs.fusion import stored_roots
from einsim.workloads.graphs.graph import Node, OperatorGraph
from einsim.workloads.graphs.operators import moves
from einsim.workloads.graphs.pointwise import COPY

VIEWS: Final = frozenset(
    {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast", "CastLike"}
)
"""Movers that leave every element where it is."""


def with_copies(graph: OperatorGraph) -> OperatorGraph:
    """The graph with a copy after each operator that moves computed data to other places: the operator says
    what is read, the copy reads and writes it. What is made of weights alone is moved beforehand.
    """
    stored = stored_roots(graph)
    nodes, shapes = [], dict(graph.shapes)
    for node in graph.nodes:
        moving = moves(graph, node) and node.op not in VIEWS
        if not moving or all(value in stored for value in node.outputs if value):
            nodes.append(node)
            continue
        views = tuple(value and f"{value}.view" for value in node.outputs)
        nodes.append(msgspec.structs.replace(node, outputs=views))
        for at, (value, view) in enumerate(zip(node.outputs, views, strict=True)):
            if value:
                shapes[view] = shapes[value]
                nodes.append(
                    Node(op=COPY, name=f"{node.name}.copy{at or ''}", inputs=(view,), outputs=(value,))
                )
    return msgspec.structs.replace(graph, nodes=tuple(nodes), shapes=shapes)
