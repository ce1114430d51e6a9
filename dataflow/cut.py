"""What bounds do to the tiles of one operation, which may serve several Einsums."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from einsim.dataflow.mask import Box, Interval, Mask
from einsim.dataflow.rows import Bools, Skip, number, stay
from einsim.workloads.points import MOST_STEPS


class Cut(msgspec.Struct, frozen=True):
    """What bounds do to an operation: the masks of the Einsums that it serves, of which one may leave what
    another leaves out. `ranks` are those whose points decide its cost; of those in `places` where its tile
    begins does too, bounds or not, modulo the number there (0: wherever that is). Of those that are `uncut` a
    tile keeps what its loops give it, since cores are counted by that. `reduced` are tied ranks along
    which an operation goes on with partial `results`, which are ranks, in loops, and `skips` those that a
    compute then skips along.
    """

    masks: tuple[Mask, ...]
    ranks: tuple[str, ...]
    places: dict[str, int] = {}
    uncut: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    reduced: tuple[str, ...] = ()
    skips: tuple[Skip, ...] = ()

    def shared(self, box: Box, others: Sequence[Box]) -> int:
        """Results of a tile, of those that skipping leaves, that have points in some of `others` too; all of
        them where over 2**20 points would be visited.
        """
        mask, results, skipped = self.masks[0], self.results, {rank for rank, _ in self.skips}
        tied, every = mask.tied | skipped, mask.points(box, results)
        box, *others = ({**{r: (0, size) for r, size in mask.sizes.items()}, **one} for one in (box, *others))
        both = [_hull(box, other, mask.sizes) for other in others]
        if not others or (
            not skipped and any(all(b[r] == o[r] for r in tied) for b, o in zip(both, others, strict=True))
        ):
            return every if others else 0
        if not skipped and [sum(other[rank] != box[rank] for rank in tied) for other in others] == [1]:
            return every + mask.points(others[0], results) - mask.points(both[0], results)
        if any(math.prod(one[rank][1] for rank in tied) > MOST_STEPS for one in (box, *others)):
            return every
        mine = self._with_points(box, tied, self.skips)
        theirs = [self._with_points(other, tied) for other in others]
        alike = math.prod(box[rank][1] for rank in self.results if rank not in tied)
        return alike * int((mine & np.logical_or.reduce(theirs)).sum())

    def _with_points(self, box: Box, ranks: Iterable[str], skips: Iterable[Skip] = ()) -> Bools:
        """Places of the results along some ranks: whether a box has points there, but for skipped ones."""
        order = sorted(sorted(ranks), key=lambda rank: rank not in self.results)
        sides = [np.arange(box[rank][0], sum(box[rank])) for rank in order]
        at = dict(zip(order, np.meshgrid(*sides, indexing="ij", sparse=True), strict=True))
        kept = self.masks[0].keeps(at, tuple(map(len, sides)))
        where = np.nonzero(kept)
        for rank, sparsity in skips:
            fibre = number([at for at, name in zip(where, order, strict=True) if name != rank], len(where[0]))
            kept[where] &= stay(sparsity, fibre, where[order.index(rank)] + box[rank][0])[1]
        others = tuple(at for at, rank in enumerate(order) if rank not in self.results)
        return np.asarray(kept.any(axis=others))

    def trim(self, box: Box) -> dict[str, Interval] | None:
        """The box around what any of the masks leaves."""
        found: dict[str, Interval] | None = None
        for mask in self.masks:
            one = mask.trim(box) if mask else dict(box)
            if one is None:
                continue
            found = one if found is None else _hull(found, one, mask.sizes)
        return found

    def standing(self, box: Box) -> tuple[int, ...]:
        """What sets boxes of the same extents apart; empty where nothing does."""
        starts = {rank: box[rank][0] if rank in box else 0 for rank in self.places}
        at = tuple(low % self.places[rank] if self.places[rank] else low for rank, low in starts.items())
        found = [self._cut(mask, box) for mask in self.masks]
        if not any(found):
            return at
        return (*at, *(number for one in found for number in (len(one), *one)))

    def alike(self, box: Box) -> tuple[int, ...]:
        """Where a box stands to what cuts it before it is cut: boxes alike are cut alike, without blocks."""
        starts = (
            box[rank][0] % of if of else box[rank][0] for rank, of in self.places.items() if rank in box
        )
        at = (number for mask in self.masks for number in mask.standing(box) or (-1,))
        return (*(extent for _, extent in box.values()), *starts, *at)

    def _cut(self, mask: Mask, box: Box) -> tuple[int, ...]:
        """Where a box stands to one mask. Ranks that don't decide the cost themselves add their extents where
        places in the box of those that do are left out, or it reaches beyond them.
        """
        found = mask.standing(box) if mask else ()
        inner = mask.tied.difference(self.ranks) if found else ()
        if not inner or not (self.uncut or mask.holes(box, mask.tied.intersection(self.ranks))):
            return found
        return (*found, *(box.get(rank, (0, mask.sizes[rank]))[1] for rank in sorted(inner)))


def _hull(one: Box, other: Box, sizes: Mapping[str, int]) -> dict[str, Interval]:
    found = {}
    for rank in {*one, *other}:
        ends = [box[rank] if rank in box else (0, sizes[rank]) for box in (one, other)]
        low = min(start for start, _ in ends)
        found[rank] = (low, max(start + extent for start, extent in ends) - low)
    return found
