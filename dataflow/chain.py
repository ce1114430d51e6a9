"""The dependent chain of a program: how long it takes on engines that never let an operation wait.

An instance starts when what it waits for is visible: its operands, the state and the partial sums that an
earlier instance left, the end of a sequence's child before. It takes its unit's ticks and its latency;
transfers take nothing. Of a program with many instances the last ones of every loop are looked at, and a loop
that carries something on is as long as they make it, iteration by iteration: never longer than the chain is.
Parts of which each begins when the one before has ended are looked at one by one.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from einsim.dataflow.iteration import Path, path_of
from einsim.dataflow.lookup import Lookup
from einsim.dataflow.program import Op, Program, ProgramLoop, ScheduleNode
from einsim.dataflow.volume import Costs, Rates, op_at, tally_of

MOST = 4096
"""Instances up to which all are looked at."""
FEW = 3
"""Iterations of a loop that are looked at otherwise, where it carries something on."""


def chain_ticks(
    program: Program, counts: Mapping[int, Mapping[tuple[int, ...], int]], rates: Rates | None = None
) -> int:
    """Ticks from a program's start to its last result; `counts` are the instances of each operation. `rates`
    price an unpriced program.
    """
    computes = [op for op in program.ops if op.kind == "compute"]
    units = [(rates or op.costs.rates)[op.engine] for op in computes if isinstance(op.costs, Costs)]
    if len(units) < len(computes):
        return _chain_ticks(program, counts)
    halting = any(kind.overlap for op in computes for kind, _ in tally_of(op, counts[op.id])[0].kinds)
    if halting:  # then ports' rates count, too
        ops = program.ops if rates is None else tuple(op_at(op, rates) for op in program.ops)
        return _chain_ticks(msgspec.structs.replace(program, ops=ops), counts)
    scale = math.gcd(*units)
    known = tuple(unit // scale for unit in units)
    if known not in program.chains:
        ops = program.ops if rates is None else tuple(op_at(op, rates) for op in program.ops)
        priced = msgspec.structs.replace(program, ops=ops)
        program.chains[known] = _chain_ticks(priced, counts) // scale
    return program.chains[known] * scale


def _chain_ticks(program: Program, counts: Mapping[int, Mapping[tuple[int, ...], int]]) -> int:
    wholes = [path_of(op, program.loops, program.sizes) for op in program.ops]
    if sum(sum(times.values()) for times in counts.values()) <= MOST:
        return _longest(program, wholes, {}, _whole(program))
    waits = [wait for op in program.ops for wait in op.waits if wait.lag and wait.cause == "dependency"]
    cut = {rank for op in program.ops if op.cut for mask in op.cut.masks for rank in mask.tied}
    carried = [
        loop for loop in program.loops
        if loop.count > FEW and not cut & set(loop.ranks) and loop.id in {wait.lag_loop for wait in waits}
    ]  # fmt: skip
    last = {loop.id: FEW if loop in carried else 1 for loop in program.loops}
    try:
        return _lengthened(program, wholes, last, carried, _parts(program))
    except _LooseError:
        return _lengthened(program, wholes, last, carried, [_whole(program)])


def _lengthened(
    program: Program, wholes: list[Path], last: Mapping[int, int], carried: Sequence[ProgramLoop],
    parts: Sequence[_ChainPart],
) -> int:  # fmt: skip
    """Ticks of the chain through parts one after the other: a loop lengthens the part that it is in."""
    total = 0
    for part in parts:
        few = _longest(program, wholes, last, part)
        inside = {loop for op in part.ops for loop in program.ops[op].path}
        loops = [loop for loop in carried if loop.id in inside]
        more = [_longest(program, wholes, {**last, loop.id: FEW + 1}, part) - few for loop in loops]
        total += few + sum(each * (loop.count - FEW) for each, loop in zip(more, loops, strict=True))
    return total


class _ChainPart(NamedTuple):
    """Operations before any of which none of the next part starts: for `ends` all of those wait."""

    ops: Sequence[int]
    ends: frozenset[int]


class _LooseError(Exception):
    """A part goes on after what the next one waits for."""


def _whole(program: Program) -> _ChainPart:
    return _ChainPart(range(len(program.ops)), frozenset())


def _parts(program: Program) -> list[_ChainPart]:
    """The outermost sequence of a program by its children, as far as each begins when the one before has
    ended: so a chain of many loops isn't walked once for each of them.
    """
    node = program.shape
    while len(node.children) == 1 and node.kind != "loop":
        node = node.children[0]
    every = [sorted(_below(child)) for child in node.children] if node.kind == "sequence" else []
    if sum(map(len, every)) < len(program.ops):
        return [_whole(program)]
    parts, ops = list[_ChainPart](), list[int]()
    for own, following in zip(every, [*every[1:], []], strict=True):
        ops += own
        found = [_ended(program.ops[op], {*ops}) for op in following]
        ends = frozenset.intersection(*found) if found else frozenset[int]()
        if ends or not following:
            parts.append(_ChainPart(ops, ends))
            ops = []
    return parts


def _below(node: ScheduleNode) -> Iterator[int]:
    if node.kind == "op":
        yield node.op
    for child in node.children:
        yield from _below(child)


def _ended(op: Op, among: Container[int]) -> frozenset[int]:
    """Producers of whose last instance each instance of an operation waits."""
    return frozenset(
        wait.producer for wait in op.waits
        if wait.producer in among and not wait.lag and wait.cause != "capacity"
        and all(target.kind == "last" for target in wait.targets)
    )  # fmt: skip


def _longest(program: Program, wholes: list[Path], last: Mapping[int, int], part: _ChainPart) -> int:
    """Ticks of a part of the chain through the `last` iterations of each loop; `wholes` are the paths with
    all. _LooseError where it ends later than its `ends` do.
    """
    runs = {op: _Run(program.ops[op], program, last, wholes[op]) for op in part.ops}
    for run in runs.values():
        run.connect(runs)
    for run in runs.values():
        while run.position is not None:
            run.step()
    longest = max((run.latest for run in runs.values()), default=0)
    if part.ends and max(runs[op].latest for op in part.ends) < longest:
        raise _LooseError
    return longest


class _Run:
    """An operation's instances in their order, and when each is visible, with all before it."""

    def __init__(self, op: Op, program: Program, last: Mapping[int, int], whole: Path) -> None:
        self.op, self.whole = op, whole
        self.path = path_of(op, program.loops, program.sizes, last)
        self.position = self.path.first()
        self.visible: dict[tuple[int, ...], int] = {}
        self.reached: tuple[int, ...] = ()
        self.latest = 0
        self.asking = False

    def connect(self, runs: Mapping[int, _Run]) -> None:
        self.waits = [
            (Lookup(wait, self.path, runs[wait.producer].path), runs[wait.producer])
            for wait in self.op.waits
            if wait.cause != "capacity" and wait.producer in runs
        ]

    def step(self) -> None:
        """Take the next instance."""
        assert self.position is not None
        start, self.asking = 0, True
        for lookup, producer in self.waits:
            target = lookup.before(self.position)
            if target is not None:
                start = max(start, producer.at(tuple(target)))
        self.asking = False
        if self.op.kind == "compute":
            cost = self.op.costs[self.whole.key(self.position)]
            start += cost.ticks + (self.op.latency_ticks if cost.ticks else 0)
        self.latest = max(self.latest, start)
        self.reached = tuple(self.position)
        self.visible[self.reached] = self.latest
        if not self.path.advance(self.position):
            self.position = None

    def at(self, target: tuple[int, ...]) -> int:
        """When the instance at `target` is visible; what would have to wait for itself does not wait."""
        while self.position is not None and not (self.asking or (self.visible and self.reached >= target)):
            self.step()
        return self.visible.get(target, self.latest)
