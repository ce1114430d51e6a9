"""A second buffer for every keep of a mapping that has one and where there is room: the next tile then comes
while this one is used. The bound on latency takes that for granted; the simulated run is faster with it.
"""

from __future__ import annotations

import math

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.held import fits, held_bytes
from einsim.dataflow.layout import lay_out
from einsim.dataflow.mapping import Keep, Loop, Mapping, Node, Pipeline, Sequence, children
from einsim.workloads.cascade import Cascade


def doubled_where_it_fits(
    mapping: Mapping, cascade: Cascade, machine: Machine, within_bytes: float = math.inf
) -> Mapping:
    """The mapping with two buffers in as many keeps as fit, those filled most often (the innermost) first."""
    places = [
        (len(above), place)
        for place, node, above in _keeps(mapping.tree, (), ())
        if node.buffers == 1 and any(isinstance(outer, Loop) for outer in above)
    ]
    for _, place in sorted(places, key=lambda item: (-item[0], item[1])):
        tried = msgspec.structs.replace(mapping, tree=_with(mapping.tree, place))
        if _fits(tried, cascade, machine, within_bytes):
            mapping = tried
    return mapping


def _keeps(
    node: Node, place: tuple[int, ...], above: tuple[Node, ...]
) -> list[tuple[tuple[int, ...], Keep, tuple[Node, ...]]]:
    found = [(place, node, above)] if isinstance(node, Keep) else []
    for at, child in enumerate(children(node)):
        found += _keeps(child, (*place, at), (*above, node))
    return found


def _with(node: Node, place: tuple[int, ...]) -> Node:
    """The tree with a second buffer for the keep at a place."""
    if not place:
        assert isinstance(node, Keep)
        return msgspec.structs.replace(node, buffers=2)
    if isinstance(node, (Sequence, Pipeline)):
        changed = list(node.children)
        changed[place[0]] = _with(changed[place[0]], place[1:])
        return msgspec.structs.replace(node, children=tuple(changed))
    assert isinstance(node, (Loop, Keep))
    return msgspec.structs.replace(node, body=_with(node.body, place[1:]))


def _fits(mapping: Mapping, cascade: Cascade, machine: Machine, within_bytes: float) -> bool:
    held = held_bytes(mapping, lay_out(mapping, cascade), cascade, machine)
    return sum(held.values()) <= within_bytes and fits(held, machine)
