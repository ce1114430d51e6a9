"""The search of a stateful group's space: best first over tilings and places, branch and bound inside.

A tiling with places for the inputs has three bounds, each tighter and dearer than the one before: the least
makespan of the Einsums where each takes its best layout on each unit; the same where layouts must agree; and
what `Descent` finds with memories and ports counted. The candidate with the smallest bound is looked at
next, until the smallest is no better than what was found. That proves the answer.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import time
from collections.abc import Callable

import msgspec

from einsim.dataflow.mapper.makespan import makespan
from einsim.dataflow.mapper.nest import Retention
from einsim.dataflow.mapper.objective import Key, key_by
from einsim.dataflow.mapper.stateful.descent import Descent, beats
from einsim.dataflow.mapper.stateful.figures import CostTerm
from einsim.dataflow.mapper.stateful.point import StatefulPoint, Tiling
from einsim.dataflow.mapper.stateful.space import StatefulSpace
from einsim.dataflow.mapper.stateful.tile_counts import TileCounts

#: Called with candidates done, candidates in all, and the best so far.
Report = Callable[[int, int, "StatefulFound"], None]


class StatefulFound(msgspec.Struct, frozen=True, kw_only=True):
    """The best point with its figures, None where nothing fits; `proven`: nothing in the space is better, by
    these figures, waits of the pipeline included.

    `bound` is a key that nothing in the space is below, waits or not.
    """

    point: StatefulPoint | None
    ticks: int
    joules: float
    held: int
    proven: bool
    nodes: int
    bound: Key | None = None


#: Partial choices of a dive, and of a bound with layouts that agree (a looser one serves after that).
DIVE, RELAXED = 1_500, 6_000


class NodeLimit(Exception):  # noqa: N818 - not an error: it has taken long enough
    """A dive or a bound ends early."""


class BudgetSpent(Exception):  # noqa: N818 - not an error: it has looked long enough
    """The partial choices or the seconds are used up."""


class _Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A tiling with places of the inputs: what they cost and hold."""

    tiling: Tiling
    places: tuple[Retention, ...]
    counts: TileCounts
    loads: list[CostTerm]
    busiest: int
    held: int


