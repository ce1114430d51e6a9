"""Where the time went: busy ticks of every unit, and what it waited for in every idle one."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import NamedTuple

from einsim.dataflow.program import Cost, Program
from einsim.dataflow.result import Slice
from einsim.sim.actor import Actor
from einsim.sim.stateful import Base, Period, rows_of
from einsim.sim.watch import Watch

Reason = tuple[str, str]  # a cause, and the memory or the operation that it is about ("" for neither)

CAUSES = ("bandwidth", "dependency", "capacity", "fill", "drain")
TIMELINE_SLICES = 400
LONGEST_CHAIN = 8  # transfers that are followed to find a reason: more than there are levels of memory


class LedgerMark(NamedTuple):
    """The counters at the start of a period, in ticks by unit."""

    busy: dict[str, int]
    idle: dict[str, dict[Reason, int]]
    free_since: dict[str, int]


class Ledger:
    """Books of one run, in ticks. `last` is the time at which the last result became visible."""

    def __init__(self, program: Program, watch: Watch | None = None) -> None:
        self.program = program
        self.watch = watch
        self.last = 0
        self.units = [engine.name for engine in program.engines if engine.kind == "unit"]
        self.busy = dict.fromkeys(self.units, 0)
        self.idle: dict[str, dict[Reason, int]] = {unit: {} for unit in self.units}
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
        at = self.free_since[unit]
        for reason, ticks in self._blame(actor, now - at):
            if ticks:
                self._charge(unit, reason, ticks)
                if self.watch is not None:
                    self.watch.stalled(unit, at, at + ticks, *reason)
                at += ticks

    def _blame(self, actor: Actor, gap: int) -> Iterator[tuple[Reason, int]]:
        """The parts of the idle time before an operation, in the order in which they passed."""
        if actor.op.engine not in self.used:
            filling = min(gap, self.first_start)
            yield ("fill", ""), filling
            gap -= filling
        yield from reversed(list(_chain(actor, gap)))

    def _charge(self, unit: str, reason: Reason, ticks: int) -> None:
        self.idle[unit][reason] = self.idle[unit].get(reason, 0) + ticks

    def end(self, actor: Actor, now: int, cost: Cost) -> None:
        """An operation gives its engine back: time beyond its own ticks went to a memory port."""
        op = actor.op
        if op.engine in self.busy:
            held = now - actor.started_at
            self.busy[op.engine] += cost.ticks
            if held > cost.ticks:
                self._charge(op.engine, ("bandwidth", actor.last_port), held - cost.ticks)
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
            causes = dict.fromkeys(CAUSES, 0)
            for (cause, _), value in self._reasons(unit, ticks).items():
                causes[cause] += value
            found[unit] = _whole(causes, tick, cycles - self.busy[unit] // tick)
        return found

    def breakdown(self, ticks: int, cycles: int) -> dict[str, dict[str, int]]:
        """Whole cycles by unit and reason, "busy" or "cause:what"; they add up to `cycles` for each unit.

        By cause they add up to `stalls`.
        """
        tick = self.program.ticks_per_cycle
        found: dict[str, dict[str, int]] = {}
        for unit, causes in self.stalls(ticks, cycles).items():
            reasons = self._reasons(unit, ticks)
            rows = found[unit] = {"busy": self.busy[unit] // tick}
            for cause, total in causes.items():
                mine = {what: value for (name, what), value in reasons.items() if name == cause} or {"": 0}
                whole = _whole(mine, tick, total)
                rows.update({f"{cause}:{what}": value for what, value in whole.items() if value})
        return found

    def _reasons(self, unit: str, ticks: int) -> dict[Reason, int]:
        """Idle ticks of a unit with those after its last operation."""
        reasons = dict(self.idle[unit])
        late = ticks
        if unit in self.used:
            draining = ticks - max(self.free_since.values())
            reasons["drain", ""] = draining
            late = ticks - self.free_since[unit] - draining
        if late:
            reasons["dependency", ""] = reasons.get(("dependency", ""), 0) + late
        return reasons

    def state(self, base: Base) -> Hashable:
        """Nothing that decides anything: books are kept of what others do."""
        return ()

    def mark(self) -> LedgerMark:
        """The counters, each of which grows by the same amount in each period."""
        idle = {unit: dict(reasons) for unit, reasons in self.idle.items()}
        return LedgerMark(busy=dict(self.busy), idle=idle, free_since=dict(self.free_since))

    def alike(self, mark: LedgerMark, period: Period) -> bool:
        """Always: what it counts is what the others did."""
        return True

    def longer(self, older: LedgerMark, mark: LedgerMark, rows: int) -> LedgerMark:
        """The counters, each by itself."""
        busy = {one: rows_of(now, mark.busy[one], older.busy[one], rows) for one, now in self.busy.items()}
        idle = {
            one: {
                why: rows_of(now, mark.idle[one].get(why, 0), older.idle[one].get(why, 0), rows)
                for why, now in reasons.items()
            }
            for one, reasons in self.idle.items()
        }  # fmt: skip
        return mark._replace(busy=busy, idle=idle)

    def shift(self, mark: LedgerMark, period: Period, times: int) -> None:
        """Account for the skipped periods."""
        for unit in self.units:
            self.busy[unit] += (self.busy[unit] - mark.busy[unit]) * times
            for reason, ticks in self.idle[unit].items():
                self.idle[unit][reason] = ticks + (ticks - mark.idle[unit].get(reason, 0)) * times
            if self.free_since[unit] != mark.free_since[unit]:
                self.free_since[unit] += period.ticks * times
        self.last += period.ticks * times


def _chain(actor: Actor, gap: int) -> Iterator[tuple[Reason, int]]:
    """The parts of the idle time before an operation, the latest first.

    A transfer that was waited for is followed: from when it was ready its port is the reason, before that
    whatever made it late; if that is nothing, the port was still at the tile before.
    """
    at, start = actor.started_at, actor.started_at - gap
    cause, blamed = actor.cause, actor.blamed
    for _ in range(LONGEST_CHAIN):
        if blamed is None or blamed.op.kind == "compute" or cause == "capacity":
            break
        port = _port(blamed)
        if port:
            ready = start if blamed.past_cause == "fill" else min(at, max(start, blamed.past_ready_at))
            yield ("bandwidth", port), at - ready
            at = ready
        cause, blamed = blamed.past_cause, blamed.past_blamed
    yield (cause if cause not in ("fill", "bandwidth") else "dependency", _name(blamed)), at - start


def _whole(parts: dict[str, int], tick: int, total: int) -> dict[str, int]:
    """Parts in ticks as whole cycles that add up to `total`: the largest takes the rest."""
    found = {name: ticks // tick for name, ticks in parts.items()}
    found[max(parts, key=lambda name: parts[name])] += total - sum(found.values())
    return found


def _name(blamed: Actor | None) -> str:
    return blamed.op.name if blamed is not None else ""


def _port(load: Actor) -> str:
    """The port that a transfer was held by: where its data ended last, its own if that was no later."""
    return load.past_held_by or load.op.engine or load.last_port
