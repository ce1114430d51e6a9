"""Where the time went: busy ticks of every engine and the cause of every idle one."""

from __future__ import annotations

from collections import deque

from dataflow.program import Cost, Program
from dataflow.result import Slice
from sim.actor import Actor

CAUSES = ("bandwidth", "dependency", "capacity", "fill", "drain")
TIMELINE_SLICES = 400


class Ledger:
    """Books of one run, in ticks. `last` is the time at which the last result became visible."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.last = 0
        self.units = [engine.name for engine in program.engines if engine.kind == "unit"]
        self.busy = dict.fromkeys(self.units, 0)
        self.idle: dict[str, dict[str, int]] = {unit: dict.fromkeys(CAUSES, 0) for unit in self.units}
        self.free_since: dict[str, int] = dict.fromkeys(self.units, 0)  # in simulated time
        self.used: set[str] = set()
        self.first_start = -1  # of any unit
        self._head: list[Slice] = []
        self._tail: deque[Slice] = deque(maxlen=TIMELINE_SLICES)

    def start(self, actor: Actor, now: int, cost: Cost) -> None:
        """An operation gets its engine: what idle time came before is charged to what it waited for."""
        unit = actor.op.engine
        if unit not in self.busy:
            return
        if self.first_start < 0:
            self.first_start = now
        gap = now - self.free_since[unit]
        if not gap:
            return
        idle = self.idle[unit]
        if unit not in self.used:
            filling = min(gap, self.first_start)
            idle["fill"] += filling
            idle["dependency"] += gap - filling
        elif actor.cause == "bandwidth" and actor.blamed is not None:
            loading = min(gap, max(0, actor.started_at - actor.blamed.ready_at))
            idle["bandwidth"] += loading
            idle["capacity" if actor.blamed.cause == "capacity" else "dependency"] += gap - loading
        else:
            idle[actor.cause if actor.cause != "fill" else "dependency"] += gap

    def end(self, actor: Actor, now: int, cost: Cost) -> None:
        """An operation gives its engine back: time beyond its own ticks went to a memory port."""
        op = actor.op
        if op.engine in self.busy:
            held = now - actor.started_at
            self.busy[op.engine] += cost.ticks
            self.idle[op.engine]["bandwidth"] += held - cost.ticks
            self.free_since[op.engine] = now
            self.used.add(op.engine)
        if op.engine:
            self._record(op.engine, op.name, actor.started_at, now)

    def finish(self, now: int) -> None:
        """A result became visible."""
        self.last = max(self.last, now)

    def _record(self, engine: str, name: str, start: int, end: int) -> None:
        tick = self.program.ticks_per_cycle
        piece = Slice(engine=engine, name=name, start_cycle=start / tick, end_cycle=end / tick)
        if len(self._head) < TIMELINE_SLICES:
            self._head.append(piece)
        else:
            self._tail.append(piece)

    def timeline(self) -> tuple[Slice, ...]:
        """The first and the last slices of the run."""
        return (*self._head, *self._tail)

    def stalls(self, ticks: int, cycles: int) -> dict[str, dict[str, int]]:
        """Whole cycles by unit and cause; with the unit's busy cycles they add up to `cycles`."""
        found = {}
        tick = self.program.ticks_per_cycle
        for unit in self.units:
            causes = dict(self.idle[unit])
            if unit in self.used:
                draining = ticks - max(self.free_since.values())
                causes["drain"] += draining
                causes["dependency"] += ticks - self.free_since[unit] - draining
            else:
                causes["dependency"] += ticks
            whole = {cause: value // tick for cause, value in causes.items()}
            rest = cycles - self.busy[unit] // tick - sum(whole.values())
            largest = max(causes, key=lambda cause: causes[cause])
            whole[largest] += rest
            found[unit] = whole
        return found

    def counters(self) -> tuple[int, ...]:
        """Every counter that grows by the same amount in each period."""
        return (
            *self.busy.values(),
            *(value for unit in self.units for value in self.idle[unit].values()),
        )

    def add(self, delta: tuple[int, ...], times: int, ticks: int, freed: dict[str, int]) -> None:
        """Account for `times` skipped periods of `ticks` in all; `freed` is `free_since` a period ago."""
        values = iter(delta)
        for unit in self.units:
            self.busy[unit] += next(values) * times
        for unit in self.units:
            for cause in self.idle[unit]:
                self.idle[unit][cause] += next(values) * times
        for unit in self.units:
            if self.free_since[unit] != freed[unit]:
                self.free_since[unit] += ticks
        self.last += ticks
