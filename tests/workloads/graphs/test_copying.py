"""What only moves data as copies: as much work and as many weights, and each moved element read and written."""

from __future__ import annotations

import math

from einsim.workloads.graphs.builder import GraphBuilder, Size
from einsim.workloads.graphs.copying import with_copies
from einsim.workloads.graphs.networks import build
from einsim.workloads.graphs.parts import GraphNetwork


def both(graph):
    return GraphNetwork(graph=graph), GraphNetwork(graph=with_copies(graph))


def test_each_concatenation_slice_and_transpose_is_a_part_and_nothing_else_changes():
    """ShuffleNet v2: 13 units split (2 slices) and all 16 concatenate and shuffle; reshapes stay views."""
    views, copies = both(build("shufflenet-v2-x0.5"))
    moved = [step for step in copies.steps if step.nodes[0].op == "Copy"]
    assert len(moved) == 2 * 13 + 16 + 16 == len(copies.steps) - len(views.steps)
    assert (views.macs, views.parameters) == (copies.macs, copies.parameters)
    assert all(step.cascade.elements("I") == step.cascade.elements("Y") for step in moved)
    assert "Slice" not in " ".join(copies.notes)
    assert "Reshape x32" in " ".join(copies.notes)


def test_a_copy_joins_no_product_and_weights_are_moved_beforehand():
    b = GraphBuilder("made", "here", Size())
    x = b.input(4, 8)
    turned = b.transpose(b.weight("w", 6, 8), 1, 0)
    y = b.node("MatMul", "product", [b.transpose(b.transpose(x, 0, 2, 1), 0, 2, 1), turned], (1, 4, 6))
    steps = GraphNetwork(graph=with_copies(b.graph(y))).steps
    assert [[node.op for node in step.nodes] for step in steps] == [["Copy"], ["Copy"], ["MatMul"]]
    assert [math.prod(step.cascade.sizes.values()) for step in steps[:2]] == [32, 32]
