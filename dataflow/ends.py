"""What a program takes at least, with the time before each engine's first work and after its last.

An engine can't begin before the first tile that it waits for has passed every operation before it (its head),
and once it is done the last tile still has to pass every operation behind it (its tail). So a program takes
at least what its busiest engine does with both. More bandwidth, a higher clock or a shorter chain never adds
to it. Where a tile has a single buffer, what fills or empties it and what uses it take turns.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property

from einsim.dataflow.account import static_counts
from einsim.dataflow.analytical import Bounds
from einsim.dataflow.chain import chain_ticks
from einsim.dataflow.program import Op, Program, Wait
from einsim.dataflow.volume import Rates, Tally, tally_of


class Ends:
    """Bounds of a program on machines of its structure, by their rates."""

    def __init__(self, program: Program, shares: Mapping[int, float] = {}) -> None:
        """Of the operations in `shares` only that share of their tiles is there."""
        self.program, self.shares = program, shares
        self.counts = static_counts(program)
        found = [tally_of(op, self.counts[op.id]) for op in program.ops]
        self.tallies, self.rates = [tally for tally, _ in found], [rates for _, rates in found]
        self.order = _order(program)
        self.before = [
            [(wait.producer, _passed(program, program.ops[wait.producer], wait)) for wait in _waits(op)]
            for op in program.ops
        ]
        self.after = [
            [(wait.producer, _left(program, op, wait)) for wait in _waits(op)] for op in program.ops
        ]
        self.carries = any(
            wait.lag and wait.cause == "dependency" and program.ops[wait.producer].kind == "compute"
            for op in program.ops
            if op.kind == "compute"
            for wait in op.waits
            if wait.producer != op.id
        )  # else heads and tails have the dependent chain, but for latencies of partial sums
        self.turns = [
            (op.id, wait.producer)
            for op in program.ops
            for wait in op.waits
            if wait.cause == "capacity" and wait.borrow
            if _at_once(op, wait) or _at_once(program.ops[wait.producer], wait)
        ]

    @cached_property
    def tiles(self) -> int:
        """Tiles of the Einsum that has most."""
        return max(
            (
                math.ceil(tally.runs * self.shares.get(op.id, 1.0))
                for op, tally in zip(self.program.ops, self.tallies, strict=True)
                if op.kind == "compute"
            ),
            default=0,
        )

    @cached_property
    def outward(self) -> frozenset[int]:
        """Transfers from and to the outermost memory."""
        outermost = self.program.outermost
        return frozenset(
            op.id
            for op, tally in zip(self.program.ops, self.tallies, strict=True)
            if op.kind != "compute" and any(memory == outermost for memory, _ in tally.traffic)
        )

    def bound(
        self, rates: Rates | None = None, free: Collection[int] = (), *, single: bool = False
    ) -> tuple[int, int]:
        """The bound, and what all engines are busy together, in ticks, of an unpriced program at some rates,
        or else of a priced one. The operations `free` take no time; `single`: every tile has one buffer.
        """
        ops = self.program.ops
        at = [rates or own for own in self.rates]
        latency = [op.latency_ticks and op.latency_ticks * (rates[op.engine] if rates else 1) for op in ops]
        ticks = [
            {} if op.id in free else tally.engine_ticks(op.engine, at[op.id])
            for op, tally in zip(ops, self.tallies, strict=True)
        ]
        for op_id, share in self.shares.items():
            ticks[op_id] = {engine: math.ceil(busy * share) for engine, busy in ticks[op_id].items()}
        kinds = [
            (0, 0) if op.id in free else _extremes(tally, at[op.id])
            for op, tally in zip(ops, self.tallies, strict=True)
        ]
        heads, tails = self._heads(kinds, latency), self._tails(kinds, latency)
        on: dict[str, list[tuple[int, int, int]]] = {}
        for op in ops:
            for engine, busy in ticks[op.id].items():
                on.setdefault(engine, []).append((heads[op.id], busy, tails[op.id] + latency[op.id]))
        runs = [0 if at in free else tally.runs for at, tally in enumerate(self.tallies)]
        bounds = Bounds(self.program, ticks, runs, latency)
        least = bounds.of(self.program.shape)
        if self.carries:
            most = max(self.shares.get(op.id, 1.0) for op in ops)
            least = max(least, int(chain_ticks(self.program, self.counts, rates) * most))
        total = sum(busy for works in on.values() for _, busy, _ in works)
        every = [least, *(_with_ends(works) for works in on.values())]
        return max([*every, *self._in_turn(ticks)] if single else every), total

    def _in_turn(self, ticks: list[dict[str, int]]) -> Iterable[int]:
        """Ticks of what uses a tile and of all that fills or empties it on one engine, which take turns."""
        apart: dict[int, dict[str, set[int]]] = {}
        for writer, reader in self.turns:
            for one, other in ((writer, reader), (reader, writer)):
                for engine in ticks[other]:
                    apart.setdefault(one, {}).setdefault(engine, set()).add(other)
        for one, by_engine in apart.items():
            own = max(ticks[one].values(), default=0)
            for engine, others in by_engine.items():
                if engine not in ticks[one]:
                    yield own + sum(ticks[other][engine] for other in others)

    def _heads(self, kinds: list[tuple[int, int]], latency: list[int]) -> list[int]:
        """Ticks before each operation's first tile: what it waits for, one after the other where they share
        an engine.
        """
        found = [0] * len(latency)
        for at in self.order:
            by_engine: dict[str, tuple[int, int]] = {}
            for producer, passed in self.before[at]:
                before = self.program.ops[producer]
                ticks = kinds[producer][1] * passed + latency[producer]
                engine = before.engine or before.name
                first, total = by_engine.get(engine, (found[producer], 0))
                by_engine[engine] = (min(first, found[producer]), total + ticks)
            found[at] = max((first + ticks for first, ticks in by_engine.values()), default=0)
        return found

    def _tails(self, kinds: list[tuple[int, int]], latency: list[int]) -> list[int]:
        """Ticks after each operation's last tile: the longest chain of what waits for it."""
        found = [0] * len(latency)
        for at in reversed(self.order):
            for producer, left in self.after[at]:
                found[producer] = max(found[producer], kinds[at][0] * left + latency[at] + found[at])
        return found


def with_ends(program: Program) -> tuple[int, int]:
    """The bound of a program, and what all engines are busy together, in ticks."""
    return Ends(program).bound()


def _extremes(tally: Tally, rates: Rates) -> tuple[int, int]:
    """Ticks of the quickest and of the slowest kind of tile."""
    each = [kind.ticks(rates) for kind in tally.kinds]
    return (min(each), max(each)) if each else (0, 0)


def _with_ends(works: list[tuple[int, int, int]]) -> int:
    """What an engine takes for (head, ticks, tail): of any part, least head, all ticks, least tail."""
    heads, tails = {head for head, _, _ in works}, {tail for _, _, tail in works}
    return max(
        head + sum(ticks for at, ticks, left in works if at >= head and left >= tail) + tail
        for head in heads
        for tail in tails
        if any(at >= head and left >= tail for at, _, left in works)
    )


def _at_once(op: Op, wait: Wait) -> bool:
    """Whether an operation moves all of a buffered tile at once: nothing below its buffer's loop moves it."""
    if op.kind == "compute" or wait.lag_loop not in op.path:
        return False
    return all(loop in op.when for loop in op.path[op.path.index(wait.lag_loop) + 1 :])


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
