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
from einsim.dataflow.mapper.objective import Key, key_by
from einsim.dataflow.mapper.stateful.descent import Descent, beats
from einsim.dataflow.mapper.stateful.model import Part
from einsim.dataflow.mapper.stateful.point import Place, StatefulPoint, Tiling
from einsim.dataflow.mapper.stateful.space import StatefulSpace
from einsim.dataflow.mapper.stateful.walk import Walk

#: Called with candidates done, candidates in all, and the best so far.
Report = Callable[[int, int, "StatefulFound"], None]


class StatefulFound(msgspec.Struct, frozen=True, kw_only=True):
    """The best point with its figures, None where nothing fits; `proven`: nothing in the space is better.

    `bound` is a key that nothing in the space is below: the gap, where the search was cut short.
    """

    point: StatefulPoint | None
    ticks: int
    joules: float
    held: int
    proven: bool
    nodes: int
    bound: Key | None = None


#: Partial choices of a dive, and of a bound with layouts that agree (a looser one serves after that).
DIVE, ENOUGH = 1_500, 6_000


class Enough(Exception):  # noqa: N818 - not an error: it has taken long enough
    """A dive or a bound ends early."""


class Stop(Exception):  # noqa: N818 - not an error: it has looked long enough
    """The partial choices or the seconds are used up."""


