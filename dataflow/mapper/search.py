"""The search of a map space: each group of Einsums by branch and bound, the cuts between groups by DP.

What a group's search finds depends on the space, the objective and what smaller groups cost, never on which
other searches run beside it: so the answer is the same for any number of workers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec
import numpy as np

from einsim.dataflow.mapper.archive import join
from einsim.dataflow.mapper.found import Found, best_of, score
from einsim.dataflow.mapper.fronts import Archive, Contexts, Pools, Rows
from einsim.dataflow.mapper.nest import Inside
from einsim.dataflow.mapper.objective import ENERGY, FRONT, LATENCY, Key, mode_of
from einsim.dataflow.mapper.point import GroupPoint
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapper.vectors import TileVector
from einsim.specs.arrays import Floats, Ints
from einsim.workloads.cascade import Einsum

#: Called with how many groups are done, how many there are, and the best objective so far (None: none yet).
Report = Callable[[int, int, Found | None], None]

#: Places of a group's first Einsum and after its last.
Span = tuple[int, int]

ENDLESS = 2**62
#: Objectives that are the sum of the groups' own.
ADDITIVE = ("latency", "energy")
#: Sets of residents that a quick search looks at: none, and all that fit.
FEW_SETS = 2
#: Nodes that a group gets at least.
LEAST_NODES = 2_000
#: Single Einsums together get at most one part in so many of the nodes.
SINGLES = 4


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, best first; `others`: the next best, with other results on chip; `proven`: all of the
    space was covered; `nodes`: partial mappings seen; `floor`: the objective that nothing in it is below, in
    ticks or joules, 0 for one that isn't a sum over groups.
    """

    found: tuple[Found, ...]
    others: tuple[Found, ...]
    proven: bool
    nodes: int
    floor: float


class _Searched(NamedTuple):
    """What is found of a group, the nodes looked at, whether all of it was covered, and what no point of it
    that is better than its smaller groups costs less than, where groups add up.
    """

    found: list[Found]
    nodes: int
    covered: bool
    least: float


