"""The steady-state jump: when the state of a run repeats one loop iteration later, whole periods are skipped.

The state is everything that decides what happens next: where each operation stands, what it waits for, how
long it still holds its engine, what is in flight. All of it is relative in time. Two equal states inside the
same outer iteration, with positions that differ only by the index of one loop, have the same future for as
long as no rule looks at the first or the last iteration of that loop. So the jump stays clear of both ends,
of every look-back (buffers, state), and of every operation that waits for one certain iteration. Where bounds
cut tiles, the loop is the stretch of it around the present iteration that they cut alike.

Sibling loops may each go at a pace of their own. Who is further ahead than FAR of what another
waits for doesn't hold it up, so how far is no part of the state, as long as it stays further ahead than the
other comes in a period: that bounds the jump where the distance shrinks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from einsim.dataflow.lookup import Lookup
from einsim.dataflow.program import Program
from einsim.sim.actor import Actor
from einsim.sim.ledger import Ledger
from einsim.sim.rows import FEWEST, RowJumper
from einsim.sim.stateful import Base, Period, Stateful
from einsim.sim.watch import Watch

SNAPSHOT = 3  # after all engines of a tick are granted
MARGIN = 2  # iterations kept clear at the end of the loop
MEMORY = 64  # states remembered for each loop
STILL = 3  # looks without a change after which an operation counts as standing still
LOOKING = 8  # operations that are looked at for each tile at most: a long cascade has thousands
EVER = 2**63
FAR = 8  # iterations ahead of what is waited for from which on it doesn't matter how many
PATIENCE = 96  # iterations of a loop without a repeated state before it is left alone until it starts anew


class Jumpable(Protocol):
    """What the jump asks of a run. `skipped` are the ticks by which it has moved the run forward."""

    program: Program
    actors: list[Actor]
    watch: Watch | None
    ledger: Ledger
    skipped: int

    @property
    def ports(self) -> Mapping[str, object]:
        """Memory ports that follow a DRAM standard: where their tiles lie hangs on all indices."""

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
    """The start of what may be a period: the time, the loop's index, how far ahead each that is waited for by
    another loop is, and a mark of every part.
    """

    def __init__(self, run: Jumpable, index: int, leads: list[Any]) -> None:
        self.time, self.index, self.leads = run.now(), index, leads
        self.marks = [part.mark() for part in run.parts]


class Crossing(NamedTuple):
    """A wait of an operation for one in a sibling of its loop."""

    actor: Actor
    lookup: Lookup
    producer: Actor


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
        widest: dict[Any, int] = {}
        for loop, lag in self.lags.items():
            widest[self.family[loop]] = max(widest.get(self.family[loop], 1), lag)
        self.lags = {loop: widest[self.family[loop]] for loop in self.lags}
        inside: dict[Any, list[Actor]] = {}
        for actor in run.actors:
            for family in {self.family[loop]: None for loop in actor.op.path}:
                inside.setdefault(family, []).append(actor)
        self.members = {loop: inside[self.family[loop]] for loop in self.reference}
        self.crossings: dict[Any, list[Crossing]] = {}  # by family, when it is first looked at
        self.every: dict[int, int] = {}  # by loop, likewise
        self.moves = self.spent = 0  # of all operations; operations that were looked at
        self.seen: dict[int, dict[Any, Snapshot]] = {}
        self.looks = dict.fromkeys(self.reference, 0)
        self.changed: dict[int, dict[int, tuple[int, int]]] = {}
        self.tries = dict.fromkeys(self.reference, 0)
        self.asked: set[int] = set()
        self.rows = RowJumper(run, self)
        self.rowed: dict[int, bool] = {}  # by loop, when it is first asked

    def moved(self, actor: Actor, slot: int) -> None:
        """Called when an operation has moved on in one of its loops."""
        self.moves += 1
        loop = actor.op.path[slot]
        if self.reference.get(loop) != actor.op.id or loop in self.asked:
            return
        first, stop = actor.path.stretch(actor.position, slot)
        index = actor.position[slot]
        if stop - first < 6 or index - first < self.lags[loop] + 1 or stop - index < MARGIN + 2:
            if index <= first + self.lags[loop]:
                self.seen.pop(loop, None)
                self.tries[loop] = 0
            if stop - first < 6 and self._in_rows(loop, actor, slot) and self.spent <= LOOKING * self.moves:
                self.spent += len(self.run.actors)
                self.asked.add(loop)
                self.run.at_end_of_tick(SNAPSHOT, lambda: self._look_at_row(loop, actor, slot))
            return
        if self.spent > LOOKING * self.moves:
            return
        every = self._every(loop)
        if self.tries[loop] > PATIENCE or not every or (index - first) % every:
            return
        self.tries[loop] += 1
        self.asked.add(loop)
        self.run.at_end_of_tick(SNAPSHOT, lambda: self._look(loop, actor, slot))

    def _crossings(self, loop: int) -> list[Crossing]:
        """Waits from one of the siblings of a loop to another."""
        family = self.family[loop]
        if family not in self.crossings:
            own = {actor.op.id: actor.op.path[self._slot(actor, loop)] for actor in self.members[loop]}
            self.crossings[family] = [
                Crossing(actor, lookup, producer)
                for actor in self.members[loop]
                for lookup, producer in actor.waits
                if own.get(producer.op.id, own[actor.op.id]) != own[actor.op.id]
            ]
        return self.crossings[family]

    def _every(self, loop: int) -> int:
        """Iterations after which a timed DRAM may be where it was, but for whole rows; 0: none here."""
        if loop not in self.every:
            most, slots = self.run.program.loops[loop].count // 2, self._slots(loop)
            ports = [
                actor.op.id for actor in self.members[loop] if self.run.ports and slots[actor.op.id] >= 0
            ]
            found = math.lcm(*(self.run.every(op, slots[op], most) for op in ports))
            self.every[loop] = found if found <= most else 0
        return self.every[loop]

    def _look(self, loop: int, reference: Actor, slot: int) -> None:
        self.asked.discard(loop)
        if reference.phase == "done":
            return
        self.looks[loop] += 1
        self.spent += len(self.run.actors)
        if len(self.changed) >= MEMORY and loop not in self.changed:
            self.changed.clear()
        outside = self.around(loop, reference, slot)
        if outside is None:
            return  # something outside this loop is at work: no period of the loop's own
        index, base = reference.position[slot], self.base(loop)
        leads = self.leads(loop, base, self.members[loop])
        far = FAR if not self.run.ports else math.inf
        state = (
            outside,
            tuple(min(lead, far) if isinstance(lead, int) else lead for lead in leads),
            tuple(self._member(actor, loop, base) for actor in self.members[loop]),
            tuple(part.state(base) for part in self.run.parts[len(self.run.actors) :]),
        )
        known = self.seen.setdefault(loop, {})
        before = known.get(state)
        if before is None:
            if len(known) >= MEMORY:
                known.clear()
        elif self._jump(loop, before, index, leads):
            return
        known[state] = Snapshot(self.run, index, leads)

    def _in_rows(self, loop: int, actor: Actor, slot: int) -> bool:
        """Whether bounds cut each iteration of a loop otherwise, and what of loops inside runs in it."""
        if loop not in self.rowed:
            tied = slot in actor.path.tied and actor.path.loops[slot].count >= FEWEST
            self.rowed[loop] = tied and not self.run.ports and any(
                slot in each.path.couples[inner] for each in self.members[loop]
                for inner in range(slot + 1, each.path.depth)
            )  # fmt: skip
        return self.rowed[loop]

    def _look_at_row(self, loop: int, reference: Actor, slot: int) -> None:
        self.asked.discard(loop)
        if reference.phase != "done":
            self.rows.look(loop, reference, slot)

    def around(self, loop: int, reference: Actor, slot: int) -> Hashable | None:
        """The state of all that is outside a loop; None where something there is at work."""
        inside = {actor.op.id for actor in self.members[loop]}
        others = [actor for actor in self.run.actors if actor.op.id not in inside]
        if any(actor.phase in {"serving", "queued", "setup"} or actor.flying for actor in others):
            return None
        outer = tuple((reference.op.path[at], reference.position[at]) for at in range(slot))
        return outer, tuple(actor.version for actor in others)

    def leads(self, loop: int, base: Base, among: list[Actor]) -> list[Any]:
        """How far ahead each is that another waits for in a sibling loop, among some."""
        every = (one for one in self._crossings(loop) if one.actor in among and one.producer in among)
        return [self._lead(crossing, loop, base.slots) for crossing in every]

    def base(self, loop: int) -> Base:
        """What states are relative to: of each sibling of the loop, what its first operation that moves has
        reached.
        """
        slots = self._slots(loop)
        driver = self.run.actors[self.reference[loop]]
        reached: dict[int, int] = {}
        moving = [actor for actor in self.members[loop] if not self._still(actor, loop)]
        for actor in (driver, *moving, *self.members[loop]):
            at = slots[actor.op.id]
            if at >= 0:
                reached.setdefault(actor.op.path[at], actor.position[at])
        inside = [actor.op for actor in self.members[loop] if slots[actor.op.id] >= 0]
        return Base(self.run.elapsed(), {op.id: reached[op.path[slots[op.id]]] for op in inside}, slots)

    def _lead(self, crossing: Crossing, loop: int, slots: dict[int, int]) -> Any:
        """By how many iterations what is waited for is behind what its maker has done; text where they are of
        different rounds: whether it is done.
        """
        actor, lookup, producer = crossing
        at = slots[producer.op.id]
        if at < 0 or slots[actor.op.id] < 0 or self._still(actor, loop):
            return None
        target = lookup.before(actor.position)
        if target is None or producer.completed is None or producer.completed[:at] != target[:at]:
            return str(target is None or producer.reached(target))
        return producer.completed[at] - target[at]

    def _member(self, actor: Actor, loop: int, base: Base) -> Any:
        """State of an operation in the loop: relative to the index while it moves, else as it stands."""
        return ("still", actor.version) if self._still(actor, loop) else actor.state(base)

    def _still(self, actor: Actor, loop: int) -> bool:
        """Whether nothing of an operation has changed for some looks at the loop."""
        changed = self.changed.setdefault(loop, {})
        version, look = changed.get(actor.op.id, (-1, 0))
        if version != actor.version:
            look = self.looks[loop]
            changed[actor.op.id] = (actor.version, look)
        return self.looks[loop] - look >= STILL and actor.phase in {"waiting", "queued"} and not actor.flying

    def _slots(self, loop: int) -> dict[int, int]:
        """Slot of the loop, or of its sibling, on each operation's path; -1 for those outside.

        One may stand in another outer iteration: it keeps that one while all move side by side.
        """
        return {actor.op.id: self._inside(actor, loop) for actor in self.members[loop]}

    def _slot(self, actor: Actor, loop: int) -> int:
        family = self.family[loop]
        return next((at for at, own in enumerate(actor.op.path) if self.family[own] == family), -1)

    def _inside(self, actor: Actor, loop: int) -> int:
        slot = self._slot(actor, loop)
        if slot < 0 or actor.path.pins[slot] or actor.phase == "done":
            return -1
        return slot

    def _jump(self, loop: int, before: Snapshot, index: int, leads: list[Any]) -> bool:
        """Skip the periods that can be; whether there were any. `leads` are those of now."""
        run, ticks = self.run, self.run.now() - before.time
        if index <= before.index:
            return False
        movers = {
            actor.op.id: self._inside(actor, loop)
            for actor, mark in zip(run.actors, before.marks, strict=False)
            if actor.position != mark.position
        }
        if any(at < 0 for at in movers.values()):
            return False
        strides = {
            op: run.actors[op].position[at] - before.marks[op].position[at] for op, at in movers.items()
        }
        if len({*strides.values()}) > 1 and any(run.actors[op].path.cut for op in movers):
            return False  # bounds cut each loop elsewhere
        period = Period(ticks=ticks, movers=movers, strides=strides, lag=self.lags[loop])
        if not all(part.alike(mark, period) for part, mark in zip(run.parts, before.marks, strict=True)):
            self.seen[loop].clear()
            return False
        periods = min(self._periods(movers, strides), self._apart(loop, before.leads, leads, strides))
        if run.watch is not None:  # no further than to where the watch begins
            periods = min(periods, (run.watch.begin - run.now()) // ticks)
        if periods < 1:
            return False
        for part, mark in zip(run.parts, before.marks, strict=True):
            part.shift(mark, period, periods)
        run.skipped += ticks * periods
        loops = {run.actors[op].op.path[at]: strides[op] for op, at in movers.items()}
        self.rows.jumped(loops, ticks, periods)
        self.seen[loop].clear()
        return True

    def _apart(self, loop: int, then: list[Any], now: list[Any], strides: dict[int, int]) -> int:
        """Periods until who is waited for in a sibling loop may no longer be far enough ahead; 0 where it may
        not have been all along.
        """
        most = EVER
        for crossing, before, after in zip(self._crossings(loop), then, now, strict=True):
            if before == after:
                continue
            room: int = min(before, after) - strides.get(crossing.actor.op.id, 0) - 1
            if room < 0:
                return 0
            if after < before:
                most = min(most, room // (before - after))
        return most

    def _periods(self, movers: dict[int, int], strides: dict[int, int]) -> int:
        """How many periods can be skipped before an end of the loop or anything that stands still."""
        actors = self.run.actors
        room = []
        for number, at in movers.items():
            actor = actors[number]
            _, stop = actor.path.stretch(actor.position, at)
            room.append((stop - 1 - MARGIN - actor.position[at]) // strides[number])
        most = self.until(min(room, default=0), movers, strides)
        while most > 0 and not self._open(movers, {op: each * (most + 1) for op, each in strides.items()}):
            most = most // 2 if most > 8 else most - 1
        return most

    def until(self, most: int, movers: dict[int, int], strides: dict[int, int]) -> int:
        """So many periods, or fewer where something that stands still waits for the end of one."""
        for actor in self.run.actors:
            if actor.op.id in movers or actor.blocked_on < 0 or actor.blocked_target is None:
                continue
            producer = actor.waits[actor.blocked_on][1]
            at = movers.get(producer.op.id, -1)
            target = actor.blocked_target
            if at >= 0 and target[:at] == producer.position[:at]:
                most = min(most, (target[at] - MARGIN - producer.position[at]) // strides[producer.op.id])
        return most

    def _open(self, movers: dict[int, int], ahead: dict[int, int]) -> bool:
        """Whether nothing that stands still will stop a mover within so many iterations, or come before it
        where both queue for an engine, which serves the oldest.
        """
        queued = [actor for actor in self.run.actors if actor.phase == "queued" and actor.op.id not in movers]
        for number, at in movers.items():
            actor = self.run.actors[number]
            future = list(actor.position)
            _, stop = actor.path.span(actor.position, at)
            future[at] = min(future[at] + ahead[number], stop - 1)
            for lookup, producer in actor.waits:
                if producer.op.id in movers:
                    continue
                target = lookup.before(future)
                if target is not None and not producer.reached(target):
                    return False
            age, later = actor.age(), actor.age(future)
            rivals = (each.age() for each in queued if each.op.engine == actor.op.engine)
            if any((age < rival) != (later < rival) for rival in rivals):
                return False
        return True


def _families(run: Jumpable) -> dict[int, tuple[Any, ...]]:
    """Loops of sibling branches are called by the loops around them: their operations move side by side.
    Where DRAM is timed, only those over one rank in the same steps.
    """
    found: dict[int, tuple[Any, ...]] = {}
    for actor in run.actors:
        for slot, loop in enumerate(actor.path.loops):
            own = (loop.rank, loop.tile, loop.extent) if run.ports else ()
            found[loop.id] = (actor.op.path[:slot], *own)
    return found
