"""The search of one group of Einsums: its surroundings in the order of what they cost at least."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from einsim.dataflow.mapper.archive import join
from einsim.dataflow.mapper.found import Found, best_of, score
from einsim.dataflow.mapper.fronts import Contexts, usual
from einsim.dataflow.mapper.nest import Inside
from einsim.dataflow.mapper.objective import ENERGY, FRONT, LATENCY, Key
from einsim.dataflow.mapper.ordered import Archive
from einsim.dataflow.mapper.point import GroupPoint
from einsim.dataflow.mapper.pools import Rows
from einsim.dataflow.mapper.vectors import TileVector
from einsim.specs.arrays import Bools, Floats, Ints
from einsim.workloads.cascade import Einsum

#: An Einsum gets at most one part in so many of a group's nodes that are left, in a quick search.
PART = 4


#: Sums of two fronts for each node, as a square: a fifth of them make the front that each is compared with.
SUMS = 5_000


#: Einsums of a group from which on a join makes at most so many sums: there are as many joins as Einsums.
MANY, FEW_SUMS = 4, 2_000

#: Einsums of a cascade up to which fronts are joined whole, whatever that takes.
LONG = 3


class Searched(NamedTuple):
    """What is found of a group, the nodes looked at, whether all of it was covered, and what no point of it
    that is better than its smaller groups costs less than, where groups add up.
    """

    found: list[Found]
    nodes: int
    covered: bool
    least: float


class KnownGroup(NamedTuple):
    """What was searched of a group with so much `room`, what it had to beat, and its `share` of nodes."""

    searched: Searched
    room: Floats
    beat: Key
    share: int

    def serves(self, contexts: Contexts, beat: Key, share: int) -> bool:
        """Whether a search with no more room than that finds the same."""
        more = share.bit_length() > self.share.bit_length() and not self.searched.covered
        if more or np.any(contexts.room > self.room):
            return False
        if not self.searched.found:
            return beat <= self.beat
        return all(contexts.fits(point) for one in self.searched.found for point in one.groups)


class GroupSearch:
    """The search of one group of several Einsums."""

    def __init__(
        self, contexts: Contexts, objective: str, mode: int, share: int, group: tuple[Einsum, ...],
        limit: list[Found],
    ) -> None:  # fmt: skip
        self.contexts = contexts
        self.objective = objective
        self.mode = mode
        self.left = share
        self.share = share
        self.group = group
        self.scale = contexts.space.scale
        self.archive = Archive(3 if mode == FRONT else 2, 3)
        self.traces: dict[int, _Trace] = {}
        self.long = len(contexts.space.cascade.einsums) > LONG
        if limit and mode >= LATENCY:
            self.archive.seed([min(score(one, objective) for one in limit)])
        elif limit:
            width = self.archive.keys.shape[1]
            self.archive.seed([(one.ticks, one.joules, one.held)[:width] for one in limit])

    def run(self) -> Searched:
        """Every surrounding in the order of what it costs at least, until none can improve on the best."""
        below = float(self.archive.keys[0, 0]) if self.mode >= LATENCY and self.archive.count else math.inf
        candidates = self.contexts.candidates(self.group, self.mode, below)
        covered, least = candidates.rest == math.inf, candidates.rest
        for number, (at, inside, tile) in enumerate(candidates.where.tolist()):
            if self.contexts.late() or self.left <= 0:
                covered, least = False, min(least, float(candidates.keys[number, 0]))
                break
            if not self._dominated(candidates.keys[number]):
                around, self.covered = candidates.frames[at].insides[inside], True
                if self.contexts.few and not usual(around):
                    self.covered = False
                else:
                    tiles = tuple(candidates.frames[at].tiles[tile].tolist())
                    self._inside(around, tiles, 2 * number + 1)
                if not self.covered:
                    covered, least = False, min(least, float(candidates.keys[number, 0]))
            elif self.mode >= LATENCY:
                break  # and so are all after it
        metas = [map(int, meta) for meta in self.archive.metas[: self.archive.count] if meta[2] > 0]
        points = [self.traces[tag].point(one, other) for one, other, tag in metas]
        points = [self.contexts.tie_broken(point, self.mode) for point in points]
        found = best_of([self.contexts.figures(point) for point in points], self.objective)
        if self.archive.count:  # where nothing was found, as good as smaller groups at best
            least = min(least, float(self.archive.keys[0, 0]))
        return Searched(found, self.share - self.left, covered, least)

    def _dominated(self, key: Floats) -> bool:
        """Whether what was found is at least as good as the least of a candidate."""
        if self.mode >= LATENCY:
            return bool(self.archive.count) and bool(key[0] >= self.archive.keys[0, 0])
        rows = self.archive.keys[: self.archive.count]
        return bool(np.any(np.all(rows <= key[: rows.shape[1]], axis=1)))

    def _beaten(self, rows: Floats) -> Bools:
        """Which rows are no better than what was found, by more than rounding."""
        keys = self.contexts.keys(rows, self.mode) * (1 - 1e-12)
        found = self.archive.keys[: self.archive.count]
        if self.mode >= LATENCY:
            return keys[:, 0] > found[0, 0] if len(found) else np.zeros(len(rows), bool)
        return np.array([self._dominated(key) for key in keys], bool)

    def _inside(self, inside: Inside, shared: TileVector, tag: int) -> None:
        """The Einsums' best or unbeaten rows inside given shared loops, joined."""
        contexts, mode = self.contexts, self.mode
        if mode in (LATENCY, ENERGY):
            bests = self._rows(contexts.best, inside, shared)
            if not bests:
                return
            figures = [float(rows.keys[0, 0]) for rows in bests]
            bound = sum(figures) if mode == ENERGY else max(figures)
            whole = all(rows.all for rows in bests)
            if whole and self.archive.count and bound >= self.archive.keys[0, 0]:
                return
            full = [contexts.whole_rows(rows) for rows in bests]
            trace = self._join(inside, bests, full, tag)
            if trace is not None:
                self.traces[tag] = trace
                if whole and mode == ENERGY and not contexts.leak_j:
                    return  # each Einsum's own best fits beside the others: nothing is better here
        fronts = self._some(self._promising(self._rows(contexts.front, inside, shared)))
        trace = self._join(inside, fronts, [rows.keys for rows in fronts], tag + 1) if fronts else None
        if trace is not None:
            self.traces[tag + 1] = trace

    def _rows(self, of: Callable[..., Rows], inside: Inside, shared: TileVector) -> list[Rows]:
        """What is found of each Einsum inside given shared loops; nothing where one has none."""
        found: list[Rows] = []
        for einsum in self.group:
            part = max(PART, len(self.group)) if self.contexts.few else 1
            found.append(of(einsum, inside, shared, self.mode, self.left // part))
            self.left -= found[-1].nodes
            self.covered = self.covered and found[-1].all
            if not len(found[-1].keys):
                return []
        return found

    def _promising(self, fronts: list[Rows]) -> list[Rows]:
        """Of each front the rows that fit and may be better than what was found, whatever the others take at
        least; nothing where one has none.
        """
        contexts = self.contexts
        least = [rows.keys.min(axis=0) for rows in fronts]
        found = list[Rows]()
        for at, rows in enumerate(fronts):
            others = sum(least[:at] + least[at + 1 :], np.zeros(contexts.width))
            some = contexts.fit(rows.keys + others) & ~self._beaten(rows.keys + others)
            found.append(rows._replace(keys=rows.keys[some], metas=rows.metas[some]))
        return found if all(len(rows.keys) for rows in found) else []

    def _some(self, fronts: list[Rows]) -> list[Rows]:
        """The fronts, or some rows of them where the longest would take more nodes to join than are left, or,
        in a search of `few`, than the group has: each sum is compared with all that they make.
        """
        fronts, lengths = [*fronts], [len(rows.keys) for rows in fronts]
        while self.long and math.prod(sorted(lengths)[-2:]) > self._most_sums():
            at = max(range(len(fronts)), key=lengths.__getitem__)
            some = self._spread(fronts[at].keys, -(-lengths[at] // 2))
            fronts[at] = fronts[at]._replace(keys=fronts[at].keys[some], metas=fronts[at].metas[some])
            lengths[at] = len(some)
        return fronts

    def _most_sums(self) -> int:
        """Sums that one join of two fronts may make, where they are many."""
        if len(self.group) > MANY:
            return FEW_SUMS
        return math.isqrt(max(1, self.share if self.contexts.few else self.left) * SUMS)

    def _spread(self, rows: Floats, count: int) -> Ints:
        """So many rows from the best to the worst by the objective; all are not covered then."""
        self.covered = False
        order = np.argsort(self.contexts.keys(rows, self.mode)[:, 0], kind="stable")
        return order[np.arange(count) * (len(rows) - 1) // max(1, count - 1)]

    def _join(self, inside: Inside, parts: list[Rows], keys: list[Floats], tag: int) -> _Trace | None:
        """Sums of the Einsums' rows into the archive; None where nothing new came in."""
        contexts, archive, mode = self.contexts, self.archive, self.mode
        rows, steps = keys[0], []
        keys = keys if len(keys) > 1 else [rows, np.zeros((1, contexts.width))]  # a single one, by itself
        for number in range(1, len(keys)):
            last = number == len(keys) - 1
            into = archive if last else Archive(contexts.width, 3)
            rest = sum((one.min(axis=0) for one in keys[number + 1 :]), np.zeros(contexts.width))
            into.keys, into.metas, into.count = join(
                rows, keys[number], rest, len(self.scale.engines), contexts.capacity,
                contexts.goal(mode, parts=not last), tag, into.keys, into.metas, into.count,
                contexts.goal(mode), archive.keys, archive.count,
            )  # fmt: skip
            self.left -= len(rows) * len(keys[number]) // 8
            if not last:
                if not into.count:
                    return None
                some, most = np.arange(into.count), max(1, self._most_sums() // len(keys[number + 1]))
                some = (
                    self._spread(into.keys[: into.count], most) if self.long and into.count > most else some
                )
                rows = into.keys[some]
                steps.append(into.metas[some])
        if not np.any(archive.metas[: archive.count, 2] == tag):
            return None
        return _Trace(contexts, inside, steps, parts)


class _Trace:
    """How the rows of one join lead back to points: `steps` are the metas of the joins before the last."""

    def __init__(self, contexts: Contexts, inside: Inside, steps: list[Ints], parts: list[Rows]) -> None:
        self.contexts = contexts
        self.inside = inside
        self.steps = steps
        self.parts = parts

    def point(self, first: int, last: int) -> GroupPoint:
        """The point of one row of the last join."""
        rows = [last]
        for metas in reversed(self.steps):
            rows.append(int(metas[first, 1]))
            first = int(metas[first, 0])
        rows.append(first)
        nests = tuple(
            self.contexts.point(part, row) for part, row in zip(self.parts, reversed(rows), strict=False)
        )
        return GroupPoint(inside=self.inside, nests=nests)
