"""The steady-state jump: when the state of a run repeats one loop iteration later, whole periods are skipped.

The state is everything that decides what happens next: where each operation stands, what it waits for, how
long it still holds its engine, what is in flight. All of it is relative in time. Two equal states inside the
same outer iteration, with positions that differ only by the index of one loop, have the same future for as
long as no rule looks at the first or the last iteration of that loop. So the jump stays clear of both ends,
of every look-back (buffers, state), and of every operation that waits for one certain iteration. Where bounds
cut tiles, the loop is the stretch of it around the present iteration that they cut alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from einsim.dataflow.program import Program
from einsim.sim.actor import Actor
from einsim.sim.stateful import Base, Period, Stateful
from einsim.sim.watch import Watch

SNAPSHOT = 3  # after all engines of a tick are granted
MARGIN = 2  # iterations kept clear at the end of the loop
MEMORY = 64  # states remembered for each loop
STILL = 3  # looks without a change after which an operation counts as standing still
PATIENCE = 96  # iterations of a loop without a repeated state before it is left alone until it starts anew


class Jumpable(Protocol):
    """What the jump asks of a run. `skipped` are the ticks by which it has moved the run forward."""

    program: Program
    actors: list[Actor]
    watch: Watch | None
    skipped: int

    @property
    def parts(self) -> Sequence[Stateful]:
        """All that has a state, operations first and in their order."""

    def now(self) -> int:
        """Simulated time in ticks, skipped periods included."""

    def elapsed(self) -> int:
        """Ticks that were run, without skipped periods."""

    def every(self, op: int, slot: int, most: int) -> int:
        """Iterations of an operation's loop after which memory may be as it was; 0: more than `most`."""

    def at_end_of_tick(self, priority: int, call: Callable[[], None]) -> None:
        """Run `call` at this tick, after everything of a smaller priority number."""


class Snapshot:
    """The start of what may be a period: the time, the loop's index and a mark of every part."""

    def __init__(self, run: Jumpable, index: int) -> None:
        self.time, self.index = run.now(), index
        self.marks = [part.mark() for part in run.parts]