class StatefulSearch:
    """One search. `within` caps the bytes on chip, `most` the partial choices, `budget_s` the seconds."""

    def __init__(
        self, space: StatefulSpace, objective: str, *, within: float = math.inf, budget_s: float = math.inf,
        most: float = math.inf, report: Report = lambda *_: None,
    ) -> None:  # fmt: skip
        self.space = space
        self.model = space.model
        self.objective = objective
        self.within = within
        self.deadline = time.monotonic() + budget_s
        self.most = most
        self.report = report
        self.nodes = 0
        self.stopped = False
        self.best: tuple[Key, StatefulPoint, int, float, int] | None = None
        self._unit_bounds: dict[TileCounts, tuple[int, float]] = {}
        self._layout_bounds: dict[TileCounts, Key | None] = {}

    def run(self) -> StatefulFound:
        """Search everything, or until a limit is reached or Ctrl-C: then what was found stands, unproven."""
        queue: list[tuple[Key, int, bool, _Candidate]] = []
        proven, done, bound, floor = True, 0, None, None
        if self.objective != "latency":
            self._start_from_fastest()
        try:
            for number, one in enumerate(self._candidates()):
                queue.append((self._bound(one, self._unit_bound(one.counts), None), number, False, one))
            heapq.heapify(queue)
            total = len(queue)
            bound = queue[0][0] if queue else None
            self._dive(queue)
            while queue and (self.best is None or beats(queue[0][0], self.best[0])):
                bound, number, tight, one = heapq.heappop(queue)
                if not tight:
                    better = self._layout_bound(one.counts)
                    if better is not None:
                        bound = max(bound, self._bound(one, self._unit_bound(one.counts), better))
                        heapq.heappush(queue, (bound, number, True, one))
                    continue
                done, floor = done + 1, floor or bound
                self._solve(one)
                self.report(done, total, self._found(False, bound))
        except (BudgetSpent, KeyboardInterrupt) as why:
            proven, self.stopped = False, self.stopped or isinstance(why, KeyboardInterrupt)
        if floor is None and self.best is not None:
            floor = min(self.best[0], bound if queue and bound is not None else self.best[0])
        return self._found(proven, floor)

    def _start_from_fastest(self) -> None:
        """Take the fastest mapping as the first limit: it is found soon, and good by other measures too."""
        left = max(0.0, self.deadline - time.monotonic()) / 2
        first = StatefulSearch(self.space, "latency", within=self.within, budget_s=left, most=self.most // 2)
        fast = first.run()
        self.nodes, self.stopped = self.nodes + fast.nodes, first.stopped
        if fast.point is not None:
            key = key_by(self.objective, fast.ticks, fast.joules, fast.held)
            self.best = (key, fast.point, fast.ticks, fast.joules, fast.held)

    def _found(self, proven: bool, bound: Key | None) -> StatefulFound:
        if self.best is None:
            return StatefulFound(point=None, ticks=0, joules=0, held=0, proven=proven, nodes=self.nodes)
        _, point, ticks, joules, held = self.best
        return StatefulFound(
            point=point, ticks=ticks, joules=joules, held=held, proven=proven, nodes=self.nodes,
            bound=bound,
        )  # fmt: skip

    def _candidates(self) -> list[_Candidate]:
        found = []
        inputs = self.space.group.inputs
        for tiling in self.space.tilings:
            counts = self.model.counts(tiling)
            made = sum(self.model.held(name, tiling, self.space.least) for name in self.space.group.made)
            for places in itertools.product(*(self.space.places(name, tiling) for name in inputs)):
                held = self.model.held_inputs(places, tiling)
                least = sum(held.values()) + made
                if least > self.within or not self._has_room(tiling, held):
                    continue
                loads = self.model.loads(places, tiling, counts)
                busy: dict[str, int] = {}
                for part in loads:
                    for engine, ticks in part.ticks:
                        busy[engine] = busy.get(engine, 0) + ticks
                found.append(
                    _Candidate(
                        tiling=tiling, places=places, counts=counts, loads=loads,
                        busiest=max(busy.values(), default=0), held=least,
                    )
                )  # fmt: skip
        return found

    def _has_room(self, tiling: Tiling, held: dict[str, int]) -> bool:
        """Whether each made tensor by itself fits some home beside the inputs."""
        if not self.model.fits(held):
            return False
        least = self.space.least
        for einsum in self.space.einsums:
            size = self.model.held(einsum.name, tiling, least)
            homes = {home for node in self.space.nodes(einsum) for home in self.space.homes(einsum, node)}
            if not any(self.model.fits({home: held.get(home, 0) + size}) for home in homes):
                return False
        return True

    def _bound(self, one: _Candidate, loose: tuple[int, float], tight: Key | None) -> Key:
        """A key that nothing made of a candidate is below."""
        loads_j = sum(part.joules for part in one.loads)
        ticks, joules = max(loose[0], one.busiest), loose[1]
        if tight is None:
            joules += self.model.leak_j * ticks
        elif self.objective == "latency":
            if ticks <= tight[0]:  # what is as fast as the best by itself takes at least that one's energy
                ticks, joules = int(tight[0]), tight[1]
            else:
                joules += self.model.leak_j * ticks
        elif self.objective == "energy":
            joules = tight[0]
        elif self.objective == "edp":
            ticks = max(ticks, int(tight[0]))
            joules += self.model.leak_j * ticks
        return key_by(self.objective, ticks, joules + loads_j, one.held)

    def _unit_bound(self, counts: TileCounts) -> tuple[int, float]:
        """The least makespan in ticks where each Einsum takes its fastest layout on each unit, and the sum
        of the least joules, without leakage.
        """
        if counts not in self._unit_bounds:
            rows: list[dict[str, int]] = []
            joules = 0.0
            for einsum in self.space.einsums:
                fastest: dict[str, int] = {}
                least = math.inf
                for node in self.space.nodes(einsum):
                    own = self.model.own(node, counts)
                    fastest[node.unit] = min(fastest.get(node.unit, own.ticks[0][1]), own.ticks[0][1])
                    least = min(least, own.joules)
                rows.append(fastest)
                joules += least
            self._unit_bounds[counts] = (makespan(rows), joules)
        return self._unit_bounds[counts]

    def _layout_bound(self, counts: TileCounts) -> Key | None:
        """What bounds a candidate with these tiles, inputs and capacities aside; None: nothing made of them
        beats the best found.

        The best key of Einsums whose layouts agree, for latency and energy; for EDP the least ticks;
        nothing for the bytes held, which the tiling decides.
        """
        if self.objective == "buffer":
            return (0.0, 0.0)
        if counts not in self._layout_bounds:
            if self.objective == "edp":
                self._layout_bounds[counts] = self._relaxed(counts, "latency", None)
            else:
                limit = self.best[0] if self.best is not None else None
                self._layout_bounds[counts] = self._relaxed(counts, self.objective, limit)
        return self._layout_bounds[counts]

    def _relaxed(self, counts: TileCounts, objective: str, limit: Key | None) -> Key | None:
        descent = Descent(self.space, counts, None, objective, self._until(RELAXED), math.inf)
        try:
            descent.run(limit)
        except NodeLimit:
            ticks, joules = self._unit_bound(counts)
            return key_by(objective, ticks, joules + self.model.leak_j * ticks, 0)
        return descent.key if descent.key != limit else None

    def _dive(self, queue: list[tuple[Key, int, bool, _Candidate]]) -> None:
        """Some mapping to begin with: the first that a short look at the most promising tiles finds."""
        seen: set[TileCounts] = set()
        for _, _, _, one in sorted(queue, key=lambda entry: entry[:2])[:2_000]:
            if self.best is not None:
                return
            if one.counts not in seen:
                seen.add(one.counts)
                with contextlib.suppress(NodeLimit):
                    self._solve(one, self._until(DIVE))

    def _until(self, most: int) -> Callable[[], None]:
        """A look that raises NodeLimit after so many partial choices."""
        left = most

        def look() -> None:
            nonlocal left
            left -= 1
            if not left:
                raise NodeLimit
            self._look()

        return look

    def _solve(self, one: _Candidate, look: Callable[[], None] | None = None) -> None:
        around = (one.tiling, one.places, one.loads)
        descent = Descent(self.space, one.counts, around, self.objective, look or self._look, self.within)
        try:
            descent.run(self.best[0] if self.best else None)
        finally:
            if descent.point is not None and descent.key is not None:
                self.best = (descent.key, descent.point, descent.ticks, descent.joules, descent.held)

    def _look(self) -> None:
        """Count a partial choice; raise BudgetSpent when the budget is used up."""
        self.nodes += 1
        late = self.nodes % 64 == 0 and time.monotonic() > self.deadline
        self.stopped = self.stopped or late
        if self.nodes >= self.most or late:
            raise BudgetSpent
