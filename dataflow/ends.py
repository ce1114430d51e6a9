"""What a program takes at least, with the time before each engine's first work and after its last.

An engine can't begin before the first tile that it waits for has passed every operation before it (its head),
and once it is done the last tile still has to pass every operation behind it (its tail). So a program takes
at least what its busiest engine does with both. More bandwidth, a higher clock or a shorter chain never adds
to it. Where a tile has a single buffer, what fills or empties it and what uses it take turns.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Final, NamedTuple, TypeVar

from einsim.dataflow.account import static_counts
from einsim.dataflow.analytical import Bounds
from einsim.dataflow.chain import chain_ticks
from einsim.dataflow.program import Action, Op, Program, ProgramLoop, ScheduleNode, Wait
from einsim.dataflow.volume import Rates, Tally, latency_at, tally_of
from einsim.specs.arrays import Floats

#: Ticks of a tile of each kind by engine, and how often it occurs, in the order in which they occur first.
Kinds = list[tuple[dict[str, int], int]]

#: Share of what the other engines are busy that a tree's cost counts beside its bound: engines that wait for
#: each other's tiles lose some of it, and work that is not done needs no energy.
CONTENTION: Final = 0.25

#: Cycles of the machine's clock that a tree's cost counts for each tile of the Einsum that has most.
TILE_CYCLES: Final = 4

F = TypeVar("F", float, Floats)


def share_cost(bound: F, busy: F, tiles: F) -> F:
    """Ticks that work is taken to cost by its bound, what all engines are busy, and a cycle for each tile."""
    return bound + CONTENTION * (busy - bound) + TILE_CYCLES * tiles


class Share(NamedTuple):
    """What is there of an operation's work and of its tiles."""

    work: float
    tiles: float


WHOLE: Final = Share(1.0, 1.0)


