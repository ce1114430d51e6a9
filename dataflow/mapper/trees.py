"""Leaves of a mapping's tree, and trees in which tensors are kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from einsim.dataflow.mapping import Compute, Keep, Node, node_at, placed, put

Place = tuple[int, ...]


def leaves(tree: Node) -> dict[str, Place]:
    """The place of each Einsum's leaf."""
    return {node.einsum: place for place, node in placed(tree) if isinstance(node, Compute)}


def common(places: Iterable[Place]) -> Place:
    """The place of the innermost node that is above, or is, all of some."""
    first, *others = places
    depth = len(first)
    for other in others:
        depth = next(
            (at for at in range(min(depth, len(other))) if first[at] != other[at]), min(depth, len(other))
        )
    return first[:depth]


def dropped(tree: Node, place: Place, tensor: str, instead: tuple[str, int] | None) -> Node:
    """The tree without a tensor in the keep at a place; `instead`: in a memory and so many buffers there."""
    node = node_at(tree, place)
    assert isinstance(node, Keep)
    rest = tuple(name for name in node.tensors if name != tensor)
    body = node.body
    if instead is not None:
        body = Keep(tensors=(tensor,), memory=instead[0], body=body, buffers=instead[1])
    return put(tree, place, msgspec.structs.replace(node, tensors=rest, body=body) if rest else body)


def kept_at(tree: Node, place: Place, tensor: str, memory: str, buffers: int) -> Node:
    """The tree with a keep of a tensor around the node at a place."""
    return put(
        tree, place, Keep(tensors=(tensor,), memory=memory, body=node_at(tree, place), buffers=buffers)
    )
