"""The mapping: a LoopTree that says which unit computes what, in which order, with which tiles, kept where.

A tree is built from five nodes:

`Loop`      a temporal loop over one rank in steps of `tile`; the last step is smaller where it must be.
`Keep`      the tiles of some tensors that the nodes below touch stay in a memory; data crosses from the
            next outer `Keep` of the tensor (or DRAM) at the granularity of the tiles below, once for each
            iteration of the loops above.
`Sequence`  children run one after the other, and one iteration ends before the next begins.
`Pipeline`  children overlap on different units, and iterations overlap as far as buffers allow.
`Compute`   one Einsum's tile on one unit; `spatial` says which ranks lie along which dimension of the unit.

A loop above several computes is a fused loop. Source of the notation: LoopTree (Gilbert et al., 2024).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

import msgspec


class Compute(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Run one tile of `einsum` on `unit`.

    `spatial` maps a dimension of the unit to the ranks laid along it (flattened, outermost first); every
    other rank of the tile is walked in time. `chained` names operands that come straight from the unit's
    registers, as the Einsum before this one on the same unit produces them. `stationarity` names the array
    dataflow where the unit has several.
    """

    einsum: str
    unit: str
    spatial: dict[str, tuple[str, ...]] = {}
    chained: tuple[str, ...] = ()
    stationarity: str = "output-stationary"


class Loop(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Iterate `rank` in steps of `tile` points."""

    rank: str
    tile: int
    body: Node


class Keep(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Hold the tiles of `tensors` used below in `memory` (or in a unit's registers, by the unit's name).

    `buffers` is how many tiles are held at once (2: double buffering, the next fills while this one is used).
    `overlay` lets all the tensors share the same bytes in turn, as an in-place softmax does.
    `spill` is the share (0..1) of every access that overflows to the parent memory.
    `stays` names those of the tensors, inputs or results of the cascade, that are here before it begins or
    after it ends: they never cross to DRAM.
    """

    tensors: tuple[str, ...]
    memory: str
    body: Node
    buffers: int = 2
    overlay: bool = False
    spill: float = 0.0
    stays: tuple[str, ...] = ()


class Sequence(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Run `children` one after the other, one iteration at a time."""

    children: tuple[Node, ...]


class Pipeline(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Run `children` as overlapping stages, linked by data only."""

    children: tuple[Node, ...]


Node = Union[Loop, Keep, Sequence, Pipeline, Compute]  # noqa: UP007 - msgspec resolves the forward names of this form


class Mapping(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A mapping of the cascade named `cascade` onto the machine named `machine`."""

    cascade: str
    machine: str
    template: str
    tree: Node
    notes: tuple[str, ...] = ()

    def computes(self) -> tuple[Compute, ...]:
        """Every compute leaf in program order."""
        return tuple(node for node, _ in walk(self.tree) if isinstance(node, Compute))


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below `node`."""
    if isinstance(node, Compute):
        return ()
    if isinstance(node, (Loop, Keep)):
        return (node.body,)
    return node.children


def walk(node: Node, above: tuple[Node, ...] = ()) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    """Yield every node in program order with the nodes above it, outermost first."""
    yield node, above
    for child in children(node):
        yield from walk(child, (*above, node))


def chain(*nodes: Node | tuple[str, int] | None) -> Node:
    """Nest nodes: each wraps the next; `(rank, tile)` stands for a loop; None is left out."""
    kept = [node for node in nodes if node is not None]
    last = kept[-1]
    if isinstance(last, tuple):
        raise ValueError("a chain ends in a node, not in a loop header")
    tree: Node = last
    for node in reversed(kept[:-1]):
        if isinstance(node, tuple):
            tree = Loop(rank=node[0], tile=node[1], body=tree)
        elif isinstance(node, (Loop, Keep)):
            tree = msgspec.structs.replace(node, body=tree)
        else:
            raise ValueError("only loops and keeps can wrap another node")
    return tree


#: A body to be replaced by `chain`.
HOLE = Compute(einsum="", unit="")


def keep(
    tensors: str | tuple[str, ...],
    memory: str,
    *,
    buffers: int = 2,
    overlay: bool = False,
    spill: float = 0.0,
) -> Keep | None:
    """A `Keep` to be used inside `chain`; None when `tensors` is empty."""
    names = tuple(tensors.split()) if isinstance(tensors, str) else tensors
    if not names:
        return None
    return Keep(tensors=names, memory=memory, body=HOLE, buffers=buffers, overlay=overlay, spill=spill)


def node_at(tree: Node, place: tuple[int, ...]) -> Node:
    """The node at a place."""
    for at in place:
        tree = children(tree)[at]
    return tree


def put(tree: Node, place: tuple[int, ...], node: Node) -> Node:
    """The tree with another node at a place."""
    if not place:
        return node
    if isinstance(tree, (Loop, Keep)):
        return msgspec.structs.replace(tree, body=put(tree.body, place[1:], node))
    changed = list(children(tree))
    changed[place[0]] = put(changed[place[0]], place[1:], node)
    return type(tree)(children=tuple(changed))  # type: ignore[call-arg]


def placed(tree: Node) -> Iterator[tuple[tuple[int, ...], Node]]:
    """Every node with its place, in program order."""
    waiting: list[tuple[tuple[int, ...], Node]] = [((), tree)]  # no generator in a generator: they are many
    while waiting:
        place, node = waiting.pop()
        yield place, node
        below = children(node)
        waiting += [((*place, at), below[at]) for at in range(len(below) - 1, -1, -1)]


def above(tree: Node, place: tuple[int, ...]) -> list[Node]:
    """The nodes above a place, outermost first."""
    found = []
    for at in place:
        found.append(tree)
        tree = tree.body if isinstance(tree, (Loop, Keep)) else children(tree)[at]
    return found
