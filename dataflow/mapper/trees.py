"""Leaves of a mapping's tree, and trees in which tensors are kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from einsim.dataflow.mapping import Compute, Keep, Loop, Node, Pipeline, Sequence, above, node_at, placed, put

Place = tuple[int, ...]
Fork = Pipeline | Sequence


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


def flat(tree: Node) -> Node:
    """The tree with forks as parts of those that they stand in, keeps between them around all of it."""
    for place, node in placed(tree):
        for at, child in enumerate(node.children if isinstance(node, Fork) else ()):
            keeps, inner = [], child
            while isinstance(inner, Keep):
                keeps.append(inner)
                inner = inner.body
            if isinstance(node, Fork) and isinstance(inner, Fork):
                every = (*node.children[:at], *inner.children, *node.children[at + 1 :])
                new: Node = type(node)(children=every)
                for keep in reversed(keeps):
                    new = msgspec.structs.replace(keep, body=new)
                return flat(put(tree, place, new))
    return tree


def once(tree: Node) -> Node:
    """The tree with one buffer of what no loop in it fills again."""
    if isinstance(tree, Keep):
        return msgspec.structs.replace(tree, body=once(tree.body), buffers=1)
    if isinstance(tree, Fork):
        return msgspec.structs.replace(tree, children=tuple(map(once, tree.children)))
    return tree


def tiles_of(tree: Node, place: Place, sizes: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Points of each rank of one tile of a leaf, and how many tiles there are."""
    extents, tiles = dict(sizes), 1
    for loop in above(tree, place):
        if isinstance(loop, Loop):
            tiles *= -(-extents[loop.rank] // loop.tile)
            extents[loop.rank] = min(extents[loop.rank], loop.tile)
    return extents, tiles
