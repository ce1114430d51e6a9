"""An N:M array whose B comes through the top-N sorter: the clocks of both together.

Each column has its lane: M dense values of B, one a clock, then the N kept ones are the column's next slots.
A register holds one sorted group while the sorter works on the next; an array that wants a slot that is not
there freezes, and a sorter whose result can't leave waits. So a stream of slots takes M clocks for each N of
them: pruning in line gives none of N:M's speed-up, which is why SAT (arXiv 2309.13015) prunes ahead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from einsim.sim.arrays.gemm import ArraySpec, Gemm, at_least_one
from einsim.sim.arrays.schedule import START, schedule
from einsim.sim.arrays.systolic import elapsed
from einsim.specs.errors import RuleError


def slot_cycles(spec: ArraySpec, gemm: Gemm) -> list[bool]:
    """For every cycle of an output-stationary array, whether a slot enters it."""
    needs = [False] * elapsed(spec, gemm)
    for tile in schedule(spec, gemm):
        start = int(tile[START])
        needs[start : start + gemm.slots] = [True] * gemm.slots
    return needs


def sorted_clocks(
    spec: ArraySpec,
    gemm: Gemm,
    *,
    waits: Mapping[str, Sequence[int]] = {},
    gives: Sequence[bool] = (),
    ready: Sequence[int] = (1,),
) -> int:
    """Clocks of the GEMM, output-stationary, N:M, k of whole groups, with B's dense columns as input.

    waits: clocks before each word of the streams `a` (a slot's groups of A) and `in` (a value a column).
    gives[cycle]: the array's cycles that yield results, which leave when `ready`, by clock and repeated, is
    1. RuleError for a dense GEMM, one that ends inside a group, or another dataflow.
    """
    if spec.stationary or gemm.nm is None:
        raise RuleError("must be output-stationary and N:M", got=spec.dataflow, at=("dataflow",))
    n, m = gemm.nm
    if gemm.k % m:
        raise RuleError(f"must be a multiple of m = {m}", got=gemm.k, at=("k",))
    at_least_one("ready", len(ready))
    needs = slot_cycles(spec, gemm)
    streams = {name: iter(waits.get(name, ())) for name in ("a", "in")}
    wait = {name: next(stream, 0) for name, stream in streams.items()}
    groups = sum(needs) // n  # of each column
    beat = held = clock = cycle = 0
    done = False  # a sorted group stands in the sorter's registers
    while cycle < len(needs):
        takes = needs[cycle]
        moves = (not takes or (held > 0 and wait["a"] == 0)) and (
            not (cycle < len(gives) and gives[cycle]) or ready[clock % len(ready)] == 1
        )
        frees = held == 0 or (held == 1 and takes and moves)
        sorts = (groups == 0 or wait["in"] == 0) and (not done or frees)
        wait = {name: max(0, left - 1) for name, left in wait.items()}
        if takes and moves:
            held -= 1
            wait["a"] = next(streams["a"], 0)
        if sorts:
            held = n if done else held
            done = False
            if groups:
                wait["in"] = next(streams["in"], 0)
                beat += 1
                if beat == m:
                    beat, done, groups = 0, True, groups - 1
        cycle += moves
        clock += 1
    return clock
