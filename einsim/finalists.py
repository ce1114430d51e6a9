"""The best mapping as simulated: what searches find, the default and every template that is legal, simulated
in the order of their bounds until the next bound is no better than the best run.

A workload may exist as several cascades of one function: those that a bound rules out are not searched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.effort import Effort
from einsim.dataflow.ends import Ends
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.best import Answer
from einsim.dataflow.mapper.bound import least
from einsim.dataflow.mapper.judged import Judged
from einsim.dataflow.mapper.objective import ADDITIVE, Key, Objective, key_by
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.result import Result
from einsim.dataflow.templates import build_mapping
from einsim.patience import MOST_TILES, too_long
from einsim.sim.engine import CutShort, simulate
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade

TILES: Final[dict[Effort, float]] = {"quick": 20_000, "normal": MOST_TILES, "proof": math.inf}
"""Tiles that a run of a finalist goes through at most: a third of a second, some seconds, all."""


class Finalist(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping that was compared: its analytical `result`, and its run, None where that was not needed or
    was cut short.

    `key` is what it is compared by: the objective and the figure that breaks ties, of its run if there is
    one, else what it takes at least. `cut`: its run was cut short, so it is "not compared".
    """

    cascade: Cascade
    mapping: Mapping
    result: Result
    key: Key
    simulated: Result | None = None
    cut: bool = False


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One cascade: its answer, or None: no mapping of it is below `bound_s`, or `why` none was found.
    `bound_s` is None where it was not worked out.
    """

    cascade: Cascade
    answer: Answer | None
    bound_s: float | None
    why: str = ""


class Finals(msgspec.Struct, frozen=True, kw_only=True):
    """`all` that competed, the best first, and the cascades, in that order."""

    all: tuple[Finalist, ...]
    compared: tuple[Compared, ...]

    @property
    def best(self) -> Finalist:
        """The best: as simulated, unless its run was cut short."""
        return self.all[0]

    @property
    def answer(self) -> Answer:
        """What the search of its cascade says."""
        answer = self.compared[0].answer
        assert answer is not None
        return answer


class Race:
    """Mappings of one function on a machine, against each other.

    A run goes through so many `tiles` at most; 0: nothing is simulated.
    """

    def __init__(self, machine: Machine, objective: Objective, tiles: float) -> None:
        self.machine, self.objective, self.tiles = machine, objective, tiles
        self.limit = math.inf  # the objective of the best run, or of the best where nothing is simulated
        self.all: list[Finalist] = []

    def enter(self, cascade: Cascade, mappings: Sequence[Judged]) -> None:
        """Let some mappings compete."""
        self.all += [self._bounded(cascade, *pair) for pair in mappings]
        self._sort()

    def run(self) -> None:
        """Run those that were not, the least bound first; none that would come after one cut short."""
        ahead = min((one.key[0] for one in self.all if one.cut), default=math.inf)
        for at, one in enumerate(self.all):
            if not one.cut and one.key[0] < ahead:
                self.all[at] = ran = self._run(one)
                ahead = min(ahead, ran.key[0] if ran.cut else math.inf)
        self._sort()

    def finish(self, tiles: float) -> None:
        """Run the best to its end where it was cut short, and so on with what is best then; SpecError where
        that goes through more than so many tiles.
        """
        gone, self.tiles = self.tiles, tiles
        while self.all[0].cut or (self.all[0].simulated is None and self.all[0].key[0] < self.limit):
            best = self.all[0]
            if best.cut and gone >= tiles:
                raise too_long(lower(best.mapping, best.cascade, self.machine))
            gone = tiles if best.cut else gone
            self.all[0] = self._run(best)
            self._sort()

    def _sort(self) -> None:
        self.all.sort(key=lambda one: (one.key[0], one.simulated is None, one.key[1]))

    def _bounded(self, cascade: Cascade, mapping: Mapping, result: Result) -> Finalist:
        seconds = result.latency_s
        if self.tiles:
            program = lower(mapping, cascade, self.machine)
            ticks, _ = Ends(program).bound()
            seconds = max(seconds, ticks / program.ticks_per_cycle / program.clock_hz)
        key = self._key(result, seconds)
        return Finalist(cascade=cascade, mapping=mapping, result=result, key=key)

    def _key(self, result: Result, seconds: float) -> Key:
        """A result as it is compared, had it taken so long."""
        joules = (result.energy_stated_j or 0.0) + self.machine.static_w * (seconds - result.latency_s)
        return key_by(self.objective, seconds, joules, float(sum(result.buffers.values())))

    def _run(self, one: Finalist) -> Finalist:
        """A mapping with its run, unless its bound is no better than the best run; one that turns out to be
        no better ends early.
        """
        if not self.tiles:
            self.limit = min(self.limit, one.key[0])
        if not self.tiles or one.key[0] >= self.limit:
            return one
        program = lower(one.mapping, one.cascade, self.machine)
        until = self.limit if self.objective == "latency" else math.inf
        try:
            result = simulate(program, self.machine, tiles=self.tiles, until_s=until)
        except CutShort as short:
            key = max(one.key, self._key(one.result, short.args[0]))
            return msgspec.structs.replace(one, key=key, cut=key[0] < self.limit)
        key = self._key(result, result.latency_s)
        self.limit = min(self.limit, key[0])
        return msgspec.structs.replace(one, simulated=result, key=key, cut=False)


def _default_s(cascade: Cascade, machine: Machine) -> float:
    """Seconds of a cascade's default: the best is likely to be the best at all. Endless where it has none."""
    try:
        return analyse(lower(build_mapping(cascade, machine), cascade, machine), machine).latency_s
    except EinsimError:
        return math.inf


def compare(
    cascades: Sequence[Cascade],
    machine: Machine,
    search: Callable[[Cascade, float], Answer],
    objective: Objective,
    tiles: float,
    *,
    whole: float = 0,
    once: bool = False,
) -> Finals:
    """Search every cascade and let what is found compete; `whole`: run the best to its end, through so
    many tiles at most. A search is told the objective of the best so far, which it has to beat; `once`:
    nothing runs till the end, and no bound is worked out.

    Those that a bound rules out, or of which no mapping fits, come last, without an answer. Raises the first
    EinsimError where no cascade has a mapping.
    """
    spaces = [] if once else [MapSpace(cascade=cascade, machine=machine) for cascade in cascades]
    bounds = [least(space, streamed=None).latency_s for space in spaces] or [0.0] * len(cascades)
    race = Race(machine, objective, tiles)
    compared: list[Compared] = []
    failed: EinsimError | None = None
    first = [_default_s(cascade, machine) if len(cascades) > 1 else 0.0 for cascade in cascades]
    for at in sorted(range(len(cascades)), key=lambda at: (first[at], bounds[at])):
        answer, why = None, ""
        if objective != "latency" or not race.all or bounds[at] < race.limit:
            beat = race.all[0].key[0] if race.all and objective in ADDITIVE else math.inf
            try:
                answer = search(cascades[at], beat)
            except EinsimError as mistake:
                failed, why = failed or mistake, str(mistake)
            else:
                race.enter(cascades[at], answer.finalists)
                if not once:
                    race.run()
        compared.append(Compared(cascade=cascades[at], answer=answer, bound_s=bounds[at] or None, why=why))
    if failed is not None and not race.all:
        raise failed
    race.run()
    if whole:
        race.finish(whole)
    order = [one.cascade for one in race.all]
    compared.sort(key=lambda one: order.index(one.cascade) if one.answer is not None else len(order))
    return Finals(all=tuple(race.all), compared=tuple(compared))