class Ends:
    """Bounds of a program on machines of its structure, by their rates."""

    def __init__(self, program: Program, shares: Mapping[int, Share] = {}) -> None:
        """Of the operations in `shares` only that share of their work and of their tiles is there."""
        self.program, self.shares = program, shares
        self.counts = static_counts(program)
        found = [tally_of(op, self.counts[op.id]) for op in program.ops]
        self.tallies, self.rates = [tally for tally, _ in found], [rates for _, rates in found]
        self.pairs = list(zip(program.ops, self.tallies, strict=True))
        self.order, self.sequences = _order(program), _sequences(program.shape)
        self.before = [_before(program, op) for op in program.ops]
        self.after = [list(_after(program, op)) for op in program.ops]
        self.carries = any(
            wait.lag and wait.cause == "dependency" and program.ops[wait.producer].kind == "compute"
            for op in program.ops
            if op.kind == "compute"
            for wait in op.waits
            if wait.producer != op.id
        )  # else heads and tails have the dependent chain, but for latencies of partial sums
        self.queued = {op.id: most for op, tally in self.pairs if (most := self._queued(op, tally)) > 0}
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
        runs = (self._runs(op, tally) for op, tally in self.pairs if op.kind == "compute")
        return math.ceil(max(runs, default=0))

    @cached_property
    def outward(self) -> frozenset[int]:
        """Transfers from and to the outermost memory."""
        outermost = self.program.outermost
        return frozenset(
            op.id
            for op, tally in self.pairs
            if op.kind != "compute" and any(memory == outermost for memory, _ in tally.traffic)
        )

    @cached_property
    def registers(self) -> dict[Action, float]:
        """Accesses of units' registers."""
        found = dict[Action, float]()
        for op, tally in self.pairs:
            for action, times in tally.actions.items():
                if action.kind == "register":
                    share = self.shares.get(op.id, WHOLE).work
                    found[action] = found.get(action, 0) + times * share
        return found

    def moved(self, free: Collection[int] = ()) -> dict[str, float]:
        """Bytes that pass each memory, but for those of the operations `free`."""
        passed = {self.program.outermost: 0.0}
        for op, tally in self.pairs:
            for (memory, _), size in tally.traffic.items() if op.id not in free else ():
                passed[memory] = passed.get(memory, 0) + size * self.shares.get(op.id, WHOLE).work
        return passed

    def bound(
        self, rates: Rates | None = None, free: Collection[int] = (), *, single: bool = False
    ) -> tuple[int, int]:
        """The bound, and what all engines are busy together, in ticks, of an unpriced program at some rates,
        or else of a priced one. The operations `free` take no time; `single`: every tile has one buffer.
        """
        ops = self.program.ops
        at = [rates or own for own in self.rates]
        latency = [latency_at(op, rates) if rates else op.latency_ticks for op in ops]
        ticks, tiles = list[dict[str, int]](), list[Kinds]()
        for op, tally in self.pairs:
            kinds, there = (tally.kinds, at[op.id]) if op.id not in free else ((), None)
            ticks.append(tally.engine_ticks(op.engine, there) if there else {})
            tiles.append([(kind.ticks(op.engine or op.name, there), n) for kind, n in kinds if there])
        for op_id, share in self.shares.items():
            ticks[op_id] = {engine: math.ceil(busy * share.work) for engine, busy in ticks[op_id].items()}
        works = [all(any(each.values()) for each, _ in one) for one in tiles]  # else it may end at once
        late = [ticks if work else 0 for ticks, work in zip(latency, works, strict=True)]
        heads, tails = self._heads(tiles, late), self._tails(tiles, late)
        on: dict[str, list[tuple[int, int, int]]] = {}
        for op in ops:
            head, tail = heads[op.id], tails[op.id] + late[op.id]
            several = len(ticks[op.id]) > 1 and op.id not in self.shares
            parts = _in_turn_of(tiles[op.id], ticks[op.id]) if several else {}
            for engine, busy in ticks[op.id].items():
                for before, part, behind in parts.get(engine, ((0, busy, 0),)) if busy else ():
                    on.setdefault(engine, []).append((head + before, part, tail + behind))
        runs = [0 if at in free else tally.runs for at, tally in enumerate(self.tallies)]
        least = max(map(Bounds(self.program, ticks, runs, latency).of, self.sequences), default=0)
        if self.carries:
            most = max(self.shares.get(op.id, WHOLE).work for op in ops)
            least = max(least, int(chain_ticks(self.program, self.counts, rates) * most))
        total = sum(busy for works in on.values() for _, busy, _ in works)
        every = [least, *(_with_ends(works) for works in on.values())]
        for one, most in self.queued.items():
            every.append(
                heads[one] + max(ticks[one].values(), default=0) + (most + 1) * late[one] + tails[one]
            )
        return max([*every, *self._in_turn(ticks)] if single else every), total

    def _queued(self, op: Op, tally: Tally) -> int:
        """Of an operation's tiles those that start from what the one just before them leaves, so that its
        latency passes in between.
        """
        loops = [loop for at in op.path if (loop := self.program.loops[at]).count > 1]
        own = {wait.lag_loop for wait in op.waits if wait.producer == op.id and wait.lag == 1}
        if not loops or loops[-1].id not in own:
            return 0
        return int(self._runs(op, tally)) - math.prod(loop.count for loop in loops[:-1])

    def _runs(self, op: Op, tally: Tally) -> float:
        return tally.runs * self.shares.get(op.id, WHOLE).tiles

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

    def _heads(self, tiles: list[Kinds], latency: list[int]) -> list[int]:
        """Ticks before each operation's first tile: what it waits for, one after the other where they share
        an engine.
        """
        found = [0] * len(latency)
        for at in self.order:
            on: dict[str, list[tuple[int, int, int]]] = {}
            for producer, passed in self.before[at].items():
                for engine, ticks in _first(tiles[producer], passed).items():
                    on.setdefault(engine, []).append((found[producer], ticks, latency[producer]))
            found[at] = max(map(_with_ends, on.values()), default=0)
        return found

    def _tails(self, tiles: list[Kinds], latency: list[int]) -> list[int]:
        """Ticks after each operation's last tile: the longest chain of what waits for it."""
        found = [0] * len(latency)
        for at in reversed(self.order):
            for producer, left in self.after[at]:
                ticks = max(_least(tiles[at], left).values(), default=0)
                found[producer] = max(found[producer], ticks + latency[at] + found[at])
        return found


def _least(kinds: Kinds, count: int) -> dict[str, int]:
    """Ticks that so many of an operation's tiles take at least, by engine."""
    if len(kinds) == 1:
        return {engine: ticks * min(count, kinds[0][1]) for engine, ticks in kinds[0][0].items()}
    found: dict[str, int] = {}
    for engine in dict.fromkeys(engine for ticks, _ in kinds for engine in ticks):
        left, found[engine] = count, 0
        for ticks, times in sorted((ticks.get(engine, 0), times) for ticks, times in kinds):
            found[engine] += ticks * min(left, times)
            left -= min(left, times)
    return found


