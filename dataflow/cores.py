"""What the cores of a unit have of a tensor: each its points of the ranks along the cores, the rest in full.

Points of the cores' ranks go round the cores one by one, so any range of n points lies on min(n, cores) of
them, at most ceil(n / cores) on one, whatever the loops. Where only some of those ranks move a tensor, its
share is counted as if the others were walked outermost: never too small.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from einsim.accel.machine import Unit
from einsim.dataflow.mapping import Compute


def cores_ranks(node: Compute) -> tuple[str, ...]:
    """Ranks along the cores."""
    return node.spatial.get("cores", ())


def wanting(unit: Unit, node: Compute, moved: Iterable[str], extents: Mapping[str, int]) -> int:
    """Cores that want the same element of a tensor which the ranks `moved` move."""
    still = set(cores_ranks(node)) - set(moved)
    return min(unit.dims.get("cores", 1), math.prod(extents[rank] for rank in still)) if still else 1


def share(unit: Unit, node: Compute, moved: Iterable[str], extents: Mapping[str, int]) -> dict[str, int]:
    """The extents with those of the cores' ranks that move the tensor cut to what one core has at most."""
    cores = unit.dims.get("cores", 1)
    mine = [rank for rank in cores_ranks(node) if rank in set(moved)]
    left = -(-math.prod(extents[rank] for rank in mine) * wanting(unit, node, moved, extents) // cores)
    found = dict(extents)
    for rank in reversed(mine):
        found[rank] = min(extents[rank], left)
        left = -(-left // found[rank])
    return found
