"""The recorder: runs a program up to a window, keeps what happens inside it, and stops."""

from __future__ import annotations

import math
from typing import Final

from einsim.accel.machine import Machine
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.program import Program
from einsim.sim.actor import Actor
from einsim.sim.engine import Simulation
from einsim.sim.memory.timed import timed
from einsim.sim.trace.occupancy import Allocation, allocations, held_bytes
from einsim.sim.trace.recording import Level, Recording, Span, Stall
from einsim.specs.errors import RuleError
from einsim.workloads.cascade import Cascade

MOST_SPANS: Final = 200_000  # about 100 MB of recording; a window that holds more ends where they are full


def record(
    program: Program,
    mapping: Mapping,
    cascade: Cascade,
    machine: Machine,
    *,
    from_cycle: int = 0,
    to_cycle: int | None = None,
    most_spans: int = MOST_SPANS,
    tiles: float = math.inf,
) -> Recording:
    """What happens from one cycle up to another, or until `most_spans` spans are kept, or to the end.

    Before the window the run jumps where it can. RuleError where the window is empty or after the end,
    CutShort once the run has gone through so many `tiles`.
    """
    if from_cycle < 0:
        raise RuleError("must be >= 0", got=from_cycle, at=("from",))
    if to_cycle is not None and to_cycle <= from_cycle:
        raise RuleError(f"must be later than 'from' ({from_cycle})", got=to_cycle, at=("to",))
    program, ports = timed(program, machine)
    tick = program.ticks_per_cycle
    last = None if to_cycle is None else to_cycle * tick
    homes = allocations(program, mapping, cascade, machine)
    recorder = Recorder(program, homes, from_cycle * tick, last, most_spans)
    run = Simulation(program, jump=from_cycle > 0, watch=recorder, ports=ports)
    run.tiles = tiles
    run.go()
    done = all(actor.phase == "done" for actor in run.actors)
    if done and run.ledger.last <= recorder.begin:
        cycles = -(-run.ledger.last // tick)
        raise RuleError(f"must be before the run's end at cycle {cycles}", got=from_cycle, at=("from",))
    recorder.cut(run.skipped)
    ended = done and run.ledger.last <= recorder.last
    return recorder.recording(run.ledger.last if ended else recorder.last, ended)


class Recorder:
    """A `einsim.sim.watch.Watch` that keeps spans, stalls and levels between two ticks."""

    def __init__(
        self, program: Program, homes: tuple[Allocation, ...], begin: int, end: int | None, most_spans: int
    ) -> None:
        self.program = program
        self.begin = begin
        self.last = 1 << 200 if end is None else end
        self.end = self.last + (self.last - begin)  # a stall at the window's end is known when it is over
        self.most_spans = most_spans
        self.actors: list[Actor] = []
        self.tiles = homes
        self.spans: list[Span] = []
        self.stalls: list[Stall] = []
        self.levels: list[Level] = []
        self._related: dict[int, list[int]] = {}
        self._held: list[int] = []
        self._level: dict[str, int] = {}
        self._until: dict[str, int] = {}  # end of each engine's latest slice

    def attach(self, actors: list[Actor]) -> None:
        """Note which operations can change which homes."""
        self.actors = actors
        self._held = [0] * len(self.tiles)
        for number, tile in enumerate(self.tiles):
            waits = actors[tile.writer].waits
            for op in {*tile.users, *(waits[at][1].op.id for at in tile.waits)}:
                self._related.setdefault(op, []).append(number)

    def begun(self) -> None:
        """What each memory holds when the window begins."""
        for number, tile in enumerate(self.tiles):
            self._held[number] = held_bytes(tile, self.actors)
            self._level[tile.memory] = self._level.get(tile.memory, 0) + self._held[number]
        for memory, held in self._level.items():
            self._note(Level(memory=memory, tick=self.begin, held_bytes=held))

    def started(self, actor: Actor, now: int) -> None:
        """A tile may be there from now on."""
        self._look(actor, now)

    def ended(self, actor: Actor, now: int) -> None:
        """Keep the span."""
        if actor.op.engine:
            self._keep(actor, actor.op.engine, actor.started_at, now)

    def streamed(self, actor: Actor, port: str, start: int, end: int) -> None:
        """Keep the span of the port."""
        self._keep(actor, port, start, end)

    def completed(self, actor: Actor, now: int) -> None:
        """A tile may be free from now on."""
        self._look(actor, now)

    def stalled(self, unit: str, start: int, end: int, cause: str, what: str) -> None:
        """Keep the stall."""
        start, end = max(start, self.begin), min(end, self.last)
        if start < end:
            self.stalls.append(Stall(unit=unit, cause=cause, what=what, start=start, end=end))

    def _keep(self, actor: Actor, engine: str, start: int, end: int) -> None:
        start, end = max(start, self.begin), min(end, self.last)
        if start >= end:
            return
        self._until[engine] = end
        op = actor.op
        loops = self.program.loops
        iteration = " ".join(
            f"{loops[loop].rank}={index}" for loop, index in zip(op.path, actor.position, strict=True)
        )
        self.spans.append(
            Span(engine=engine, name=op.name, kind=op.kind, iteration=iteration, start=start, end=end)
        )
        if len(self.spans) >= self.most_spans and end < self.last:
            self.end = self.last = end

    def _look(self, actor: Actor, now: int) -> None:
        if now < self.begin or now >= self.last:
            return
        before = dict(self._level)
        for number in self._related.get(actor.op.id, ()):
            held = held_bytes(self.tiles[number], self.actors)
            self._level[self.tiles[number].memory] += held - self._held[number]
            self._held[number] = held
        for memory, held in self._level.items():
            if before[memory] != held:
                self._note(Level(memory=memory, tick=now, held_bytes=held))

    def _note(self, level: Level) -> None:
        """The last level of a tick counts."""
        for at in range(len(self.levels) - 1, -1, -1):
            if self.levels[at].tick != level.tick:
                break
            if self.levels[at].memory == level.memory:
                del self.levels[at]
                break
        self.levels.append(level)

    def cut(self, skipped: int) -> None:
        """Keep the beginning of what is still at work at the window's end; `skipped` ticks were jumped."""
        shown: set[str] = (
            set()
        )  # an engine's slices don't overlap, even where several transfers are in flight
        for actor in self.actors:
            if actor.phase != "serving":
                continue
            held = actor.op.kind == "compute" or actor.op.engine in actor.pending  # a transfer lets go early
            if actor.op.engine and held and actor.op.engine not in shown:
                shown.add(actor.op.engine)
                begun = max(actor.started_at, self._until.get(actor.op.engine, 0))
                self._keep(actor, actor.op.engine, begun, self.last)
            for stream in actor.cost()[1].streams:
                until = actor.pending.get(stream.port, -1)
                if until >= 0 and stream.port not in shown:
                    shown.add(stream.port)
                    until += skipped
                    begun = max(until - stream.ticks, self._until.get(stream.port, 0))
                    self._keep(actor, stream.port, begun, until)

    def recording(self, end: int, ended: bool) -> Recording:
        """What was kept; the window ended at `end`, with the whole run if `ended`."""
        program = self.program
        return Recording(
            workload=program.workload,
            accel=program.accel,
            mapping=program.mapping,
            clock_hz=program.clock_hz,
            ticks_per_cycle=program.ticks_per_cycle,
            begin=self.begin,
            end=end,
            ended=ended,
            units=tuple(engine.name for engine in program.engines if engine.kind == "unit"),
            ports=tuple(engine.name for engine in program.engines if engine.kind == "port"),
            spans=tuple(sorted(self.spans, key=lambda span: (span.start, span.end))),
            stalls=tuple(sorted(self.stalls, key=lambda stall: (stall.start, stall.end))),
            levels=tuple(self.levels),
        )
