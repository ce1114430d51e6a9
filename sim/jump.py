"""The steady-state jump: when the state of a run repeats one loop iteration later, whole periods are skipped.

The state is everything that decides what happens next: where each operation stands, what it waits for, how
long it still holds its engine, what is in flight. All of it is relative in time. Two equal states inside the
same outer iteration, with positions that differ only by the index of one loop, have the same future for as
long as no rule looks at the first or the last iteration of that loop. So the jump stays clear of both ends,
of every look-back (buffers, state), and of every operation that waits for one certain iteration.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from einsim.sim.actor import Actor, Position
from einsim.specs.arrays import Ints

if TYPE_CHECKING:
    from einsim.sim.engine import Simulation
    from einsim.sim.memory.dram_port import DramPort


MARGIN = 2  # iterations kept clear at the end of the loop
MEMORY = 64  # states remembered for each loop
STILL = 3  # looks without a change after which an operation counts as standing still
PATIENCE = 96  # iterations of a loop without a repeated state before it is left alone until it starts anew


class Snapshot:
    """What is needed to measure a period: the time, the positions and the counters."""

    def __init__(self, run: Simulation, index: int) -> None:
        self.time = run.now()
        self.freed = dict(run.ledger.free_since)
        self.since = [_since(actor, run.now()) for actor in run.actors]
        self.index = index
        self.positions = [list(actor.position) for actor in run.actors]
        self.counters = run.ledger.counters()
        self.counts = [dict(actor.counts) for actor in run.actors]
        self.rows = {name: port.latest.copy() for name, port in run.ports.items()}
        self.commands = {name: port.counts() for name, port in run.ports.items()}


class Jumper:
    """Watches a run and moves it forward by whole periods."""

    def __init__(self, run: Simulation) -> None:
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
        self.irregular = _irregular_loops(run)
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
        if self.reference.get(loop) != actor.op.id or loop in self.irregular or loop in self.asked:
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
        self.run.at_end_of_tick(3, self._closure(loop, actor, slot))

    def _every(self, loop: int) -> int:
        """Iterations after which a timed DRAM may be where it was, but for whole rows; 0: none here."""
        found, count = 1, self.run.program.loops[loop].count
        for port in self.run.ports.values():
            for actor in self.members[loop]:
                slot = self._inside(actor, loop)
                each = port.where.every(actor.op.id, slot, count // 2) if slot >= 0 else 1
                found = math.lcm(found, each)
        return found if found <= count // 2 else 0

    def _timings(self) -> tuple[Any, ...]:
        """State of the ports that have a timing, and since when their requests wait."""
        now = self.run.now()
        return tuple(
            (server.timing.state(now), tuple(entry[0] - now for entry in sorted(server.queue)))
            for server in self.run.servers.values()
            if server.timing is not None
        )

    def _closure(self, loop: int, actor: Actor, slot: int) -> Callable[[], None]:
        return lambda: self._look(loop, actor, slot)

    def _look(self, loop: int, reference: Actor, slot: int) -> None:
        self.asked.discard(loop)
        if reference.phase == "done":
            return
        self.looks[loop] += 1
        if any(actor.phase in {"serving", "queued", "setup"} or actor.flying for actor in self.others[loop]):
            return  # something outside this loop is at work: no period of the loop's own
        outer = {reference.op.path[at]: reference.position[at] for at in range(slot)}
        index = reference.position[slot]
        state = (
            tuple(outer.items()),
            tuple(actor.version for actor in self.others[loop]),
            tuple(
                tuple(entry[2] for entry in sorted(s.queue))
                for s in self.run.servers.values()
                if s.first_come
            ),
            self._timings(),
            tuple(self._member(actor, loop, index) for actor in self.members[loop]),
        )
        known = self.seen.setdefault(loop, {})
        before = known.get(state)
        if before is None:
            if len(known) >= MEMORY:
                known.clear()
            known[state] = Snapshot(self.run, index)
            return
        self._jump(loop, before, index)

    def _member(self, actor: Actor, loop: int, index: int) -> tuple[Any, ...]:
        """State of an operation in the loop: relative to the index while it moves, else as it stands."""
        version, look = self.changed[loop].get(actor.op.id, (-1, 0))
        if version != actor.version:
            look = self.looks[loop]
            self.changed[loop][actor.op.id] = (actor.version, look)
        if self.looks[loop] - look >= STILL and actor.phase in {"waiting", "queued"} and not actor.flying:
            return ("still", actor.version)
        return self._state(actor, loop, index)

    def _state(self, actor: Actor, loop: int, index: int) -> tuple[Any, ...]:
        now = int(self.run.env.now)
        slot = self._inside(actor, loop)

        def relative(position: Position | None) -> tuple[int, ...] | None:
            if position is None:
                return None
            if slot < 0 or position[:slot] != actor.position[:slot]:
                return (-1, *position)
            return (-2, *position[:slot], position[slot] - index, *position[slot + 1 :])

        return (
            actor.phase,
            relative(actor.position),
            relative(actor.completed),
            tuple((end - now, relative(position)) for end, position in actor.flying),
            actor.blocked_on,
            tuple(sorted((port, end - now if end >= 0 else -1) for port, end in actor.pending.items())),
            actor.cause,
            actor.blamed.op.id if actor.blamed is not None else -1,
            actor.past_cause,
            actor.past_held_by,
            actor.past_blamed.op.id if actor.past_blamed is not None else -1,
        )

    def _inside(self, actor: Actor, loop: int) -> int:
        """Slot of the loop, or of its sibling, on the actor's path; -1 otherwise.

        The actor may stand in another outer iteration: it keeps that one while both move side by side.
        """
        slot = next((at for at, own in enumerate(actor.op.path) if self.family[own] == self.family[loop]), -1)
        if slot < 0 or actor.path.pins[slot] or actor.phase == "done":
            return -1
        return slot

    def _jump(self, loop: int, before: Snapshot, index: int) -> None:
        stride = index - before.index
        if stride <= 0:
            return
        movers = {}
        for actor in self.run.actors:
            if actor.position != before.positions[actor.op.id]:
                movers[actor.op.id] = self._inside(actor, loop)
        if any(at < 0 for at in movers.values()):
            return
        now = self.run.now()
        for number, at in movers.items():
            actor = self.run.actors[number]
            early = (
                before.positions[number][at] - actor.path.stretch(actor.position, at)[0] < self.lags[loop] + 1
            )
            if early or _since(actor, now) != before.since[number]:
                self.seen[loop].clear()
                return
        rows = {}
        for name, port in self.run.ports.items():
            moved = self._rows(port, before.rows[name], movers, stride)
            if moved is None:
                return
            rows[name] = moved
        periods = self._periods(movers, stride)
        if self.run.watch is not None:  # no further than to where the watch begins
            periods = min(periods, (self.run.watch.begin - now) // (now - before.time))
        if periods < 1:
            return
        ticks = (now - before.time) * periods
        for actor in self.run.actors:
            old = before.counts[actor.op.id]
            for key, number in actor.counts.items():
                actor.counts[key] = number + (number - old.get(key, 0)) * periods
        for number, at in movers.items():
            _shift(self.run.actors[number], at, stride * periods, ticks)
        for actor in self.run.actors:
            actor.waiters = [
                (self.run.actors[ticket].blocked_target or target, ticket, event)
                for target, ticket, event in actor.waiters
            ]
        for server in self.run.servers.values():
            server.queue = [
                (arrival + ticks if server.first_come else 0, self.run.actors[number].age(), number, event)
                for arrival, _, number, event in server.queue
            ]
        for name, port in self.run.ports.items():
            port.jump(rows[name], port.counts() - before.commands[name], periods, ticks)
        self.run.ledger.add(before.counters, periods, ticks, before.freed)
        self.run.skipped += ticks
        self.seen[loop].clear()

    def _rows(self, port: DramPort, before: Ints, movers: dict[int, int], stride: int) -> Ints | None:
        """Rows by which each tensor moves on in a period; None where a tile doesn't move on by whole rows, or
        one tensor's tiles don't all do so alike: then later periods need not be like this one.
        """
        moved = port.latest - before
        for number, at in movers.items():
            shift = port.where.shift(number, at, stride)
            if shift is None or any(moved[tensor] != rows for tensor, rows in shift.items()):
                return None
        touched = {
            tensor for number, at in movers.items() for tensor in port.where.shift(number, at, stride) or ()
        }
        still = [tensor for tensor in range(len(moved)) if tensor not in touched]
        return moved if not moved[still].any() else None

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
            for number_of_wait, (_, producer, _, _) in enumerate(actor.waits):
                if producer.op.id in movers:
                    continue
                target = actor.target(number_of_wait, future)
                if target is not None and not producer.reached(target):
                    return False
        return True


def _since(actor: Actor, now: int) -> tuple[int, ...]:
    """How long ago what the ledger looks at happened."""
    return actor.ready_at - now, actor.started_at - now, actor.past_ready_at - now


def _shift(actor: Actor, at: int, ahead: int, ticks: int) -> None:
    """Move an actor and all that it remembers of this loop forward."""
    prefix = actor.position[:at]
    actor.ready_at += ticks
    actor.started_at += ticks
    actor.past_ready_at += ticks
    actor.position[at] += ahead
    if actor.completed is not None and actor.completed[:at] == prefix:
        actor.completed[at] += ahead
    for _, position in actor.flying:
        if position[:at] == prefix:
            position[at] += ahead
    if actor.blocked_target is not None:
        actor.blocked_target = actor.target(actor.blocked_on, actor.position)


def _irregular_loops(run: Simulation) -> set[int]:
    """Loops whose index decides the range of another loop: their iterations are not alike."""
    found: set[int] = set()
    for actor in run.actors:
        for slot in range(actor.path.depth):
            if slot in actor.path.tied:
                found.update(actor.op.path[other] for other in actor.path._couples[slot])
    return found


def _families(run: Simulation) -> dict[int, tuple[Any, ...]]:
    """Loops of sibling branches over the same rank in the same steps: their operations move side by side."""
    found: dict[int, tuple[Any, ...]] = {}
    for actor in run.actors:
        for slot, loop in enumerate(actor.path.loops):
            found[loop.id] = (actor.op.path[:slot], loop.rank, loop.tile, loop.extent)
    return found
