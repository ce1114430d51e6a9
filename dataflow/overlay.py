"""Tensors that share bytes take turns: all use of one is over when another takes its place."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from einsim.dataflow.footprint import uses
from einsim.dataflow.layout import Home, Layout, Leaf, common_loops, points_below, summed
from einsim.dataflow.program import ProgramLoop
from einsim.workloads.cascade import Access, Cascade

MOST_PLACED = 2**16
"""Elements that are laid out one by one at most."""


def overlay_fault(home: Home, layout: Layout, cascade: Cascade) -> str | None:
    """Why the tensors of an overlay are in each other's way; None where they are not."""
    makers = {leaf.node.einsum: leaf for leaf in layout.under(home.place)}
    for old, new in zip(home.overlay, home.overlay[1:], strict=False):
        if new not in makers:
            return f"{new} is not computed below, and only the first tensor of an overlay can be loaded"
        if summed(cascade, layout, makers[new], home.depth):
            return f"partial sums of {new} come back, and only the first tensor of an overlay can be loaded"
        before = {new, *_ancestors(cascade, new)}
        if old in makers:
            if old not in before:
                return f"{new} does not depend on {old}, whose bytes it takes"
            if cascade.is_output(old) or any(one.name not in makers for one in cascade.consumers(old)):
                return f"{old} leaves {home.memory}, but nothing holds {new} back until it has"
        for reader in cascade.consumers(old):
            if reader.name in makers and reader.name not in before:
                return f"{reader.name} reads {old}, but nothing holds {new} back until it has"
        for name, leaf in makers.items():
            for access in uses(cascade.einsum(name), old):
                if not _over(home, layout, cascade, (leaf, access), makers[new]):
                    return f"tiles of {new} take bytes of {old} that later tiles still want"
    return None


def _over(home: Home, layout: Layout, cascade: Cascade, use: tuple[Leaf, Access], maker: Leaf) -> bool:
    """Whether a tensor's use has ended wherever a tile of another takes its bytes: the last time that each
    byte is used by the one is not after the first time that the other writes it.
    """
    leaf, access = use
    new = cascade.einsum(maker.node.einsum).output
    bits = [cascade.tensor(one.tensor).bits for one in (access, new)]
    loops = [layout.loops[loop] for loop in list(common_loops(leaf, maker))[home.depth :]]
    loops = [loop for loop in loops if loop.count > 1]
    alike = access.indices == new.indices and bits[0] == bits[1]
    if not loops or (alike and all(set(loop.ranks) <= set(new.ranks) for loop in loops)):
        return True  # each tile takes the bytes of the same one
    above = [layout.loops[loop] for loop in maker.path[: home.depth]]
    extents = points_below(layout, cascade, maker.path[: home.depth])
    most = max(math.prod(extents[rank] for rank in one.ranks) for one in (access, new))
    if cascade.bounds or most > MOST_PLACED or any(loop.extent % loop.tile for loop in above):
        return False  # not decided
    used = _by_bit(access, bits[0], loops, extents, last=True)
    taken = _by_bit(new, bits[1], loops, extents, last=False)
    size = min(len(used), len(taken))
    return bool((used[:size] <= taken[:size]).all())


def _by_bit(
    access: Access, bits: int, loops: list[ProgramLoop], extents: dict[str, int], *, last: bool
) -> NDArray[np.int64]:
    """Iteration of some loops in which each bit of a box is used last, or first; in gaps always or never."""
    sides = [extents[rank] for rank in access.ranks]
    at, place = dict(zip(access.ranks, np.indices(sides), strict=True)), np.zeros(sides, dtype=np.int64)
    for index in access.indices:
        step = sum((term.coefficient * at[term.rank] for term in index.terms), np.zeros_like(place))
        place = place * (np.ptp(step) + 1) + step - step.min()
    left, time, every = dict(extents), np.zeros_like(place), 1
    for loop in loops:
        for rank in loop.ranks:
            count = -(-left[rank] // loop.tile)
            step = (
                at[rank] % left[rank] // loop.tile if rank in at else np.full_like(place, (count - 1) * last)
            )
            time, left[rank], every = time * count + step, loop.tile, every * count
    found = np.full(place.max() + 1, -1 if last else every)
    (np.maximum if last else np.minimum).at(found, place, time)
    return np.repeat(found, bits)


def _ancestors(cascade: Cascade, name: str) -> set[str]:
    found: set[str] = set()
    pending = [name]
    while pending:
        reads = {read.tensor for read in cascade.einsum(pending.pop()).reads} - found
        made = {tensor for tensor in reads if cascade.producer(tensor) is not None}
        found |= made
        pending += made
    return found
