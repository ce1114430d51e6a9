"""What decides the cost of an operation's instances: the extents of its tile, and how bounds cut that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from einsim.dataflow.cut import Cut
from einsim.dataflow.mask import Box, Interval
from einsim.dataflow.program import ProgramLoop

Key = tuple[int, ...]
Position = list[int] | tuple[int, ...]

MOST_KEYS = 200_000
"""Places to which bounds tie a tile whose key a path remembers."""


class LoopPath(Protocol):
    """What is asked of a path of loops: see `einsim.dataflow.iteration.Path`."""

    loops: tuple[ProgramLoop, ...]
    sizes: Mapping[str, int]
    key_ranks: tuple[str, ...]
    cut: Cut | None
    pins: tuple[str, ...]
    parents: tuple[int, ...]
    innermost: dict[str, int]
    depth: int
    all: bool
    resumed: tuple[int, ...]
    sums: int
    tied: tuple[int, ...]
    keyed: tuple[int, ...]
    tiles: dict[Key, Box]
    points: Box

    def interval(self, position: Position, at: int) -> Interval:
        """First point and number of points of the tile that the loop at a slot stands on."""

    def range(self, position: Position, at: int) -> Interval:
        """First point and number of points that the loop at a slot walks."""

    def span(self, position: Position, at: int) -> tuple[int, int]:
        """First and one-past-last iteration of the loop at a slot."""

    def box(self, position: Position, stop: int | None = None) -> dict[str, Interval]:
        """Intervals of the ranks of the loops outside a slot."""

    def key(self, position: Position) -> Key:
        """What decides an instance's cost."""


class TileKeys:
    """The keys of a path's positions, each made once for all tiles that stand alike to bounds."""

    def __init__(self, path: LoopPath) -> None:
        self.path, cut = path, path.cut
        self._at: dict[Key, Key] = {}  # by the iterations that decide
        self._standing: dict[Key, Key] = {}  # by where a tile stands to bounds
        self._moving = (
            cut is not None and not cut.reduced and not any(mask.blocks or mask.within for mask in cut.masks)
        )

    def of(self, position: Position) -> Key:
        """The extents of `key_ranks` in a position's tile, as bounds leave it; then, where loops are
        `resumed`, 1 after the first iteration of any of them and 0 in it, and where sums are `wide`, 1
        before the last; then how bounds cut it.
        """
        path = self.path
        if path.cut is not None:
            return self._cut(path.cut, position)
        extents = tuple(
            path.interval(position, path.innermost[rank])[1] if rank in path.innermost else path.sizes[rank]
            for rank in path.key_ranks
        )
        return (*extents, *self._around(position)[: path.sums])

    def _around(self, position: Position) -> Key:
        """Whether some resumed loop stands after its first iteration, and before its last one."""
        path = self.path
        if not path.resumed:
            return ()
        spans = [(position[at], *path.span(position, at)) for at in path.resumed]
        after = any(at > first for at, first, _ in spans)
        return int(after), int(any(at < stop - 1 for at, _, stop in spans))

    def _cut(self, cut: Cut, position: Position) -> Key:
        at = tuple([position[slot] for slot in self.path.keyed])  # the others change nothing
        found = self._at.get(at)
        if found is not None:
            return found
        box = self.path.box(position)
        if self._moving:
            alike = (*self._around(position), *cut.alike(box))
            found = self._standing.get(alike)
            if found is None:
                found = self._standing[alike] = self._made(cut, position, box)
        else:
            found = self._made(cut, position, box)
        if len(self._at) < MOST_KEYS:
            self._at[at] = found
        return found

    def _made(self, cut: Cut, position: Position, box: Box) -> Key:
        path, left = self.path, cut.trim(box)
        if left is not None:
            left |= {rank: box.get(rank, (0, path.sizes[rank])) for rank in cut.uncut if rank in left}
        sums = self._around(position)[: path.sums]
        if cut.reduced and left is not None:
            own = {rank: left[rank] for rank in cut.results if rank in left}
            beside = (self._beside(position, own, after=after) for after in (False, True)[: path.sums])
            sums = tuple(cut.shared({**box, **own}, others) for others in beside)
        if left is None:
            return (*(0 for _ in path.key_ranks), *sums)
        extents = (left.get(rank, (0, path.sizes[rank]))[1] for rank in path.key_ranks)
        found = (*extents, *sums, *cut.standing(left))
        path.tiles.setdefault(found, left)
        return found

    def _beside(self, position: Position, results: Box, *, after: bool) -> list[Box]:
        """What tiles before or after one have that add to the same results: a box for each resumed loop."""
        path, found = self.path, list[Box]()
        for at in path.resumed:
            (start, extent), (low, own) = path.range(position, at), path.interval(position, at)
            side = (low + own, start + extent - low - own) if after else (start, low - start)
            if side[1]:
                alone = len(path.loops[at].ranks) == 1  # as in `box`
                found.append(
                    {**path.box(position, at), **({path.loops[at].rank: side} if alone else {}), **results}
                )
        return found