class _Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A tiling with places of the inputs: what they cost and hold."""

    tiling: Tiling
    places: tuple[Place, ...]
    walk: Walk
    loads: list[Part]
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
        self.best: tuple[Key, StatefulPoint, int, float, int] | None = None
        self._loose: dict[Walk, tuple[int, float]] = {}
        self._tight: dict[Walk, Key | None] = {}

    def run(self) -> StatefulFound:
        """Search everything, or until a limit is reached or Ctrl-C: then what was found stands, unproven."""
        queue: list[tuple[Key, int, bool, _Candidate]] = []
        proven, done, bound = True, 0, None
        if self.objective != "latency":
            self._start_from_fastest()
        try:
            for number, one in enumerate(self._candidates()):
                queue.append((self._bound(one, self._loosely(one.walk), None), number, False, one))
            heapq.heapify(queue)
            total = len(queue)
            bound = queue[0][0] if queue else None
            self._dive(queue)
            while queue and (self.best is None or beats(queue[0][0], self.best[0])):
                bound, number, tight, one = heapq.heappop(queue)
                if not tight:
                    better = self._tightly(one.walk)
                    if better is not None:
                        bound = max(bound, self._bound(one, self._loosely(one.walk), better))
                        heapq.heappush(queue, (bound, number, True, one))
                    continue
                done += 1
                self._solve(one)
                self.report(done, total, self._found(False, bound))
        except (Stop, KeyboardInterrupt):
            proven = False
        return self._found(proven, bound)

    def _start_from_fastest(self) -> None:
        """Take the fastest mapping as the first limit: it is found soon, and good by other measures too."""
        left = max(0.0, self.deadline - time.monotonic()) / 2
        fast = StatefulSearch(
            self.space, "latency", within=self.within, budget_s=left, most=self.most // 2
        ).run()
        self.nodes += fast.nodes
        if fast.point is not None:
            key = key_by(self.objective, fast.ticks, fast.joules, fast.held)
            self.best = (key, fast.point, fast.ticks, fast.joules, fast.held)

    def _found(self, proven: bool, bound: Key | None) -> StatefulFound:
        if self.best is None:
            return StatefulFound(point=None, ticks=0, joules=0, held=0, proven=proven, nodes=self.nodes)
        key, point, ticks, joules, held = self.best
        return StatefulFound(
            point=point, ticks=ticks, joules=joules, held=held, proven=proven, nodes=self.nodes,
            bound=key if proven else bound,
        )  # fmt: skip

    def _candidates(self) -> list[_Candidate]:
        found = []
        inputs = self.space.group.inputs
        for tiling in self.space.tilings:
            walk = self.model.walk(tiling)
            made = sum(self.model.held(name, tiling, self.space.least) for name in self.space.group.made)
            for places in itertools.product(*(self.space.places(name, tiling) for name in inputs)):
                held = self.model.held_inputs(places, tiling)
                least = sum(held.values()) + made
                if least > self.within or not self._has_room(tiling, held):
                    continue
                loads = self.model.loads(places, tiling, walk)
                busy: dict[str, int] = {}
                for part in loads:
                    for engine, ticks in part.ticks:
                        busy[engine] = busy.get(engine, 0) + ticks
                found.append(
                    _Candidate(
                        tiling=tiling, places=places, walk=walk, loads=loads,
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

    def _loosely(self, walk: Walk) -> tuple[int, float]:
        """The least makespan in ticks where each Einsum takes its fastest layout on each unit, and the sum
        of the least joules, without leakage.
        """
        if walk not in self._loose:
            rows: list[dict[str, int]] = []
            joules = 0.0
            for einsum in self.space.einsums:
                fastest: dict[str, int] = {}
                least = math.inf
                for node in self.space.nodes(einsum):
                    own = self.model.own(node, walk)
                    fastest[node.unit] = min(fastest.get(node.unit, own.ticks[0][1]), own.ticks[0][1])
                    least = min(least, own.joules)
                rows.append(fastest)
                joules += least
            self._loose[walk] = (makespan(rows), joules)
        return self._loose[walk]

    def _tightly(self, walk: Walk) -> Key | None:
        """What bounds a candidate with these tiles, inputs and capacities aside; None: nothing made of them
        beats the best found.

        The best key of Einsums whose layouts agree, for latency and energy; for EDP the least ticks;
        nothing for the bytes held, which the tiling decides.
        """
        if self.objective == "buffer":
            return (0.0, 0.0)
        if walk not in self._tight:
            if self.objective == "edp":
                self._tight[walk] = self._relaxed(walk, "latency", None)
            else:
                limit = self.best[0] if self.best is not None else None
                self._tight[walk] = self._relaxed(walk, self.objective, limit)
        return self._tight[walk]

    def _relaxed(self, walk: Walk, objective: str, limit: Key | None) -> Key | None:
        descent = Descent(self.space, walk, None, objective, self._until(ENOUGH), math.inf)
        try:
            descent.run(limit)
        except Enough:
            ticks, joules = self._loosely(walk)
            return key_by(objective, ticks, joules + self.model.leak_j * ticks, 0)
        return descent.key if descent.key != limit else None

    def _dive(self, queue: list[tuple[Key, int, bool, _Candidate]]) -> None:
        """Some mapping to begin with: the first that a short look at the most promising tiles finds."""
        walks: set[Walk] = set()
        for _, _, _, one in sorted(queue, key=lambda entry: entry[:2])[:2_000]:
            if self.best is not None:
                return
            if one.walk not in walks:
                walks.add(one.walk)
                with contextlib.suppress(Enough):
                    self._solve(one, self._until(DIVE))

    def _until(self, most: int) -> Callable[[], None]:
        """A look that raises Enough after so many partial choices."""
        left = most

        def look() -> None:
            nonlocal left
            left -= 1
            if not left:
                raise Enough
            self._look()

        return look

    def _solve(self, one: _Candidate, look: Callable[[], None] | None = None) -> None:
        around = (one.tiling, one.places, one.loads)
        descent = Descent(self.space, one.walk, around, self.objective, look or self._look, self.within)
        try:
            descent.run(self.best[0] if self.best else None)
        finally:
            if descent.point is not None and descent.key is not None:
                self.best = (descent.key, descent.point, descent.ticks, descent.joules, descent.held)

    def _look(self) -> None:
        """Count a partial choice; raise Stop when the budget is used up."""
        self.nodes += 1
        if self.nodes >= self.most or (self.nodes % 64 == 0 and time.monotonic() > self.deadline):
            raise Stop
