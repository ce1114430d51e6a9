"""Which operators make one part: a convolution or matrix product with all that is done to its result.

Point by point work, norms and reductions join whatever computes their input last, so a result goes out once.
Work that comes before a product of matrices, and only for it, joins that. Scores, softmax and values of
attention are one part. What only moves data stands between parts.
"""

from __future__ import annotations

import msgspec

from einsim.workloads.graphs.graph import Node, OperatorGraph
from einsim.workloads.graphs.operators import CONTRACTIONS, moves
from einsim.workloads.graphs.pointwise import COPY, POINTWISE
from einsim.workloads.graphs.reduction import NORMS, REDUCTIONS

_ALONE = {"InstanceNormalization", "GroupNormalization"}
"""Norms that split channels into groups, as what comes before them needn't."""

_ROWS = {"BatchNormalization", "Gather"}
"""What else makes each element of one element."""


class NodeGroup(msgspec.Struct):
    """Nodes of one part, in order; `apart`: no product joins it."""

    nodes: list[Node]
    apart: bool = False

    def has(self, *ops: str) -> bool:
        """Whether an operator of these is among them."""
        return any(node.op in ops for node in self.nodes)


def roots(graph: OperatorGraph) -> dict[str, tuple[str, ...]]:
    """Of each value, the computed values and graph inputs that it is made of through what only moves data."""
    found: dict[str, tuple[str, ...]] = {value: (value,) for value in graph.inputs}
    for node in graph.nodes:
        if moves(graph, node):
            every = tuple(dict.fromkeys(root for value in node.inputs for root in found.get(value, ())))
            found.update(dict.fromkeys(node.outputs, every))
        else:
            found.update((value, (value,)) for value in node.outputs)
    return found


def stored_roots(graph: OperatorGraph) -> dict[str, tuple[str, ...]]:
    """Of each value that is stored, or made of such by what only moves data, the weights in it."""
    found: dict[str, tuple[str, ...]] = dict.fromkeys(graph.constants, ())
    found |= {value: (value,) for value in graph.weights}
    for node in graph.nodes:
        if moves(graph, node) and all(value in found for value in node.inputs if value):
            every = tuple(dict.fromkeys(root for value in node.inputs for root in found.get(value, ())))
            found.update(dict.fromkeys(node.outputs, every))
    return found


def fused(graph: OperatorGraph, *, apart: bool = False) -> list[tuple[Node, ...]]:
    """The parts in an order in which each reads only what earlier ones computed. `apart`: point by point work
    on what two parts computed, as residual sums, is a part of its own.
    """
    maker = _Fusion(graph, apart=apart)
    for node in graph.nodes:
        if not moves(graph, node):
            maker.add(node)
    return [tuple(group.nodes) for group in maker.groups]


class _Fusion:
    def __init__(self, graph: OperatorGraph, *, apart: bool) -> None:
        self.graph, self.apart = graph, apart
        self.roots = roots(graph)
        self.groups: list[NodeGroup] = []
        self.home: dict[str, NodeGroup] = {}

    def add(self, node: Node) -> None:
        """Put a node into the group it joins, or into a new one, with what was computed only for it."""
        group = self._joined(node)
        if group is None:
            group = NodeGroup([], apart=node.op == COPY or self._of_two(node))
            self.groups.append(group)
        for before in self._prologues(node, group):
            self.groups.remove(before)
            group.nodes = [*before.nodes, *group.nodes]
            self.home.update(dict.fromkeys((made for one in before.nodes for made in one.outputs), group))
        group.nodes.append(node)
        self.home.update(dict.fromkeys(node.outputs, group))

    def _joined(self, node: Node) -> NodeGroup | None:
        if node.op in _ALONE or (node.op in CONTRACTIONS and node.op != "MatMul"):
            return None
        direct = [value for value in node.inputs if value in self.home]
        groups = [self.home[root] for root in self._made_of(node) if root in self.home]
        if not direct or not groups:
            return None
        last = max(groups, key=self.groups.index)
        if self._of_two(node):
            return None
        if node.op == "MatMul":
            return self._attention(direct, last)
        shape = self.graph.shapes[node.output]
        inside = [value for value in direct if self.home[value] is last]
        if node.op in POINTWISE or node.op == "BatchNormalization":
            return last if any(self.graph.shapes[value] == shape for value in inside) else None
        return last if inside and (node.op in NORMS or node.op in REDUCTIONS) else None

    def _of_two(self, node: Node) -> bool:
        """Whether it works point by point on what two parts computed and is to stand apart then."""
        parts = {id(self.home[root]) for root in self._made_of(node) if root in self.home}
        return self.apart and node.op in POINTWISE and len(parts) > 1

    def _attention(self, direct: list[str], last: NodeGroup) -> NodeGroup | None:
        """The group whose softmax weighs this product's other operand, moved behind what computes that."""
        for value in direct:
            group = self.home[value]
            if not group.has("Softmax") or not group.has(*CONTRACTIONS):
                continue
            if group is not last:
                at = self.groups.index(group)
                if any(self._reads(other, group) for other in self.groups[at + 1 :]):
                    continue
                self.groups.append(self.groups.pop(at))
            return group
        return None

    def _reads(self, group: NodeGroup, other: NodeGroup) -> bool:
        return any(self.home.get(root) is other for node in group.nodes for root in self._made_of(node))

    def _made_of(self, node: Node) -> list[str]:
        return [root for value in node.inputs for root in self.roots.get(value, ())]

    def _prologues(self, node: Node, group: NodeGroup) -> list[NodeGroup]:
        """Groups of point by point work that only this node reads, each point of it once and in place."""
        if node.op not in POINTWISE and not self._plain(node):
            return []
        found: list[NodeGroup] = []
        for value in node.inputs:
            before = self.home.get(value)
            if before is None or before is group or any(before is one for one in found):
                continue
            simple = all(one.op in POINTWISE or one.op in _ROWS for one in before.nodes)
            made = [output for one in before.nodes for output in one.outputs]
            inside = {id(one) for one in before.nodes} | {id(node)}
            alone = all(id(user) in inside for one in made for user in self.graph.consumers.get(one, ()))
            same = node.op in CONTRACTIONS or self.graph.shapes[value] == self.graph.shapes[node.output]
            if simple and alone and same and not before.apart and not set(made) & set(self.graph.outputs):
                found.append(before)
        return sorted(found, key=self.groups.index, reverse=True)

    def _plain(self, node: Node) -> bool:
        """Whether a product reads its input as it stands: matrices, or a convolution of a kernel of one."""
        if node.op == "Conv":
            kernel = self.graph.shapes[node.inputs[1]][2:]
            steps = node.wholes("strides", (1,) * len(kernel))
            padded = any(node.wholes("pads", ())) or node.whole("group", 1) > 1
            return not padded and all(size == 1 for size in (*kernel, *steps))
        return node.op == "MatMul" or (node.op == "Gemm" and not node.whole("transA", 0))
