"""A tile of few points laid out on a unit, visited point by point.

Where bounds, cores that share out several ranks, or sparse groups that a tile cuts leave no closed form,
`einsim.dataflow.feed` counts steps and values here, and transfers what each core's own memory lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from einsim.accel.machine import Unit
from einsim.dataflow.cores import cores_ranks
from einsim.dataflow.mapping import Compute
from einsim.dataflow.mask import Box, Mask, Runs
from einsim.dataflow.rows import Ints, Skip, covered, different, number, stay
from einsim.workloads.cascade import Access, Einsum

At = Mapping[str, Ints]
"""The position of each point along each visited rank."""

MOST_VISITED = 2**15
"""Points, or runs of them, of one tile that are visited one by one at most."""


class Visit:
    """The points that a mask leaves of a box over some ranks, each with its core and its step.

    `worked` are those that the unit computes, once it skips. Dimensions of which no rank is visited, and the
    other ranks that are left out, which are walked in time, are the same at each point. `run` is a rank alone
    along its dimension or in time that is not visited place by place: each point stands for a run of it.
    """

    def __init__(
        self, unit: Unit, node: Compute, einsum: Einsum, tile: Box, mask: Mask | None,
        skips: Sequence[Skip], ranks: Sequence[str], run: str = "",
    ) -> None:  # fmt: skip
        self.unit, self.node, self.tile, self.ranks, self.run = unit, node, tile, frozenset(ranks), run
        self.shared_out = cores_ranks(node)
        dims = {dim: along for dim, along in node.spatial.items() if dim != "cores"}
        placed = {rank for along in dims.values() for rank in along}
        self.dims = {dim: along for dim, along in dims.items() if set(along) <= {*ranks} - {run}}
        self.alone = tuple(rank for rank in self.shared_out if rank not in placed)
        self.at, self.count = points(tile, [rank for rank in ranks if rank != run], None if run else mask)
        self.runs: Runs | None = mask.runs(run, tile[run], self.at) if run and mask else None
        if self.runs is not None:
            there = self.runs[0] <= self.runs[1]
            self.at = {rank: here[there] for rank, here in self.at.items()}
            self.runs = self.runs[0][there], self.runs[1][there]
            self.count = int(there.sum())
        self.low = int(self.runs[0].min()) if self.runs is not None and self.count else 0
        self.lanes = next((unit.dims[dim] for dim, along in dims.items() if along == (run,)), 0)
        self.place, self.worked = dict(self.at), np.ones(self.count, dtype=bool)
        for rank, sparsity in skips:
            others = [at for name, at in self.at.items() if name != rank]
            slot, stays = stay(sparsity, number(others, self.count), self.at[rank])
            self.worked &= stays
            self.place[rank] = np.where(stays, slot, slot[stays].min(initial=np.iinfo(np.int64).max))
        self.box = {r: (int(at.min()), int(np.ptp(at)) + 1) for r, at in self.place.items() if self.count}
        self.core = core_of(unit, node, tile, self.at, self.count)
        self.in_time = [r for r in einsum.ranks if r in self.at and r not in {*placed, *self.alone}]
        walked = [self._own(self.alone, self.place), *(self.place[rank] for rank in self.in_time)]
        self.step = number([*self._folds(self.place), *walked], self.count)

    def steps(self) -> int:
        """Steps of the core that has most, in each of which it has a point."""
        return self._most(self.step, still=False)

    def folds(self) -> int:
        """Folds of the core that has most, in each of which it has a point."""
        return self._most(number(self._folds(self.place), self.count), still=True)

    def _most(self, places: Ints, *, still: bool) -> int:
        """Different places of computed points on the core that has most of them."""
        columns = [self.core[self.worked], places[self.worked]]
        if self.runs is not None:
            (core, _), many = covered(columns, *self._ends(None, still=still))
            return int(np.bincount(core, many).max(initial=0))
        return int(np.bincount(different(columns)[0]).max(initial=0))

    def rows(
        self, accesses: Iterable[Access], still: Access | None, whole: frozenset[str], *, apart: bool
    ) -> list[Ints]:
        """What passes the unit's edge, each once: core (0 unless `apart`), step, place in each dimension."""
        return different(self._every(accesses, still, whole, apart=apart))

    def results(self, access: Access, *, apart: bool) -> list[Ints]:
        """The same of the results: one row for each step that adds to one."""
        return different(self._every((access,), None, frozenset(), apart=apart)[:, self.worked])

    def count_rows(
        self, accesses: Sequence[Access], still: Access | None, whole: frozenset[str], *, apart: bool
    ) -> int:
        """How many rows there are, of every point of the runs."""
        ends = np.concatenate([self._ends(access, still=access == still) for access in accesses], axis=1)
        return int(covered(self._every(accesses, still, whole, apart=apart), *ends)[1].sum())

    def _every(
        self, accesses: Iterable[Access], still: Access | None, whole: frozenset[str], *, apart: bool
    ) -> Ints:
        core = self.core if apart else np.zeros_like(self.core)
        found = [
            [core, self._passing(access, whole, access == still), *values(access, self.at, self.count)]
            for access in accesses
        ]
        return np.concatenate(found, axis=1)

    def _ends(self, access: Access | None, *, still: bool) -> Ints:
        """First and last of what sets the points of a run apart: their values where an access moves with
        them, else their steps; a stationary operand passes once for all places in time.
        """
        assert self.runs is not None
        ends = np.stack(self.runs)
        if access is not None and self.run in access.ranks:
            return ends
        if self.lanes:
            return (ends - self.low) // self.lanes
        return np.zeros_like(ends) if still else ends

    def _passing(self, access: Access, whole: frozenset[str], still: bool) -> Ints:
        """The step in which each point's operand passes: the first of those that use what passes with it."""
        mine = whole & set(access.ranks)
        if not self.count or not (still or mine):
            return self.step
        at = {r: np.full_like(here, self.box[r][0]) if r in mine else here for r, here in self.place.items()}
        columns = self._folds(at)
        if still:
            columns += [at[rank] for rank in (*self.in_time, *self.alone) if rank in access.ranks]
        else:
            columns += [self._own(self.alone, at), *(at[rank] for rank in self.in_time)]
        together = number(columns, self.count)
        first = np.full(self.count, self.count)
        np.minimum.at(first, together, self.step)
        return first[together]

    def _folds(self, at: At) -> list[Ints]:
        return [self._own(ranks, at) // self.unit.dims[dim] for dim, ranks in self.dims.items()]

    def _own(self, ranks: tuple[str, ...], at: At) -> Ints:
        """Places along some ranks as one number; of those that go round the cores, among its core's own."""
        if not self.count:
            return np.zeros(0, dtype=np.int64)
        mine = flat(ranks, self.box, at, self.count)
        if not set(self.shared_out) & set(ranks):
            return mine
        every, count = points(self.box, tuple(dict.fromkeys((*ranks, *self.shared_out))), None)
        theirs = flat(ranks, self.box, every, count)
        many = int(max(theirs.max(), mine.max())) + 1
        taken = np.unique(core_of(self.unit, self.node, self.tile, every, count) * many + theirs)
        before = self.core * many
        return np.searchsorted(taken, before + mine) - np.searchsorted(taken, before)


def points(tile: Box, ranks: Sequence[str], mask: Mask | None) -> tuple[dict[str, Ints], int]:
    """Positions along some ranks of every point of a box that a mask leaves, and how many those are."""
    sides = [tile[rank] for rank in ranks]
    grid = np.meshgrid(*(np.arange(low, low + extent) for low, extent in sides), indexing="ij")
    at = {rank: places.reshape(-1) for rank, places in zip(ranks, grid, strict=True)}
    if mask and at:
        kept = mask.keeps(at, next(iter(at.values())).shape)
        at = {rank: places[kept] for rank, places in at.items()}
    return at, len(next(iter(at.values()))) if at else 1


def flat(ranks: Iterable[str], box: Box, at: At, count: int, *, absolute: bool = False) -> Ints:
    """Places of several ranks as one number, from the box's first on, or the first rank from its own 0."""
    found = np.zeros(count, dtype=np.int64)
    for turn, rank in enumerate(ranks):
        low, extent = box[rank]
        found = found * extent + at[rank] - (0 if absolute and not turn else low)
    return found


def core_of(unit: Unit, node: Compute, tile: Box, at: At, count: int) -> Ints:
    """The core of each point: places of the cores' ranks go round the cores."""
    return flat(cores_ranks(node), tile, at, count, absolute=True) % unit.dims.get("cores", 1)


def values(access: Access, at: At, count: int) -> list[Ints]:
    """The place in each dimension that each point accesses, as far as the visited ranks tell."""
    found = [np.full(count, index.offset, dtype=np.int64) for index in access.indices]
    for dim, index in enumerate(access.indices):
        for term in index.terms:
            if term.rank in at:
                found[dim] += term.coefficient * at[term.rank]
    return found
