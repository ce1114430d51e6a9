"""An engine of the simulated machine as a resource: request it, carry the work, release it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Hashable
from typing import Any, Final

import simpy

from einsim.sim.actor import Actor
from einsim.sim.memory.dram_port import SLOTS, DramPort
from einsim.sim.stateful import Base, Period

GRANT: Final = 2  # after all arrivals of a tick: simpy's own priorities are 0 (urgent) and 1 (normal)


class Server:
    """An engine: one operation at a time. A unit takes the oldest in program order, as its static schedule
    would; a memory's port takes requests as they come, and the oldest of those that come in the same tick. A
    port that follows a DRAM standard has several transfers in flight.
    """

    def __init__(
        self,
        env: simpy.Environment,
        at_end_of_tick: Callable[[int, Callable[[], None]], None],
        name: str,
        *,
        first_come: bool,
        room: int = 1,
        timing: DramPort | None = None,
    ) -> None:
        self.env = env
        self.at_end_of_tick = at_end_of_tick
        self.name = name
        self.first_come = first_come
        self.timing = timing
        self.room = SLOTS if timing else room
        # arrival, age, number, event: a heap, since all loads of a long cascade may queue at once
        self.queue: list[tuple[int, tuple[int, ...], int, Any, Actor]] = []
        self.kicked = False
        self.carried: dict[int, tuple[Actor, simpy.Event]] = {}  # by the timing's slot
        self.alarm: simpy.Event | None = None
        self.last_end = 0  # of a transfer; since the run's start without what was skipped

    def request(self, actor: Actor) -> simpy.Event:
        """An event that fires when the engine is the actor's; call `release` afterwards."""
        event = self.env.event()
        arrival = int(self.env.now) if self.first_come else 0
        heapq.heappush(self.queue, (arrival, actor.age(), actor.op.id, event, actor))
        self.kick()
        return event

    def kick(self) -> None:
        """Decide at the end of this tick."""
        if self.room and self.queue and not self.kicked:
            self.kicked = True
            self.at_end_of_tick(GRANT, self.grant)

    def grant(self) -> None:
        """Hand the engine to the first requests by arrival and age."""
        self.kicked = False
        while self.room and self.queue:
            _, _, _, event, _ = heapq.heappop(self.queue)
            self.room -= 1
            event.succeed()

    def carry(self, actor: Actor, key: tuple[int, ...], ticks: int) -> Generator[simpy.Event, None, int]:
        """Do the request just granted: `ticks`, or as long as the engine's own timing takes.

        Returns when it began: with several in flight, not before the one that ended last.
        """
        began = int(self.env.now)
        if self.timing is None or not ticks:
            actor.pending[self.name] = began + ticks
            if ticks:
                yield self.env.timeout(ticks)
        else:
            slot = self.timing.submit(actor, key, began, ticks)
            event = self.env.event()
            self.carried[slot] = actor, event
            self._set_alarm()
            yield event
            began, self.last_end = max(began, self.last_end), int(self.env.now)
        del actor.pending[self.name]
        return began

    def _set_alarm(self) -> None:
        """Wake up when the next transfer ends, if none comes before."""
        assert self.timing is not None
        upcoming = self.timing.upcoming()
        for actor, _ in self.carried.values():
            actor.pending[self.name] = upcoming  # at the earliest
        if upcoming < 0:
            self.alarm = None
            return
        self.alarm = alarm = self.env.timeout(upcoming - int(self.env.now))
        alarm.callbacks.append(self._ring)

    def _ring(self, alarm: simpy.Event) -> None:
        if alarm is not self.alarm or self.timing is None:
            return
        for slot in self.timing.ended(int(self.env.now)):
            _, event = self.carried.pop(slot)
            event.succeed()
        self._set_alarm()

    def release(self) -> None:
        """Give the engine back."""
        self.room += 1
        self.kick()

    def state(self, base: Base) -> Hashable:
        """Who queues, by arrival; with a timing also since when, and its own state."""
        waiting = sorted(self.queue) if self.first_come else []
        order = tuple(entry[2] for entry in waiting)
        if self.timing is None:
            return order
        return order, tuple(entry[0] - base.now for entry in waiting), self.timing.state(base)

    def mark(self) -> Any:
        """What its timing measures a period by."""
        return self.timing.mark() if self.timing else None

    def alike(self, mark: Any, period: Period) -> bool:
        """What its timing says."""
        return self.timing is None or self.timing.alike(mark, period)

    def longer(self, older: Any, mark: Any, rows: int) -> Any:
        """Nothing: no row is skipped where DRAM is timed."""
        return mark

    def shift(self, mark: Any, period: Period, times: int) -> None:
        """Requests age with those who made them."""
        if self.timing is not None:
            self.timing.shift(mark, period, times)
        self.queue = [
            (arrival, actor.age(), number, event, actor) for arrival, _, number, event, actor in self.queue
        ]
        heapq.heapify(self.queue)
