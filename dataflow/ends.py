"""What a program takes at least, with the time before each engine's first work and after its last.

An engine can't begin before the first tile that it waits for has passed every operation before it (its head),
and once it is done the last tile still has to pass every operation behind it (its tail). So a program takes
at least what its busiest engine does with both. More bandwidth, a higher clock or a shorter chain never adds
to it.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from einsim.dataflow.account import static_counts
from einsim.dataflow.analytical import engine_ticks, least_ticks
from einsim.dataflow.program import Op, Program, Wait


def with_ends(program: Program, free: Collection[int] = ()) -> tuple[int, int]:
    """The bound, and what all engines are busy together, in ticks; the operations `free` take no time."""
    counts = {at: {} if at in free else found for at, found in static_counts(program).items()}
    order = _order(program)
    heads, tails = _heads(program, counts, order), _tails(program, counts, order)
    on: dict[str, list[tuple[int, int, int]]] = {}
    for op in program.ops:
        for engine, ticks in engine_ticks(op, counts[op.id]).items():
            on.setdefault(engine, []).append((heads[op.id], ticks, tails[op.id] + op.latency_ticks))
    bound = least_ticks(program, counts)
    busy = sum(ticks for works in on.values() for _, ticks, _ in works)
    return max(bound, *(_with_ends(works) for works in on.values())), busy


def _with_ends(works: list[tuple[int, int, int]]) -> int:
    """What an engine takes for (head, ticks, tail): of any part, least head, all ticks, least tail."""
    heads, tails = {head for head, _, _ in works}, {tail for _, _, tail in works}
    return max(
        head + sum(ticks for at, ticks, left in works if at >= head and left >= tail) + tail
        for head in heads
        for tail in tails
        if any(at >= head and left >= tail for at, _, left in works)
    )


Counts = dict[int, dict[tuple[int, ...], int]]


def _heads(program: Program, counts: Counts, order: list[int]) -> dict[int, int]:
    """Ticks before each operation's first tile: what it waits for, one after the other where they share an
    engine.
    """
    found: dict[int, int] = {}
    for at in order:
        by_engine: dict[str, tuple[int, int]] = {}
        for wait in _waits(program.ops[at]):
            before = program.ops[wait.producer]
            ticks = (
                max(_ticks(before, counts), default=0) * _passed(program, before, wait) + before.latency_ticks
            )
            engine = before.engine or before.name
            first, total = by_engine.get(engine, (found[before.id], 0))
            by_engine[engine] = (min(first, found[before.id]), total + ticks)
        found[at] = max((first + ticks for first, ticks in by_engine.values()), default=0)
    return found


def _tails(program: Program, counts: Counts, order: list[int]) -> dict[int, int]:
    """Ticks after each operation's last tile: the longest chain of what waits for it."""
    found = dict.fromkeys(order, 0)
    for at in reversed(order):
        op = program.ops[at]
        for wait in _waits(op):
            last = min(_ticks(op, counts), default=0) * _left(program, op, wait)
            left = last + op.latency_ticks + found[at]
            found[wait.producer] = max(found[wait.producer], left)
    return found


def _waits(op: Op) -> list[Wait]:
    """Waits for what the same iteration needs: none for an iteration before it."""
    return [wait for wait in op.waits if wait.lag == 0 and wait.producer != op.id]


def _order(program: Program) -> list[int]:
    """Every operation after those that it waits for."""
    found: dict[int, None] = {}

    def visit(at: int) -> None:
        if at not in found:
            for wait in _waits(program.ops[at]):
                visit(wait.producer)
            found[at] = None

    for op in program.ops:
        visit(op.id)
    return list(found)


def _ticks(op: Op, counts: Counts) -> list[int]:
    """Ticks of each kind of its tiles."""
    return [max(engine_ticks(op, {key: 1}).values(), default=0) for key in counts[op.id]]


def _passed(program: Program, before: Op, wait: Wait) -> int:
    """Tiles of the operation waited for until the first one that is enough."""
    if before.cut is not None:
        return 1
    pairs = zip(before.path, wait.targets, strict=True)
    return math.prod(
        program.loops[loop].count
        for loop, target in pairs
        if target.kind == "last" and loop not in before.when
    )


def _left(program: Program, op: Op, wait: Wait) -> int:
    """Tiles of an operation that all need the last one waited for: those of the loops inside the last loop
    that both go through together.
    """
    if op.cut is not None:
        return 1
    same = {target.loop for target in wait.targets if target.kind == "same"}
    inner = max((at + 1 for at, loop in enumerate(op.path) if loop in same), default=0)
    return math.prod(program.loops[loop].count for loop in op.path[inner:] if loop not in op.when)
