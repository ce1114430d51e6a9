"""One operation of a program at run time: where it stands in its loops and what it waits for."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Any, NamedTuple

from einsim.dataflow.iteration import Path, path_of
from einsim.dataflow.lookup import Lookup
from einsim.dataflow.program import Cost, Op, Program
from einsim.sim.stateful import Base, Period, rows_of

Position = list[int]


class OperationMark(NamedTuple):
    """An operation at the start of a period."""

    position: Position
    counts: dict[tuple[int, ...], int]
    times: tuple[int, int, int]


class Actor:
    """Runs the instances of an operation in order.

    `position` is the instance that comes next, `completed` the last one whose result is visible (None before
    the first), `flying` those issued but not yet visible, with the time at which they will be. `phase` is
    "waiting", "queued", "setup" (of its DMA engine), "serving" or "done".
    """

    def __init__(self, op: Op, program: Program) -> None:
        self.op = op
        self.path: Path = path_of(op, program.loops, program.sizes)
        first = self.path.first()
        self.position: Position = first if first is not None else []
        self.phase = "waiting" if first is not None else "done"
        self.version = 0  # grows with every change of state
        self.completed: Position | None = None
        self.flying: deque[tuple[int, Position]] = deque()
        self.blocked_on: int = -1
        self.blocked_target: Position | None = None
        self.last_port = ""  # where its latest stream ended
        self.held_by = ""  # the engine or port that its latest service waited for at the end
        self.pending: dict[str, int] = {}  # port -> end of its stream, -1 while queued there
        self.waiters: list[tuple[Actor, Any]] = []  # each until its `blocked_target`, with its event
        self.counts: dict[tuple[int, ...], int] = {}
        self.cause = "fill"
        self.blamed: Actor | None = None
        self.ready_at = 0
        self.past_held_by = ""  # these four: of the instance that it served last
        self.past_cause = "fill"
        self.past_blamed: Actor | None = None
        self.past_ready_at = 0
        self.started_at = 0
        self.waits: list[tuple[Lookup, Actor]] = []
        self._constant = (
            op.costs[self.path.key(self.position)] if self.path.regular and first is not None else None
        )
        self._key = self.path.key(self.position) if first is not None else ()
        self._slots = _place_slots(op, program)

    def connect(self, actors: list[Actor]) -> None:
        """Resolve waits to actors."""
        for wait in self.op.waits:
            producer = actors[wait.producer]
            self.waits.append((Lookup(wait, self.path, producer.path), producer))

    def cost(self) -> tuple[tuple[int, ...], Cost]:
        """Key and cost of the next instance."""
        if self._constant is not None:
            return self._key, self._constant
        key = self.path.key(self.position)
        return key, self.op.costs[key]

    def reached(self, target: Position) -> bool:
        """Whether the instance at `target` of this actor, or a later one, is visible."""
        if self.phase == "done" and not self.flying:
            return True
        return self.completed is not None and self.completed >= target

    def keep_reasons(self) -> None:
        """An instance is served: keep why it was late, for those that waited for it."""
        self.past_cause, self.past_blamed, self.past_ready_at = self.cause, self.blamed, self.ready_at
        self.past_held_by = self.held_by

    def state(self, base: Base) -> Hashable:
        """Relative to the time and, inside the loop, to its index."""
        slot = base.slots.get(self.op.id, -1)

        def relative(position: Position | None) -> tuple[int, ...] | None:
            if position is None:
                return None
            if slot < 0 or position[:slot] != self.position[:slot]:
                return (-1, *position)
            ends = self._from_ends(position, base.inner.get(self.op.id, ()))
            return (-2, *position[:slot], position[slot] - base.reached[self.op.id], *ends[slot + 1 :])

        return (
            self.phase,
            relative(self.position),
            relative(self.completed),
            tuple((end - base.now, relative(position)) for end, position in self.flying),
            self.blocked_on,
            tuple(sorted((port, end - base.now if end >= 0 else -1) for port, end in self.pending.items())),
            self.cause,
            self.blamed.op.id if self.blamed is not None else -1,
            self.past_cause,
            self.past_held_by,
            self.past_blamed.op.id if self.past_blamed is not None else -1,
        )

    def mark(self) -> OperationMark:
        """Where it stands, how often it has run, and the times that the ledger looks at."""
        times = self.ready_at, self.started_at, self.past_ready_at
        return OperationMark(position=list(self.position), counts=dict(self.counts), times=times)

    def alike(self, mark: OperationMark, period: Period) -> bool:
        """A mover has left the loop's beginning, and its times have moved on with it."""
        at = period.movers.get(self.op.id, -1)
        if at < 0:
            return True
        first, _ = self.path.stretch(self.position, at)
        times = self.ready_at, self.started_at, self.past_ready_at
        moved = all(now - before == period.ticks for now, before in zip(times, mark.times, strict=True))
        return moved and mark.position[at] - first > period.lag

    def longer(self, older: OperationMark, mark: OperationMark, rows: int) -> OperationMark:
        """Its instances, key by key."""
        then, before = mark.counts, older.counts
        counts = {k: rows_of(n, then.get(k, 0), before.get(k, 0), rows) for k, n in self.counts.items()}
        return mark._replace(counts=counts)

    def _from_ends(self, position: Position, slots: tuple[int, ...]) -> Position:
        """A position whose iterations of some loops count from the nearer end, -1 being the last one."""
        found = list(position)
        for slot in slots:
            first, stop = self.path.span(position, slot)
            near, far = position[slot] - first, stop - position[slot]
            found[slot] = near if near < far else -far
        return found

    def shift(self, mark: OperationMark, period: Period, times: int) -> None:
        """It and all that it remembers of the loop move forward."""
        for key, number in self.counts.items():
            self.counts[key] = number + (number - mark.counts.get(key, 0)) * times
        at = period.movers.get(self.op.id, -1)
        if at < 0:
            return
        ahead, prefix = period.strides[self.op.id] * times, self.position[:at]
        self.ready_at += period.ticks * times
        self.started_at += period.ticks * times
        self.past_ready_at += period.ticks * times
        inner = period.inner.get(self.op.id, ())
        for position in (self.position, self.completed, *(position for _, position in self.flying)):
            if position is not None and position[:at] == prefix:
                ends = self._from_ends(position, inner)
                position[at] += ahead
                for slot in inner:
                    first, stop = self.path.span(position, slot)
                    position[slot] = ends[slot] + (first if ends[slot] >= 0 else stop)
        if self.blocked_target is not None:
            self.blocked_target = self.waits[self.blocked_on][0].before(self.position)

    def age(self, at: Position | None = None) -> tuple[int, ...]:
        """Place of the next instance, or of the one `at` a position, in the sequential program: an engine
        serves the smallest first.
        """
        position = self.position if at is None else at
        return tuple(value if slot < 0 else position[slot] for slot, value in self._slots)

    def step(self) -> int:
        """Move to the next instance; the slot that moved on, or -1 after the last one."""
        before = list(self.position)
        if not self.path.advance(self.position):
            self.phase = "done"
            return -1
        return next(slot for slot, value in enumerate(before) if value != self.position[slot])


def _place_slots(op: Op, program: Program) -> list[tuple[int, int]]:
    """For each depth of the tree: the slot of the loop that stands there, or the child's number."""
    slots = {len(program.loops[loop].place): slot for slot, loop in enumerate(op.path)}
    rank = {"load": 0, "compute": 1, "store": 2}[op.kind]
    found = [(slots.get(depth, -1), child) for depth, child in enumerate(op.place)]
    return [*found, (-1, rank), (-1, op.id)]