class Search:
    """One search. `within` caps the bytes held on chip, `nodes` the partial mappings that are looked at and
    `budget_s` the seconds; `workers` groups are searched at once. `left` are shares of Einsums' costs that
    the floor counts: bounds may cut what the space leaves whole. `few`: only no residents and all that fit.
    """

    def __init__(
        self, space: MapSpace, objective: str, *, report: Report, within: float = math.inf,
        budget_s: float = math.inf, nodes: int = ENDLESS, workers: int = 1,
        left: Mapping[str, float] = {}, few: bool = False,
    ) -> None:  # fmt: skip
        self.space = space
        self.few = few
        self.left = left
        self.objective = objective
        self.within = within
        self.report = report
        self.deadline = time.monotonic() + budget_s
        self.nodes = nodes
        self.workers = workers
        self.stopped = False
        self.alone: set[int] = set()  # rows of single Einsums whose nodes were counted; pools keep them
        self.index = {einsum.name: at for at, einsum in enumerate(space.cascade.einsums)}

    def run(self) -> SearchResult:
        """Search everything, or until nodes or time are used up or Ctrl-C: then what was found stands,
        unproven.
        """
        spaces = self.space.spaces()
        some = self.few and len(spaces) > FEW_SETS
        spaces = (spaces[0], spaces[-1]) if some else spaces
        groups = [sorted(space.fusions(), key=self._order) for space in spaces]
        total, done, used, proven, floor = sum(map(len, groups)), 0, 0, True, math.inf
        best: list[Found] = []
        every: list[Found] = []
        pools = Pools()
        with ThreadPoolExecutor(max_workers=max(1, self.workers)) as pool:
            for space, mine in zip(spaces, groups, strict=True):
                kept = sum(map(space.bytes_of, space.resident or ()))
                if kept > self.within:
                    done += len(mine)
                    continue
                contexts = Contexts(space, self.objective, self.within - kept, self._late, pools)
                table: dict[Span, list[Found]] = {}
                whole: list[Found] = []
                try:
                    leasts = self._leasts(pool, contexts, mine)
                    masked = self._leasts(pool, contexts, mine, self.left) if self.left else {}
                    for number in self._sizes(mine):
                        row = [
                            g for g in mine if len(g) == number and self._may_improve(leasts, g, best, whole)
                        ]
                        done += sum(len(group) == number for group in mine) - len(row)
                        share = max(LEAST_NODES, (self.nodes - used) // max(1, total - done))
                        if number == 1:  # the same in every space, so that what was found serves again
                            share = max(LEAST_NODES, self.nodes // (SINGLES * len(self.index)))
                        spans = [self._span(group) for group in row]
                        smaller = [self._cover(space, table, *span) if number > 1 else [] for span in spans]
                        jobs = [
                            pool.submit(self.group, contexts, group, limit, share)
                            for group, limit in zip(row, smaller, strict=True)
                        ]
                        for span, job in zip(spans, jobs, strict=True):
                            one = job.result()
                            used, done, proven = used + one.nodes, done + 1, proven and one.covered
                            leasts[span] = max(one.least, leasts[span])
                            if one.found:
                                table[span] = one.found
                            now = self._cover(space, table, 0, len(self.index))
                            shown = best_of([*best, *now], self.objective)
                            self.report(done, total, shown[0] if shown else None)
                        whole = self._cover(space, table, 0, len(self.index))
                    floor = min(floor, self._least(self._left(leasts, masked), 0, len(self.index)))
                except KeyboardInterrupt:
                    self.stopped = True
                    whole = self._cover(space, table, 0, len(self.index))
                best = best_of([*best, *whole], self.objective)
                every += whole
                if self.stopped:
                    break

        def rank(one: Found) -> Key:
            return score(one, self.objective)

        return SearchResult(
            found=tuple(sorted(best, key=rank)),
            others=tuple(one for one in sorted(every, key=rank) if one not in best),
            proven=proven and not (self.stopped or some), nodes=used,
            floor=0.0 if self.stopped or some or self.objective not in ADDITIVE else max(floor, 0.0),
        )  # fmt: skip

    def _sizes(self, groups: list[tuple[Einsum, ...]]) -> list[int]:
        """Single Einsums first, for something to beat; then the largest groups, which may rule out others."""
        sizes = sorted({len(group) for group in groups})
        return sizes if self.objective not in ADDITIVE else [*sizes[:1], *sizes[:0:-1]]

    def _leasts(
        self, pool: ThreadPoolExecutor, contexts: Contexts, groups: list[tuple[Einsum, ...]],
        left: Mapping[str, float] = {},
    ) -> dict[Span, float]:  # fmt: skip
        """What each group costs at least before its loops are split, where shares are `left` of its Einsums'
        costs.
        """

        def least(group: tuple[Einsum, ...]) -> float:
            return contexts.candidates(group, self._mode(group), left=left).least

        return {self._span(group): one for group, one in zip(groups, pool.map(least, groups), strict=True)}

    def _left(self, leasts: dict[Span, float], masked: dict[Span, float]) -> dict[Span, float]:
        """What each group costs at least where bounds leave less of some Einsums: the least share of what it
        costs without them, or its share of each Einsum before loops are split (`masked`), if that is more.
        """
        share = [self.left.get(name, 1.0) for name in self.index]
        return {at: max(min(share[slice(*at)]) * one, masked.get(at, 0.0)) for at, one in leasts.items()}

    def _mode(self, group: tuple[Einsum, ...]) -> int:
        return mode_of(self.objective, len(group) == len(self.index))

    def _may_improve(
        self, leasts: dict[Span, float], group: tuple[Einsum, ...], best: list[Found],
        whole: list[Found],
    ) -> bool:  # fmt: skip
        """Whether a group could be part of something better than the best so far: where groups add up, its
        least and the least of all before and after it are below that.
        """
        known = best_of([*best, *whole], self.objective)
        if not known or self.objective not in ADDITIVE or self.stopped:
            return True
        first, last = self._span(group)
        least = self._least(leasts, 0, first) + leasts[first, last]
        return least + self._least(leasts, last, len(self.index)) < score(known[0], self.objective)[0]

    def _least(self, leasts: dict[Span, float], first: int, last: int) -> float:
        """What covering some Einsums by groups costs at least."""
        ways = [0.0]
        for end in range(first + 1, last + 1):
            every = (
                leasts[begin, end] + ways[begin - first]
                for begin in range(first, end)
                if (begin, end) in leasts
            )
            ways.append(min(every, default=math.inf))
        return ways[-1]

    def _order(self, group: tuple[Einsum, ...]) -> tuple[int, int]:
        return len(group), self.index[group[0].name]

    def _span(self, group: tuple[Einsum, ...]) -> Span:
        first = self.index[group[0].name]
        return first, first + len(group)

    def _late(self) -> bool:
        """Whether the time is up."""
        self.stopped = self.stopped or time.monotonic() > self.deadline
        return self.stopped

    def _cover(self, space: MapSpace, table: dict[Span, list[Found]], first: int, last: int) -> list[Found]:
        """The best ways to cover the Einsums first..last by groups: dynamic programming over the cuts."""
        whole = (first, last) == (0, len(self.index))
        kept = float(sum(map(space.bytes_of, space.resident or ()))) if whole else 0.0
        start = Found(
            ticks=0, joules=0, held=0, resident=space.resident or (), global_buffer=space.global_buffer
        )  # fmt: skip
        ways: list[list[Found]] = [[start]]
        for end in range(first + 1, last + 1):
            joined = [
                before.then(group)
                for begin in range(first, end)
                for group in table.get((begin, end), ())
                for before in ways[begin - first]
            ]
            ways.append(best_of(joined, self.objective))
        return [msgspec.structs.replace(one, held=one.held + kept) for one in ways[-1]]

    def group(
        self, contexts: Contexts, group: tuple[Einsum, ...], limit: list[Found], share: int
    ) -> _Searched:
        """The best of one group, which has to beat a `limit`."""
        mode = self._mode(group)
        if len(group) == 1 and not group[0].iterative:
            (inside,) = contexts.space.insides(group)
            rows = contexts.alone(group[0], inside, mode, share)
            looked = 0 if id(rows) in self.alone else rows.nodes
            self.alone.add(id(rows))
            points = [GroupPoint(inside=inside, nests=(point,)) for point in contexts.points(rows)]
            found = best_of([contexts.figures(point) for point in points], self.objective)
            least = float(rows.keys[0, 0]) if rows.all and len(rows.keys) else 0.0
            return _Searched(found, looked, rows.all, least)
        return _GroupSearch(contexts, self.objective, mode, share, group, limit).run()


class _GroupSearch:
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
        if limit and mode >= LATENCY:
            limit = [min(limit, key=lambda one: score(one, objective))]
            self.archive.seed([score(limit[0], objective)])
        elif limit:
            width = self.archive.keys.shape[1]
            self.archive.seed([(one.ticks, one.joules, one.held)[:width] for one in limit])

    def run(self) -> _Searched:
        """Every surrounding in the order of what it costs at least, until none can improve on the best."""
        below = float(self.archive.keys[0, 0]) if self.mode >= LATENCY and self.archive.count else math.inf
        candidates = self.contexts.candidates(self.group, self.mode, below)
        covered, least = candidates.all, math.inf if candidates.all else 0.0
        for number, (at, inside, tile) in enumerate(candidates.where.tolist()):
            if self.contexts.late() or self.left <= 0:
                covered, least = False, min(least, float(candidates.keys[number, 0]))
                break
            if not self._dominated(candidates.keys[number]):
                frame, self.covered = candidates.frames[at], True
                self._inside(frame.insides[inside], tuple(frame.tiles[tile].tolist()), 2 * number + 1)
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
        return _Searched(found, self.share - self.left, covered, least)

    def _dominated(self, key: Floats) -> bool:
        """Whether what was found is at least as good as the least of a candidate."""
        if self.mode >= LATENCY:
            return bool(self.archive.count) and bool(key[0] >= self.archive.keys[0, 0])
        rows = self.archive.keys[: self.archive.count]
        return bool(np.any(np.all(rows <= key[: rows.shape[1]], axis=1)))

    def _inside(self, inside: Inside, shared: TileVector, tag: int) -> None:
        """The Einsums' best or unbeaten rows inside given shared loops, joined."""
        contexts, mode = self.contexts, self.mode
        if mode in (LATENCY, ENERGY):
            bests = []
            for einsum in self.group:
                rows = contexts.best(einsum, inside, shared, mode, self.left)
                self._charge(rows)
                if not len(rows.keys):
                    return
                bests.append(rows)
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
        fronts = []
        for einsum in self.group:
            rows = contexts.front(einsum, inside, shared, mode, self.left)
            self._charge(rows)
            if not len(rows.keys):
                return
            fronts.append(rows)
        trace = self._join(inside, fronts, [rows.keys for rows in fronts], tag + 1)
        if trace is not None:
            self.traces[tag + 1] = trace

    def _charge(self, rows: Rows) -> None:
        self.left -= rows.nodes
        self.covered = self.covered and rows.all

    def _join(self, inside: Inside, parts: list[Rows], keys: list[Floats], tag: int) -> _Trace | None:
        """Sums of the Einsums' rows into the archive; None where nothing new came in."""
        contexts, archive, mode = self.contexts, self.archive, self.mode
        rows, steps = keys[0], []
        keys = keys if len(keys) > 1 else [rows, np.zeros((1, contexts.width))]  # a single one, by itself
        for number in range(1, len(keys)):
            last = number == len(keys) - 1
            into = archive if last else Archive(contexts.width, 3)
            into.keys, into.metas, into.count = join(
                rows, keys[number], len(self.scale.engines), contexts.capacity,
                contexts.goal(mode, parts=not last), tag, into.keys, into.metas, into.count,
            )  # fmt: skip
            self.left -= len(rows) * len(keys[number]) // 8
            if not last:
                rows = into.keys[: into.count].copy()
                steps.append(into.metas[: into.count].copy())
                if not into.count:
                    return None
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
