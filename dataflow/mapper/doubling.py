"""A second buffer for every keep of a mapping that has one and where there is room: the next tile then comes
while this one is used. The bound on latency takes that for granted; the simulated run is faster with it.
"""

from __future__ import annotations

import math

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.held import fits, held_bytes
from einsim.dataflow.layout import lay_out
from einsim.dataflow.mapping import Keep, Loop, Mapping, above, node_at, placed, put
from einsim.workloads.cascade import Cascade


def doubled_where_it_fits(
    mapping: Mapping, cascade: Cascade, machine: Machine, within_bytes: float = math.inf
) -> Mapping:
    """The mapping with two buffers in as many keeps as fit, those filled most often (the innermost) first."""
    places = [
        (len(place), place)
        for place, node in placed(mapping.tree)
        if isinstance(node, Keep) and node.buffers == 1
        and any(isinstance(outer, Loop) for outer in above(mapping.tree, place))
    ]  # fmt: skip
    for _, place in sorted(places, key=lambda item: (-item[0], item[1])):
        twice = msgspec.structs.replace(node_at(mapping.tree, place), buffers=2)
        tried = msgspec.structs.replace(mapping, tree=put(mapping.tree, place, twice))
        if _fits(tried, cascade, machine, within_bytes):
            mapping = tried
    return mapping


def _fits(mapping: Mapping, cascade: Cascade, machine: Machine, within_bytes: float) -> bool:
    held = held_bytes(mapping, lay_out(mapping, cascade), cascade, machine)
    return sum(held.values()) <= within_bytes and fits(held, machine)