class Jumper:
    """Watches a run and moves it forward by whole periods."""

    def __init__(self, run: Jumpable) -> None:
        self.run = run
        self.reference: dict[int, int] = {}  # loop -> operation that drives it
        for actor in run.actors:
            for slot, loop in enumerate(actor.op.path):
                if not actor.path.pins[slot] and actor.phase != "done":
                    held = self.reference.get(loop)
                    if held is None or len(actor.op.path) >= len(run.actors[held].op.path):
                        self.reference[loop] = actor.op.id
        self.lags = dict.fromkeys(self.reference, 1)
        for actor in run.actors:
            for wait in actor.op.waits:
                if wait.lag:
                    self.lags[wait.lag_loop] = max(self.lags.get(wait.lag_loop, 1), wait.lag)
        self.family = _families(run)
        for loop in self.lags:
            kin = [other for other in self.lags if self.family[other] == self.family[loop]]
            self.lags[loop] = max(self.lags[other] for other in kin)
        self.members: dict[int, list[Actor]] = {}
        self.others: dict[int, list[Actor]] = {}
        for loop in self.reference:
            family = self.family[loop]
            inside = [a for a in run.actors if any(self.family[own] == family for own in a.op.path)]
            self.members[loop] = inside
            self.others[loop] = [actor for actor in run.actors if actor not in inside]
        self.every = {loop: self._every(loop) for loop in self.reference}
        self.seen: dict[int, dict[Any, Snapshot]] = {}
        self.looks = dict.fromkeys(self.reference, 0)
        self.changed: dict[int, dict[int, tuple[int, int]]] = {loop: {} for loop in self.reference}
        self.tries = dict.fromkeys(self.reference, 0)
        self.asked: set[int] = set()

    def moved(self, actor: Actor, slot: int) -> None:
        """Called when an operation has moved on in one of its loops."""
        loop = actor.op.path[slot]
        if self.reference.get(loop) != actor.op.id or loop in self.asked:
            return
        first, stop = actor.path.stretch(actor.position, slot)
        index = actor.position[slot]
        if stop - first < 6 or index - first < self.lags[loop] + 1 or stop - index < MARGIN + 2:
            if index <= first + self.lags[loop]:
                self.seen.pop(loop, None)
                self.tries[loop] = 0
            return
        every = self.every[loop]
        if self.tries[loop] > PATIENCE or not every or (index - first) % every:
            return
        self.tries[loop] += 1
        self.asked.add(loop)
        self.run.at_end_of_tick(SNAPSHOT, lambda: self._look(loop, actor, slot))

    def _every(self, loop: int) -> int:
        """Iterations after which a timed DRAM may be where it was, but for whole rows; 0: none here."""
        most, slots = self.run.program.loops[loop].count // 2, self._slots(loop)
        inside = [actor.op.id for actor in self.members[loop] if slots[actor.op.id] >= 0]
        found = math.lcm(*(self.run.every(op, slots[op], most) for op in inside))
        return found if found <= most else 0

    def _look(self, loop: int, reference: Actor, slot: int) -> None:
        self.asked.discard(loop)
        if reference.phase == "done":
            return
        self.looks[loop] += 1
        if any(actor.phase in {"serving", "queued", "setup"} or actor.flying for actor in self.others[loop]):
            return  # something outside this loop is at work: no period of the loop's own
        outer = {reference.op.path[at]: reference.position[at] for at in range(slot)}
        index = reference.position[slot]
        base = Base(now=self.run.elapsed(), reached=index, slots=self._slots(loop))
        state = (
            tuple(outer.items()),
            tuple(actor.version for actor in self.others[loop]),
            tuple(self._member(actor, loop, base) for actor in self.members[loop]),
            tuple(part.state(base) for part in self.run.parts[len(self.run.actors) :]),
        )
        known = self.seen.setdefault(loop, {})
        before = known.get(state)
        if before is None:
            if len(known) >= MEMORY:
                known.clear()
            known[state] = Snapshot(self.run, index)
            return
        self._jump(loop, before, index)

    def _member(self, actor: Actor, loop: int, base: Base) -> Any:
        """State of an operation in the loop: relative to the index while it moves, else as it stands."""
        version, look = self.changed[loop].get(actor.op.id, (-1, 0))
        if version != actor.version:
            look = self.looks[loop]
            self.changed[loop][actor.op.id] = (actor.version, look)
        if self.looks[loop] - look >= STILL and actor.phase in {"waiting", "queued"} and not actor.flying:
            return ("still", actor.version)
        return actor.state(base)

    def _slots(self, loop: int) -> dict[int, int]:
        """Slot of the loop, or of its sibling, on each operation's path; -1 for those outside.

        One may stand in another outer iteration: it keeps that one while all move side by side.
        """
        return {actor.op.id: self._inside(actor, loop) for actor in self.run.actors}

    def _inside(self, actor: Actor, loop: int) -> int:
        slot = next((at for at, own in enumerate(actor.op.path) if self.family[own] == self.family[loop]), -1)
        if slot < 0 or actor.path.pins[slot] or actor.phase == "done":
            return -1
        return slot

    def _jump(self, loop: int, before: Snapshot, index: int) -> None:
        run, ticks, stride = self.run, self.run.now() - before.time, index - before.index
        if stride <= 0:
            return
        movers = {
            actor.op.id: self._inside(actor, loop)
            for actor, mark in zip(run.actors, before.marks, strict=False)
            if actor.position != mark.position
        }
        if any(at < 0 for at in movers.values()):
            return
        period = Period(ticks=ticks, movers=movers, stride=stride, lag=self.lags[loop])
        if not all(part.alike(mark, period) for part, mark in zip(run.parts, before.marks, strict=True)):
            self.seen[loop].clear()
            return
        periods = self._periods(movers, stride)
        if run.watch is not None:  # no further than to where the watch begins
            periods = min(periods, (run.watch.begin - run.now()) // ticks)
        if periods < 1:
            return
        for part, mark in zip(run.parts, before.marks, strict=True):
            part.shift(mark, period, periods)
        run.skipped += ticks * periods
        self.seen[loop].clear()

    def _periods(self, movers: dict[int, int], stride: int) -> int:
        """How many periods can be skipped before an end of the loop or anything that stands still."""
        actors = self.run.actors
        room = []
        for number, at in movers.items():
            actor = actors[number]
            _, stop = actor.path.stretch(actor.position, at)
            room.append((stop - 1 - MARGIN - actor.position[at]) // stride)
        most = min(room, default=0)
        for actor in actors:
            if actor.op.id in movers or actor.blocked_on < 0 or actor.blocked_target is None:
                continue
            producer = actor.waits[actor.blocked_on][1]
            at = movers.get(producer.op.id, -1)
            target = actor.blocked_target
            if at >= 0 and target[:at] == producer.position[:at]:
                most = min(most, (target[at] - MARGIN - producer.position[at]) // stride)
        while most > 0 and not self._open(movers, stride * (most + 1)):
            most = most // 2 if most > 8 else most - 1
        return most

    def _open(self, movers: dict[int, int], ahead: int) -> bool:
        """Whether nothing that stands still will stop a mover within `ahead` iterations."""
        for number, at in movers.items():
            actor = self.run.actors[number]
            future = list(actor.position)
            _, stop = actor.path.span(actor.position, at)
            future[at] = min(future[at] + ahead, stop - 1)
            for lookup, producer in actor.waits:
                if producer.op.id in movers:
                    continue
                target = lookup.before(future)
                if target is not None and not producer.reached(target):
                    return False
        return True


def _families(run: Jumpable) -> dict[int, tuple[Any, ...]]:
    """Loops of sibling branches over the same rank in the same steps: their operations move side by side."""
    found: dict[int, tuple[Any, ...]] = {}
    for actor in run.actors:
        for slot, loop in enumerate(actor.path.loops):
            found[loop.id] = (actor.op.path[:slot], loop.rank, loop.tile, loop.extent)
    return found
