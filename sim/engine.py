"""The cycle-level event simulator: runs any tile program on simpy, in ticks.

Every operation is a process that takes its instances in order: it waits for its data and its buffer, queues
for its engine, holds it for the tile's ticks (a unit longer, where a port can't keep up), and makes the
result visible after its latency. An engine serves one operation at a time: a unit the oldest in program
order, a memory's port the first that came. All decisions of one tick are taken after all arrivals of that
tick, so the outcome does not depend on the order of events within it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Mapping
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import msgspec
import simpy

from einsim.accel.machine import Machine
from einsim.dataflow.account import keep_books, static_counts
from einsim.dataflow.analytical import (
    bottleneck,
    busy_ticks,
    engine_ticks,
    least_ticks,
    make_result,
    seconds_of,
)
from einsim.dataflow.held_down import under_cap
from einsim.dataflow.program import Cost, Op, Program, Stream
from einsim.dataflow.result import Result
from einsim.sim.actor import Actor
from einsim.sim.jump import Jumper
from einsim.sim.ledger import Ledger
from einsim.sim.memory.dram_port import DramPort
from einsim.sim.memory.timed import timed
from einsim.sim.server import Server
from einsim.sim.stateful import Stateful
from einsim.sim.watch import Watch
from einsim.specs.argument import Amount
from einsim.specs.progress import Listener, heard

TOLD_EVERY = 4096
"""Tiles after which a run says how far it is."""


class DeadlockError(RuntimeError):
    """The program can't go on: a fault of lowering, not of the user's input."""


class CutShort(Exception):  # noqa: N818 - not an error: it was asked for
    """A run was ended before its end: it takes more than `args[0]` seconds."""


def simulate(
    program: Program,
    machine: Machine,
    *,
    jump: bool = True,
    tiles: Amount = math.inf,
    until_s: Amount = math.inf,
) -> Result:
    """Simulate a program: the level "sim" of `einsim run`.

    `jump` skips whole periods once the state repeats; the result is the same, cycle for cycle.
    Raises DeadlockError when operations wait for each other, and CutShort once it has gone through so many
    `tiles`, skipped ones aside, or is later than `until_s`: with what the run takes at least. Under a power
    cap each clock that is tried is a run; SpecError where energy isn't stated, or no clock meets the cap.
    """
    return under_cap(program, machine, partial(_simulated, jump=jump, tiles=tiles, until_s=until_s))


def _simulated(program: Program, machine: Machine, *, jump: bool, tiles: float, until_s: float) -> Result:
    """A program at its machine's full clock."""
    finer, ports = timed(program, machine)
    run = Simulation(finer, jump, ports=ports)
    second = finer.ticks_per_cycle * finer.clock_hz
    run.tiles = tiles
    run.until = until_s if until_s == math.inf else math.ceil(until_s * second)
    try:
        run.go()
    except CutShort:
        raise CutShort(run.least() / second) from None
    return run.result(machine)


