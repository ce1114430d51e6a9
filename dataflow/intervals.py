"""How fast iterations can follow each other where operations wait for an earlier iteration: an estimate.

A buffer is filled again after the readers of what was in it, a state's step goes on with the one before. The
first and the last tile of an operation in an iteration are tasks of a modulo schedule (Rau, MICRO 1994), of
which closed chains of waits bound the interval; what shares an engine and is tied tile by tile takes turns.
Tiles are taken to be alike.
"""

from __future__ import annotations

import math

from einsim.dataflow.ends import Ends
from einsim.dataflow.program import Op, Program, Wait
from einsim.dataflow.schedule import Delay, least_interval, tiles_in

FIRST, LAST = 0, 1


def waiting_ticks(ends: Ends) -> int:
    """Ticks of a priced program with the waits of an iteration for those before it, in the loops that make
    them longest.
    """
    program = ends.program
    lagging = {_prefix(op, wait) for op in program.ops for wait in op.waits if wait.lag}
    return max((_interval(ends, prefix) for prefix in lagging), default=0)


def _prefix(op: Op, wait: Wait) -> tuple[int, ...]:
    """The loops of which a wait looks back at an earlier iteration."""
    return op.path[: op.path.index(wait.lag_loop) + 1]


def _interval(ends: Ends, prefix: tuple[int, ...]) -> int:
    """Ticks of all iterations of some loops, each after those that it waits for."""
    program = ends.program
    inside = [
        op for op in program.ops if op.path[: len(prefix)] == prefix and not set(prefix) & op.when.keys()
    ]
    times = math.prod(program.loops[loop].count for loop in prefix)
    at = {op.id: 2 * number for number, op in enumerate(inside)}
    tiles = {op.id: tiles_in(program, op, op.path[len(prefix) :]) for op in inside}
    every = {
        op.id: max(ends.tallies[op.id].engine_ticks(op.engine, ends.rates[op.id]).values(), default=0)
        for op in inside
    }
    one = {number: ticks // tiles[number] for number, ticks in every.items()}
    delays: list[Delay] = []
    for op in inside:
        first = at[op.id]
        delays += [(first, first + LAST, every[op.id] - one[op.id], 0), (first + LAST, first, one[op.id], 1)]
        for wait in op.waits:
            before = program.ops[wait.producer]
            if before.id not in at or before.id == op.id or (wait.lag and _prefix(op, wait) != prefix):
                continue
            theirs, wanted = at[before.id], _passed(program, before, wait)
            latency = before.latency_ticks * times
            delays += [
                (theirs, first, (wanted - 1) * one[before.id] + one[op.id] + latency, wait.lag),
                (theirs + LAST, first + LAST, _left(program, op, wait) * one[op.id] + latency, wait.lag),
            ]
            if wanted >= tiles[before.id]:
                delays.append((theirs + LAST, first, one[op.id] + latency, wait.lag))
            elif before.engine == op.engine:
                delays.append(
                    (theirs, first + LAST, every[before.id] - one[before.id] + every[op.id], wait.lag)
                )
    return least_interval(2 * len(inside), delays, 0)


def _passed(program: Program, before: Op, wait: Wait) -> int:
    """Tiles of the operation waited for until the first one that is enough."""
    pairs = zip(before.path, wait.targets, strict=True)
    return tiles_in(program, before, (loop for loop, target in pairs if target.kind == "last"))


def _left(program: Program, op: Op, wait: Wait) -> int:
    """Tiles of an operation that need the last one waited for: those of the loops inside the last loop that
    both go through together.
    """
    same = {target.loop for target in wait.targets if target.kind == "same"}
    inner = max((at + 1 for at, loop in enumerate(op.path) if loop in same), default=0)
    return tiles_in(program, op, op.path[inner:])
