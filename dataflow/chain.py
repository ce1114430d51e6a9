"""The dependent chain of a program: how long it takes on engines that never let an operation wait.

An instance starts when what it waits for is visible: its operands, the state and the partial sums that an
earlier instance left, the end of a sequence's child before. It takes its unit's ticks and its latency;
transfers take nothing. Of a program with many instances the last ones of every loop are looked at, and a loop
that carries something on is as long as they make it, iteration by iteration: never longer than the chain is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from einsim.dataflow.iteration import Path, path_of
from einsim.dataflow.lookup import Lookup
from einsim.dataflow.program import Op, Program
from einsim.dataflow.volume import Costs, Rates, op_at

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
        return _longest(program, wholes, {})
    waits = [wait for op in program.ops for wait in op.waits if wait.lag and wait.cause == "dependency"]
    cut = {rank for op in program.ops if op.cut for mask in op.cut.masks for rank in mask.tied}
    carried = [
        loop for loop in program.loops
        if loop.count > FEW and not cut & set(loop.ranks) and loop.id in {wait.lag_loop for wait in waits}
    ]  # fmt: skip
    last = {loop.id: FEW if loop in carried else 1 for loop in program.loops}
    few = _longest(program, wholes, last)
    more = {loop.id: _longest(program, wholes, {**last, loop.id: FEW + 1}) - few for loop in carried}
    return few + sum(more[loop.id] * (loop.count - FEW) for loop in carried)


def _longest(program: Program, wholes: list[Path], last: Mapping[int, int]) -> int:
    """Ticks of the chain through the `last` iterations of each loop; `wholes` are the paths with all."""
    runs = [_Run(op, program, last, whole) for op, whole in zip(program.ops, wholes, strict=True)]
    for run in runs:
        run.connect(runs)
    for run in runs:
        while run.position is not None:
            run.step()
    return max((run.latest for run in runs), default=0)


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

    def connect(self, runs: list[_Run]) -> None:
        self.waits = [
            (Lookup(wait, self.path, runs[wait.producer].path), runs[wait.producer])
            for wait in self.op.waits
            if wait.cause != "capacity"
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