class Simulation:
    """One simulation in progress."""

    def __init__(
        self,
        program: Program,
        jump: bool,
        watch: Watch | None = None,
        ports: Mapping[str, DramPort] = MappingProxyType({}),
    ) -> None:
        self.program = program
        self.ports = ports
        self.watch = watch
        self.env = simpy.Environment()
        self.skipped = 0
        self.tiles, self.until = math.inf, math.inf
        self.served = 0
        self.listener = heard()
        self.actors = [Actor(op, program) for op in program.ops]
        for actor in self.actors:
            actor.connect(self.actors)
        self.servers = {
            engine.name: Server(
                self.env, self.at_end_of_tick, engine.name, first_come=engine.kind == "port",
                timing=ports.get(engine.name),
            )
            for engine in program.engines
        }  # fmt: skip
        for name, count in (*program.dma.items(), *program.windows.items()):
            self.servers[name] = Server(self.env, self.at_end_of_tick, name, first_come=True, room=count)
        self.ledger = Ledger(program, watch)
        self.parts: tuple[Stateful, ...] = (*self.actors, *self.servers.values(), self.ledger)
        self.jumper = Jumper(self) if jump else None

    def at_end_of_tick(self, priority: int, call: Any) -> None:
        """Simulation `call` at this tick, after everything of a smaller priority number."""
        event = simpy.Event(self.env)
        event._ok, event._value = True, None
        event.callbacks = [lambda _event: call()]
        self.env.schedule(event, priority=priority)  # type: ignore[arg-type]

    def go(self) -> None:
        """Simulation to the end."""
        for actor in self.actors:
            if actor.phase != "done":
                self.env.process(self._live(actor))
        if self.watch is None:
            self.env.run()
        else:
            self._watched(self.watch)
            if self.env.peek() != float("inf"):
                return  # it has seen enough
        stuck = [actor for actor in self.actors if actor.phase != "done"]
        if stuck:
            names = ", ".join(f"{actor.op.name} at {actor.position}" for actor in stuck[:4])
            raise DeadlockError(
                f"{self.program.workload} on {self.program.accel}: {names} wait for each other"
            )

    def _watched(self, watch: Watch) -> None:
        """Simulation step by step up to the watch's end."""
        watch.attach(self.actors)
        begun = False
        while self.env.peek() != float("inf"):
            following = int(self.env.peek()) + self.skipped
            if not begun and following >= watch.begin:
                begun = True
                watch.begun()
            if following >= watch.end:
                return
            self.env.step()

    def every(self, op: int, slot: int, most: int) -> int:
        """Iterations of a loop after which DRAM lies as before, but for whole rows; 0: more than `most`."""
        return math.lcm(*(port.where.every(op, slot, most) for port in self.ports.values()))

    def least(self) -> int:
        """Ticks that the run takes at least, so far as it is: each engine has the rest of its work to do."""
        left: Counter[str] = Counter()
        for actor, counts in zip(self.actors, static_counts(self.program).values(), strict=True):
            left.update(engine_ticks(actor.op, counts))
            left.subtract(engine_ticks(actor.op, actor.counts))
            if actor.phase == "serving":  # about to end, for all that is known here
                left.subtract(engine_ticks(actor.op, {actor.cost()[0]: 1}))
        return self.now() + max(left.values(), default=0)

    def elapsed(self) -> int:
        """Ticks that were run, without skipped periods."""
        return int(self.env.now)

    def now(self) -> int:
        """Simulated time in ticks, skipped periods included."""
        return int(self.env.now) + self.skipped

    def _live(self, actor: Actor) -> Generator[simpy.Event, None, None]:
        op = actor.op
        server = self.servers.get(op.engine)
        while True:
            actor.phase = "waiting"
            actor.version += 1
            yield from self._wait(actor)
            actor.ready_at = self.now()
            key, cost = actor.cost()
            dma = self.servers.get(op.dma)
            if dma is not None:
                yield from self._set_up(actor, dma, cost)
            window = self.servers.get(op.window)
            for engine in (window, server):
                if engine is not None:
                    actor.phase = "queued"
                    actor.version += 1
                    yield engine.request(actor)
            actor.phase = "serving"
            actor.started_at = self.now()
            self.ledger.start(actor, self.now(), cost)
            if self.watch is not None:
                self.watch.started(actor, self.now())
            yield from self._serve(actor, key, cost)
            if op.kind == "compute" or server is None:
                self._free(actor, server, cost)
            actor.keep_reasons()
            if dma is not None:
                dma.release()
            actor.counts[key] = actor.counts.get(key, 0) + 1
            self.tiles -= 1
            if self.listener is not None:
                self._tell(self.listener)
            if self.tiles < 0 or self.now() > self.until:
                raise CutShort
            self._publish(actor, op)
            moved = actor.step()
            if moved < 0:
                return
            if self.jumper is not None:
                self.jumper.moved(actor, moved)

    def _tell(self, listener: Listener) -> None:
        """Say now and then how many tiles are done, skipped ones included."""
        self.served += 1
        if self.served % TOLD_EVERY == 0:
            done = sum(sum(actor.counts.values()) for actor in self.actors)
            listener("simulating tiles", done, self._every)

    @cached_property
    def _every(self) -> int:
        """Tiles of all operations."""
        return sum(sum(counts.values()) for counts in static_counts(self.program).values())

    def _set_up(self, actor: Actor, dma: Server, cost: Cost) -> Generator[simpy.Event, None, None]:
        """Take a DMA engine and write the descriptor."""
        actor.phase = "queued"
        actor.version += 1
        yield dma.request(actor)
        actor.phase = "setup"
        actor.version += 1
        if cost.setup_ticks:
            yield from dma.carry(actor, (), cost.setup_ticks)

    def _wait(self, actor: Actor) -> Generator[simpy.Event, None, None]:
        if self.now() > actor.ready_at:  # else it is ready together with the one before and shares its reason
            actor.cause, actor.blamed = "fill", None
        for at, (lookup, producer) in enumerate(actor.waits):
            target = lookup.before(actor.position)
            if target is None or producer.reached(target):
                continue
            event = self.env.event()
            actor.blocked_on, actor.blocked_target = at, target
            actor.version += 1
            producer.waiters.append((actor, event))
            yield event
            actor.blocked_on, actor.blocked_target = -1, None
            actor.cause, actor.blamed = lookup.wait.cause, producer

    def _serve(self, actor: Actor, key: tuple[int, ...], cost: Cost) -> Generator[simpy.Event, None, None]:
        """Hold the engine for the tile's ticks; a unit also until every port has moved its operands.

        A transfer's engine is the outer port and its streams are the ports behind: all are requested at once,
        and each is held for its own bytes, not until the slowest of them has drained.
        """
        streams = []
        for stream in cost.streams:
            actor.pending[stream.port] = -1
            streams.append(self.env.process(self._stream(actor, key, stream)))
        server = self.servers.get(actor.op.engine)
        if server is not None:
            began = yield from server.carry(actor, key, cost.ticks)
            actor.started_at = max(actor.started_at, began + self.skipped)
            if actor.op.kind != "compute":
                self._free(actor, server, cost)
        elif cost.ticks:
            actor.pending[""] = int(self.env.now) + cost.ticks
            yield self.env.timeout(cost.ticks)
            del actor.pending[""]
        own = self.env.now
        for process in streams:
            if process.is_alive:
                yield process
        actor.held_by = actor.last_port if self.env.now > own else actor.op.engine

    def _free(self, actor: Actor, server: Server | None, cost: Cost) -> None:
        """An operation gives its engine back."""
        self.ledger.end(actor, self.now(), cost)
        if self.watch is not None:
            self.watch.ended(actor, self.now())
        if server is not None:
            server.release()

    def _stream(
        self, actor: Actor, key: tuple[int, ...], stream: Stream
    ) -> Generator[simpy.Event, None, None]:
        server = self.servers[stream.port]
        yield server.request(actor)
        began = yield from server.carry(actor, key, stream.ticks)
        server.release()
        actor.last_port = stream.port
        if self.watch is not None:
            self.watch.streamed(actor, stream.port, began + self.skipped, self.now())

    def _publish(self, actor: Actor, op: Op) -> None:
        done = list(actor.position)
        if not op.latency_ticks:
            self._complete(actor, done)
            return
        actor.flying.append((int(self.env.now) + op.latency_ticks, done))
        timeout = self.env.timeout(op.latency_ticks)
        timeout.callbacks.append(lambda _event: self._land(actor))

    def _land(self, actor: Actor) -> None:
        _, position = actor.flying.popleft()
        self._complete(actor, position)

    def _complete(self, actor: Actor, position: list[int]) -> None:
        actor.completed = position
        actor.version += 1
        if actor.op.window:
            self.servers[actor.op.window].release()
        self.ledger.finish(self.now())
        if self.watch is not None:
            self.watch.completed(actor, self.now())
        if actor.waiters:
            left = []
            for waiter, event in actor.waiters:
                assert waiter.blocked_target is not None
                if position >= waiter.blocked_target:
                    event.succeed()
                else:
                    left.append((waiter, event))
            actor.waiters = left

    def result(self, machine: Machine) -> Result:
        """Close the books."""
        program, ticks = self.program, self.ledger.last
        seconds = seconds_of(program, machine, ticks)
        counts = {actor.op.id: actor.counts for actor in self.actors}
        commands = {name: port.energy_j(seconds) for name, port in self.ports.items()}
        books = keep_books(program, machine, counts, seconds, commands)
        cycles = -(-ticks // program.ticks_per_cycle)
        stalls = self.ledger.stalls(ticks, cycles)
        total = busy_ticks(program, counts)
        units = [engine.name for engine in program.engines if engine.kind == "unit"]
        critical = max(units, key=lambda name: total[name])
        busiest = max(total, key=lambda name: total[name])
        bound_by = {name: -(-value // program.ticks_per_cycle) for name, value in total.items()}
        bound = least_ticks(program, static_counts(program))
        bound_by["schedule"] = -(-bound // program.ticks_per_cycle)
        result = make_result(
            program, machine, books, level="sim", ticks=ticks, bottleneck=bottleneck(busiest, total, bound),
            bound_by=bound_by, stalls=stalls[critical], stalls_by_unit=stalls,
            breakdown_by_unit=self.ledger.breakdown(ticks, cycles), timeline=self.ledger.timeline(),
        )  # fmt: skip
        for port in self.ports.values():
            result = msgspec.structs.replace(
                result, notes=(*result.notes, port.note(seconds)), assumed=(*result.assumed, *port.assumed())
            )
        return result
