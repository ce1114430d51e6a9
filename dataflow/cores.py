"""What the cores of a unit have of a tensor: each its points of the ranks along the cores, the rest in full.

Points of the cores' ranks go round the cores one by one, so any range of n points lies on min(n, cores) of
them, at most ceil(n / cores) on one, whatever the loops. Where only some of those ranks move a tensor, its
share is counted as if the others were walked outermost: never too small.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import lru_cache

import numpy as np

from einsim.accel.machine import Unit
from einsim.dataflow.mapping import Compute


def cores_ranks(node: Compute) -> tuple[str, ...]:
    """Ranks along the cores."""
    return node.spatial.get("cores", ())


def wanting(unit: Unit, node: Compute, moved: Iterable[str], extents: Mapping[str, int]) -> int:
    """Cores that want the same element of a tensor which the ranks `moved` move."""
    still = set(cores_ranks(node)) - set(moved)
    return min(unit.dims.get("cores", 1), math.prod(extents[rank] for rank in still)) if still else 1


def copied(unit: Unit, node: Compute, moved: Iterable[str], extents: Mapping[str, int]) -> Fraction:
    """Cores that want an element of a tensor which the ranks `moved` move, on average over the tile."""
    mine, ranks = set(moved), cores_ranks(node)
    if not mine & set(ranks) or mine >= set(ranks):
        return Fraction(wanting(unit, node, moved, extents))
    return _copied(
        tuple(extents[rank] for rank in ranks), tuple(rank in mine for rank in ranks), unit.dims["cores"]
    )


@lru_cache(maxsize=4096)
def _copied(extents: tuple[int, ...], moves: tuple[bool, ...], cores: int) -> Fraction:
    at = np.indices(extents).reshape(len(extents), -1)
    core = np.arange(math.prod(extents)) % cores
    mine = at[list(moves)]
    pairs = np.unique(np.concatenate([core[None], mine]), axis=1).shape[1]
    return Fraction(pairs, math.prod(n for n, has in zip(extents, moves, strict=True) if has))


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
