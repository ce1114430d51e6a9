"""The search of a map space: each group of Einsums by branch and bound, the cuts between groups by DP.

What a group's search finds depends on the space, the objective and what smaller groups cost, never on which
other searches run beside it: so the answer is the same for any number of workers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec
import numpy as np

from einsim.dataflow.mapper.found import Found, best_of, score
from einsim.dataflow.mapper.fronts import Contexts
from einsim.dataflow.mapper.group_search import GroupSearch, KnownGroup, Searched
from einsim.dataflow.mapper.objective import ADDITIVE, LATENCY, Key, mode_of
from einsim.dataflow.mapper.point import GroupPoint
from einsim.dataflow.mapper.pools import Pools
from einsim.dataflow.mapper.space import MapSpace
from einsim.specs.progress import tell
from einsim.workloads.cascade import Einsum

#: Called with how many groups are done, how many there are, and the best objective so far (None: none yet).
Report = Callable[[int, int, Found | None], None]

#: Places of a group's first Einsum and after its last.
Span = tuple[int, int]

ENDLESS = 2**62
#: Sets of residents that a search of `few` looks at: none, and those that may cost least.
FEW_SETS = 4
#: Times as many for a single Einsum: what it costs at least is then known, and bounds what it is part of.
ALONE = 32
#: A search of `few` ends after so many times its nodes, if covers of small groups are searched even so.
MOST_NODES = 10
#: Points of a front that go on where groups are joined.
MOST_WAYS = 50
#: Nodes that a group gets at least; in a search of `few` twice as many: they find the nests of projections.
LEAST_NODES = 2_000


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


class Plan(NamedTuple):
    """A part of the space, its groups, and what each costs at least: without bounds, and where they leave
    less of some Einsums; what was found of those that were `searched`.
    """

    space: MapSpace
    groups: list[tuple[Einsum, ...]]
    contexts: Contexts
    leasts: dict[Span, float]
    masked: dict[Span, float]
    table: dict[Span, list[Found]]
    searched: set[Span]


class Search:
    """One search. `within` caps the bytes held on chip, `nodes` the partial mappings that are looked at and
    `budget_s` the seconds; `workers` groups are searched at once. `left` are shares of Einsums' costs that
    the floor counts: bounds may cut what the space leaves whole. `few`: only some sets
    of residents are searched, and usual surroundings; all are bounded.
    What is no better than `beat`, in ticks or joules, need not be found where groups add up.
    """

    def __init__(
        self, space: MapSpace, objective: str, *, report: Report, within: float = math.inf,
        budget_s: float = math.inf, nodes: int = ENDLESS, workers: int = 1,
        left: Mapping[str, float] = {}, few: bool = False, beat: float = math.inf,
    ) -> None:  # fmt: skip
        self.space = space
        self.few, self.beat = few, beat
        self.left = left
        self.objective = objective
        self.within = within
        self.report = report
        self.deadline = time.monotonic() + budget_s
        self.nodes = nodes
        self.least_nodes = 2 * LEAST_NODES if few else LEAST_NODES // (4 if beat < math.inf else 1)
        self.workers = workers
        self.stopped = self.thinned = False
        self.covered, self.used, self.singles = True, 0, 0  # all of what was searched; nodes
        self.done = self.total = 0  # groups
        self.waiting: set[Hashable] = set()
        self.groups: dict[Hashable, KnownGroup] = {}
        self.alone: set[int] = set()  # rows of single Einsums whose nodes were counted; pools keep them
        self.index = {einsum.name: at for at, einsum in enumerate(space.einsums)}

    def run(self) -> SearchResult:
        """Search everything, or until nodes or time are used up or Ctrl-C: then what was found stands,
        unproven.
        """
        plans, best, additive = list[Plan](), list[Found](), self.objective in ADDITIVE
        with ThreadPoolExecutor(max_workers=max(1, self.workers)) as pool:
            try:
                plans += self._plans(pool)
                self._through(pool, plans, best)
            except KeyboardInterrupt:
                self.stopped = True
        every = [one for plan in plans for one in self._cover(plan, 0, len(self.index))]
        best = best_of([*best, *every], self.objective)
        floor = min(map(self._floor, plans), default=0.0) if additive and not self.stopped else 0.0
        known = min((score(one, self.objective)[0] for one in best), default=math.inf)
        least = min((_cheapest(plan.leasts, len(self.index))[0] for plan in plans), default=math.inf)
        proven = self.covered if not additive else least >= known * (1 - 1e-12)

        def rank(one: Found) -> Key:
            return score(one, self.objective)

        return SearchResult(
            found=tuple(sorted(best, key=rank)),
            others=tuple(one for one in sorted(every, key=rank) if one not in best),
            proven=proven and not self.stopped and not self.thinned, nodes=self.used, floor=max(floor, 0.0),
        )  # fmt: skip

    def _through(self, pool: ThreadPoolExecutor, plans: list[Plan], best: list[Found]) -> None:
        """Search groups of parts, and keep the best.

        Where groups add up, the first part comes first, for something to beat, then again and again the one
        whose cover may cost least, until that is no better than what is known; a search of `few` ends after
        so many nodes. Else all of every part is searched, or of a few.
        """
        additive = self.objective in ADDITIVE
        if not additive and self.few:
            self.covered = len(plans) <= FEW_SETS
            del plans[FEW_SETS:]
        self.waiting = {self._key(plan.space, group) for plan in plans for group in plan.groups}
        self.total = sum(len(plan.groups) for plan in plans)
        alike: dict[Hashable, list[tuple[Plan, Span]]] = {}
        for plan in plans:
            for group in plan.groups:
                alike.setdefault(self._key(plan.space, group), []).append((plan, self._span(group)))
        for plan in plans[:1] if additive else plans:
            while row := self._next(plan, best):
                self._row(pool, plan, row, alike, best)
        while additive and not (self.few and self.used > MOST_NODES * self.nodes):
            plan = min(plans, key=lambda plan: self._cover_of(plan)[0])
            if not (row := self._next(plan, best)):
                break
            self._row(pool, plan, row, alike, best)

    def _plans(self, pool: ThreadPoolExecutor) -> list[Plan]:
        """The parts of the space with what their groups cost at least: that without residents first, for
        something to beat, then a quick search those that may cost least.
        """
        pools, found = Pools(), list[Plan]()
        parts = list[tuple[MapSpace, list[tuple[Einsum, ...]], Contexts]]()
        for space in self.space.spaces():
            kept = sum(map(space.bytes_of, space.resident or ()))
            if kept <= self.within:
                contexts = Contexts(space, self.objective, self.within - kept, self._late, pools, self.few)
                parts.append((space, sorted(space.fusions(), key=self._order), contexts))
        for _, groups, contexts in parts:
            for group in groups:
                contexts.frames(group)
        for space, groups, contexts in parts:
            leasts = self._leasts(pool, contexts, groups)
            masked = self._leasts(pool, contexts, groups, self.left) if self.left else {}
            found.append(Plan(space, groups, contexts, leasts, masked, {}, set()))
        return [*found[:1], *sorted(found[1:], key=self._floor)] if self.few else found

    def _floor(self, plan: Plan) -> float:
        """What covering the cascade by groups of a part costs at least."""
        return _cheapest(self._left(plan.leasts, plan.masked), len(self.index))[0]

    def _row(
        self, pool: ThreadPoolExecutor, plan: Plan, row: list[tuple[Einsum, ...]],
        alike: Mapping[Hashable, list[tuple[Plan, Span]]], best: list[Found],
    ) -> None:  # fmt: skip
        """Search some groups of a part. What one costs at least it does with less room, too."""
        number, spans = max(map(len, row)), [self._span(group) for group in row]
        keys = [self._key(plan.space, group) for group in row]
        least = self._least_nodes(number, len(row))
        share = max(least, (self.nodes - self.used) // max(1, len(self.waiting)))
        self.waiting -= {*keys}
        if number == 1:  # the same in every part, so that what was found serves again
            share = max(ALONE * self.least_nodes, self.nodes // len(self.index))
        smaller = [self._cover(plan, *span) if span[1] - span[0] > 1 else [] for span in spans]
        shares = self._shares(share, least, [plan.leasts[span] for span in spans], smaller)
        jobs = [
            pool.submit(self.group, plan.contexts, group, limit, part)
            for group, limit, part in zip(row, smaller, shares, strict=True)
        ]
        for key, span, job in zip(keys, spans, jobs, strict=True):
            one = job.result()
            self.used, self.done = self.used + one.nodes, self.done + 1
            self.covered = self.covered and one.covered
            self.singles += one.nodes if number == 1 else 0
            for other, at in alike[key]:
                if np.all(other.contexts.room <= plan.contexts.room):
                    other.leasts[at] = max(one.least, other.leasts[at])
            plan.searched.add(span)
            if one.found:
                plan.table[span] = one.found
            now = self._cover(plan, 0, len(self.index)) if self.objective in ADDITIVE else []
            best[:] = best_of([*best, *now], self.objective)
            self.report(self.done, self.total, best[0] if best else None)

    def _next(self, plan: Plan, known: list[Found]) -> list[tuple[Einsum, ...]]:
        """The groups of a part that are searched next; none at the end."""
        left = [group for group in plan.groups if self._span(group) not in plan.searched]
        if self.stopped or not left:
            return []
        if self.objective not in ADDITIVE:
            return [group for group in left if len(group) == len(left[0])]
        cost, cover = self._cover_of(plan)
        beat = min((score(one, self.objective)[0] for one in known), default=math.inf)
        if cost >= min(beat, self.beat):
            return []
        if len(left[0]) == 1:
            return [group for group in left if len(group) == 1]
        return [group for group in left if self._span(group) in cover]

    def _cover_of(self, plan: Plan) -> tuple[float, set[Span]]:
        """The cover of a part that may cost least: what was found of groups, or what others cost at least."""
        costs = {
            span: score(plan.table[span][0], self.objective)[0] if span in plan.table
            else math.inf if span in plan.searched else least
            for span, least in plan.leasts.items()
        }  # fmt: skip
        return _cheapest(costs, len(self.index))

    def _leasts(
        self, pool: ThreadPoolExecutor, contexts: Contexts, groups: list[tuple[Einsum, ...]],
        left: Mapping[str, float] = {},
    ) -> dict[Span, float]:  # fmt: skip
        """What each group costs at least before its loops are split, where shares are `left` of its Einsums'
        costs.
        """

        def least(group: tuple[Einsum, ...]) -> float:
            return contexts.candidates(group, self._mode(group), left=left).least

        found = {}
        for at, (group, one) in enumerate(zip(groups, pool.map(least, groups), strict=True)):
            tell("bounding groups", at, len(groups))
            found[self._span(group)] = one
        return found

    def _left(self, leasts: dict[Span, float], masked: dict[Span, float]) -> dict[Span, float]:
        """What each group costs at least where bounds leave less of some Einsums: the least share of what it
        costs without them, or its share of each Einsum before loops are split (`masked`), if that is more.
        """
        share = [self.left.get(name, 1.0) for name in self.index]
        return {at: max(min(share[slice(*at)]) * one, masked.get(at, 0.0)) for at, one in leasts.items()}

    def _least_nodes(self, number: int, groups: int) -> int:
        """Nodes that each of so many groups of a number of Einsums gets at least: single ones as many as they
        need to be found at all, larger ones together as many as those, where nodes are used up.
        """
        if number == 1 or self.few:
            return self.least_nodes
        rest = max(self.nodes, 2 * self.singles) - self.used
        return max(1, min(self.least_nodes, rest // max(1, groups)))

    def _shares(
        self, share: int, least_nodes: int, leasts: list[float], limits: list[list[Found]]
    ) -> list[int]:
        """A share of nodes for each of some groups, by how much it might be better than smaller ones."""
        if self.objective not in ADDITIVE or not all(limits):
            return [share] * len(limits)
        gains = [
            score(limit[0], self.objective)[0] - least for limit, least in zip(limits, leasts, strict=True)
        ]
        mean = sum(gains) / max(1, len(gains)) or 1.0
        return [max(least_nodes, int(share * gain / mean)) for gain in gains]

    def _mode(self, group: tuple[Einsum, ...]) -> int:
        return mode_of(self.objective, len(group) == len(self.index))

    def _order(self, group: tuple[Einsum, ...]) -> tuple[int, int]:
        return len(group), self.index[group[0].name]

    def _key(self, space: MapSpace, group: tuple[Einsum, ...]) -> Hashable:
        """What a group's search hangs on, but for the room."""
        return tuple(einsum.name for einsum in group), space.resident_in(group)

    def _span(self, group: tuple[Einsum, ...]) -> Span:
        first = self.index[group[0].name]
        return first, first + len(group)

    def _late(self) -> bool:
        """Whether the time is up."""
        self.stopped = self.stopped or time.monotonic() > self.deadline
        return self.stopped

    def _cover(self, plan: Plan, first: int, last: int) -> list[Found]:
        """The best ways to cover the Einsums first..last by groups: dynamic programming over the cuts."""
        whole = (first, last) == (0, len(self.index))
        start = Found(ticks=0, joules=0, held=0, global_buffer=plan.space.global_buffer)
        ways: list[list[Found]] = [[start]]
        for end in range(first + 1, last + 1):
            joined = [
                before.then(group)
                for begin in range(first, end)
                for group in self._some(plan.table.get((begin, end), []), whole=(begin, end) == (first, last))
                for before in self._some(ways[begin - first])
            ]
            ways.append(best_of(joined, self.objective))
        ends = self._some(ways[-1], whole=not self.thinned)
        return [self._kept(plan.space, one) for one in ends] if whole else ends

    def _kept(self, space: MapSpace, found: Found) -> Found:
        """What was found of a whole cascade, with what stays on chip between its groups."""
        resident = space.point(found.groups).resident
        held = found.held + float(sum(map(space.bytes_of, resident)))
        return msgspec.structs.replace(found, held=held, resident=resident)

    def _some(self, front: list[Found], *, whole: bool = False) -> list[Found]:
        """So many of a front that others join, from one end to the other: a front of sums has up to as many
        points as all fronts, times each other. All of what is `whole`.
        """
        if whole or len(front) <= MOST_WAYS:
            return front
        self.thinned = True
        return [front[at * (len(front) - 1) // (MOST_WAYS - 1)] for at in range(MOST_WAYS)]

    def group(
        self, contexts: Contexts, group: tuple[Einsum, ...], limit: list[Found], share: int
    ) -> Searched:
        """The best of one group, which has to beat a `limit`."""
        mode = self._mode(group)
        if len(group) == 1 and not group[0].iterative:
            (inside,) = contexts.space.insides(group)
            rows = contexts.alone(group[0], inside, mode, share)
            looked = 0 if id(rows) in self.alone else rows.nodes
            self.alone.add(id(rows))
            every = (contexts.point(rows, at) for at in range(len(rows.metas)))
            points = [GroupPoint(inside=inside, nests=(point,)) for point in every]
            found = best_of([contexts.figures(point) for point in points], self.objective)
            least = float(rows.keys[:, 0].min(initial=math.inf)) if rows.all else 0.0
            return Searched(found, looked, rows.all, least)
        key = self._key(contexts.space, group)
        known = self.groups.get(key)
        beat = min((score(one, self.objective) for one in limit), default=(math.inf, math.inf))
        if mode >= LATENCY and known is not None and known.serves(contexts, beat, share):
            return known.searched._replace(nodes=0)
        made = GroupSearch(contexts, self.objective, mode, share, group, limit).run()
        self.groups[key] = KnownGroup(made, contexts.room, beat, share)
        return made


def _cheapest(costs: Mapping[Span, float], count: int) -> tuple[float, set[Span]]:
    """The least that groups which cover so many Einsums cost, and these groups."""
    ways: list[tuple[float, tuple[Span, ...]]] = [(0.0, ())]
    ends: dict[int, list[Span]] = {}
    for span in costs:
        ends.setdefault(span[1], []).append(span)
    for end in range(1, count + 1):
        every = [(ways[span[0]][0] + costs[span], span) for span in ends.get(end, ())]
        cost, last = min(every, default=(math.inf, (0, 0)))
        ways.append((cost, (*ways[last[0]][1], last)))
    return ways[-1][0], set(ways[-1][1])
