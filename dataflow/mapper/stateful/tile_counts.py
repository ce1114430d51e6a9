"""The tiles that nested loops cut a group's ranks into, and how often each extent occurs."""

from __future__ import annotations

import itertools
import math

import msgspec

Extents = dict[str, int]
Trips = dict[int, int]


def split(size: int, tiles: tuple[int, ...]) -> Trips:
    """How often each extent of the innermost tile occurs when nested loops cut `size` points."""
    if not tiles:
        return {size: 1}
    found: Trips = {}
    full, rest = divmod(size, tiles[0])
    for extent, times in ((tiles[0], full), (rest, 1 if rest else 0)):
        for inner, count in split(extent, tiles[1:]).items() if times else ():
            found[inner] = found.get(inner, 0) + count * times
    return found


class TileCounts(msgspec.Struct, frozen=True, dict=True):
    """The tiles of a tiling: by rank, how often each extent occurs."""

    by_rank: tuple[tuple[str, tuple[tuple[int, int], ...]], ...]

    def combos(self, ranks: frozenset[str]) -> list[tuple[Extents, int]]:
        """Extents of the given ranks' tiles with how often they occur together."""
        chosen = [(rank, spread) for rank, spread in self.by_rank if rank in ranks]
        found = []
        for picked in itertools.product(*(spread for _, spread in chosen)):
            extents = {rank: extent for (rank, _), (extent, _) in zip(chosen, picked, strict=True)}
            found.append((extents, math.prod(count for _, count in picked)))
        return found

    def whole(self) -> int:
        """Tiles that are as large as a tile gets."""
        return math.prod(max(spread)[1] for _, spread in self.by_rank)

    def largest(self) -> Extents:
        """Extents of the largest tile."""
        return {rank: max(spread)[0] for rank, spread in self.by_rank}
