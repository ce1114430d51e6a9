"""Bytes that the kept tiles of a mapping take in each memory."""

from __future__ import annotations

import math

from einsim.accel.machine import Machine
from einsim.dataflow.cores import share
from einsim.dataflow.footprint import access_of, relevant_ranks, tile_bytes
from einsim.dataflow.layout import Home, Layout, users
from einsim.dataflow.mapping import Mapping, Node, Sequence, children
from einsim.workloads.cascade import Cascade


def held_bytes(mapping: Mapping, layout: Layout, cascade: Cascade, machine: Machine) -> dict[str, int]:
    """Bytes that each memory must hold at most, by name; unit registers under the unit's name.

    Children of a sequence use the same bytes in turn; those of a pipeline are there together.
    """
    by_place: dict[tuple[int, ...], dict[str, int]] = {}
    for home, path in layout.homes:
        if home.memory == machine.dram.name:
            continue
        size = home_bytes(home, path, layout, cascade, machine)
        here = by_place.setdefault(home.place, {})
        before = here.get(home.memory, 0)
        here[home.memory] = max(before, size) if home.overlay else before + size
    return _held(mapping.tree, (), by_place)


def _held(
    node: Node, place: tuple[int, ...], by_place: dict[tuple[int, ...], dict[str, int]]
) -> dict[str, int]:
    below = [_held(child, (*place, number), by_place) for number, child in enumerate(children(node))]
    names = {name for part in below for name in part} | set(by_place.get(place, {}))
    join = max if isinstance(node, Sequence) else sum
    return {
        name: by_place.get(place, {}).get(name, 0) + join([part.get(name, 0) for part in below] or [0])
        for name in sorted(names)
    }


def home_bytes(home: Home, path: tuple[int, ...], layout: Layout, cascade: Cascade, machine: Machine) -> int:
    """Bytes of one home: the tile under the loops above it, times its buffers where a next tile exists.

    In a memory of each core they are those of the core with most, times the cores.
    """
    extents = points_below(layout, cascade, path)
    user = next(iter(users(cascade, layout, home)), None)
    if user is None:
        return 0
    access, copies = access_of(cascade.einsum(user.node.einsum), home.tensor), 1
    if all(unit.name != home.memory for unit in machine.units):
        copies = machine.memory(home.memory).copies
        if copies > 1:
            moved = relevant_ranks(cascade, access)
            extents = share(machine.unit(user.node.unit), user.node, moved, extents)
    size = tile_bytes(cascade, machine, access, extents) * copies
    again = any(layout.loops[loop].count > 1 for loop in path)
    return math.ceil(size * (1 - home.spill)) * (home.buffers if again else 1)


def points_below(layout: Layout, cascade: Cascade, path: tuple[int, ...]) -> dict[str, int]:
    """Points of each rank in a full tile below some loops."""
    extents = dict(cascade.sizes)
    for loop in path:
        extents.update(dict.fromkeys(layout.loops[loop].ranks, layout.loops[loop].tile))
    return extents