def _first(kinds: Kinds, count: int) -> dict[str, int]:
    """The same of the first ones, where the first kind is that of the very first tile."""
    if len(kinds) < 2:
        return _least(kinds, count)
    (first, times), *others = kinds
    rest = _least([(first, times - 1), *others], count - 1)
    return {engine: first.get(engine, 0) + ticks for engine, ticks in rest.items()}


def _in_turn_of(kinds: Kinds, busy: Mapping[str, int]) -> dict[str, list[tuple[int, int, int]]]:
    """An operation's ticks on each engine in parts, with those before and behind in which its first and its
    last tile are on a slower engine: tiles begin one after the other, on all engines together.
    """
    if not kinds or sum(times for _, times in kinds) < 2:
        return {}
    first, least, found = kinds[0][0], _least(kinds, 1), dict[str, list[tuple[int, int, int]]]()
    begins, ends = max(first.values(), default=0), max(least.values(), default=0)
    for engine, ticks in busy.items():
        last = max(kind.get(engine, 0) for kind, _ in kinds)
        begun = min(first.get(engine, 0), ticks)
        last = min(last, ticks - begun)
        works = (0, begun, ends), (begins, ticks - begun - last, ends), (begins, last, 0)
        found[engine] = [work for work in works if work[1]]
    return found


def _with_ends(works: list[tuple[int, int, int]]) -> int:
    """What an engine takes for (head, ticks, tail): of any part, least head, all ticks, least tail."""
    most, late = 0, sorted(works, reverse=True)
    for tail in {tail for _, _, tail in works}:
        total = 0
        for head, ticks, left in late:
            if left >= tail:
                total += ticks
                most = max(most, head + total + tail)
    return most


def _sequences(group: ScheduleNode) -> list[ScheduleNode]:
    """Those of which no other is around: the bounds of what is outside are those of single engines."""
    return [group] if group.kind == "sequence" else [s for inner in group.children for s in _sequences(inner)]


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


def _before(program: Program, op: Op) -> dict[int, int]:
    """Operations that one waits for, and how many of their tiles until it has enough for all of its waits."""
    found: dict[int, int] = {}
    for wait in _waits(op):
        before = program.ops[wait.producer]
        pairs = zip(before.path, wait.targets, strict=True)
        passed = _count(
            program, before, {loop for loop, target in pairs if target.kind == "last"}, last=False
        )
        found[before.id] = max(passed, found.get(before.id, 0))
    return found


def _after(program: Program, op: Op) -> Iterator[tuple[int, int]]:
    """Operations whose last tile one waits for, and how many of its own tiles need that: those of the loops
    inside the last loop that both go through together.
    """
    for wait in _waits(op):
        before = program.ops[wait.producer]
        pairs = zip(before.path, wait.targets, strict=True)
        if all(target.kind != "first" or loop in before.when for loop, target in pairs):
            same = {target.loop for target in wait.targets if target.kind == "same"}
            inner = max((at + 1 for at, loop in enumerate(op.path) if loop in same), default=0)
            yield before.id, _count(program, op, op.path[inner:], last=True)


def _count(program: Program, op: Op, walked: Collection[int], *, last: bool) -> int:
    """Tiles of an operation in all iterations of the loops `walked`, in the first one of the others, or in
    their `last`; one at least where bounds cut them.
    """
    if op.cut is not None:
        return 1

    def tiles(chain: list[ProgramLoop], extent: int) -> int:
        if not chain:
            return 1
        loop, *inner = chain
        full, left = divmod(extent, loop.tile)
        if loop.id in walked and loop.id not in op.when:
            return full * tiles(inner, loop.tile) + (tiles(inner, left) if left else 0)
        small = last or loop.id in op.when
        return tiles(inner, (left or loop.tile) if small else min(extent, loop.tile))

    chains: dict[str, list[ProgramLoop]] = {}
    for at in op.path:
        chains.setdefault(program.loops[at].rank, []).append(program.loops[at])
    return math.prod(tiles(chain, chain[0].extent) for chain in chains.values())
