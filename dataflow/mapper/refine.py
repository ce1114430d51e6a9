"""Whole mappings made better move by move, judged with the waits that a run has.

From each of some mappings, what a subject (an Einsum's layout, a tensor's homes, a loop ...) may be is tried
in turn and the best kept, until a round over all subjects finds nothing better or so many were judged. No
clock and no chance has a part in it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse, seconds_of
from einsim.dataflow.effort import Effort
from einsim.dataflow.ends import Ends
from einsim.dataflow.legality import legal
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.found import searched
from einsim.dataflow.mapper.judged import Judged, judged
from einsim.dataflow.mapper.moves import Moves
from einsim.dataflow.mapper.objective import OBJECTIVES, key_by
from einsim.dataflow.mapper.seeds import around_steps
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapping import Mapping, Node
from einsim.dataflow.result import Result
from einsim.dataflow.schedule import paced_ticks
from einsim.dataflow.spatial import Layouts
from einsim.specs.progress import tell
from einsim.workloads.cascade import Cascade

JUDGED: dict[Effort, int] = {"quick": 100, "normal": 420, "proof": 6_000}
"""Mappings of up to `EINSUMS` Einsums that are judged at most where state is carried; else a half, of a
quick search a quarter, since layouts and loops have been chosen already. With n times as many Einsums n^3
times fewer: each takes longer to judge, and a round over all of them is out of reach.
"""
EINSUMS = 12
#: Kinds of tiles, as bounds cut them, for which a mapping counts as one more that was judged: each takes a
#: twentieth of the time of a mapping without bounds at most, and there may be thousands.
KINDS = 100
#: Mappings that are returned.
FINALISTS = 3
#: What a front is made of: the best by each of these.
ENDS = tuple(name for name in OBJECTIVES if name != "pareto")


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping that was judged: its analytical result, and the figures that it is compared by."""

    mapping: Mapping
    result: Result
    key: tuple[float, ...]


class Refined(msgspec.Struct, frozen=True, kw_only=True):
    """The trees that starts have led to, the best first, and how many mappings were judged."""

    trees: tuple[Node, ...]
    judged: int


class Refinement:
    """Mappings of a cascade on a machine on their way down, at most so many of them judged."""

    def __init__(
        self, space: MapSpace, objective: str, starts: Sequence[Sequence[Node]], *, most: int,
        within: float = math.inf, layouts: Layouts = "full", until: float = math.inf,
    ) -> None:  # fmt: skip
        self.cascade, self.machine, self.objective = space.cascade, space.machine, objective
        self.moves = Moves(space, layouts)
        self.starts = starts
        most = most if self.moves.steps else most // (4 if most <= JUDGED["quick"] else 2)
        self.left = self.most = most * EINSUMS**3 // max(EINSUMS, len(self.cascade.einsums)) ** 3
        self.within, self.until = within, until
        self.seen: set[bytes] = set()
        self.trail: list[Trial] = []
        self.stopped = False

    def run(self) -> Refined:
        """Down from the best tree around the steps, where there are some, and from the best of each of the
        starts.
        """
        ends: list[Trial] = []
        try:
            starts = self.first()
            for at, start in enumerate(starts):
                ends.append(self.down(start, self.left // 4 if at + 1 < len(starts) else 0))
        except KeyboardInterrupt:
            self.stopped = True
        ends.sort(key=lambda one: one.key)
        best = sorted((one for one in self.trail if one not in ends), key=lambda one: one.key)
        trees = tuple(one.mapping.tree for one in (*ends, *best))[:FINALISTS]
        return Refined(trees=trees, judged=self.most - self.left)

    def first(self) -> list[Trial]:
        """The best tree around the steps, where there are some, and the best of each of the starts."""
        around, parts = self._judged(around_steps(self.cascade, self.machine)), 1
        while not around and (smaller := list(around_steps(self.cascade, self.machine, parts := 2 * parts))):
            around = self._judged(smaller)
        kinds = [around, *map(self._judged, self.starts)]
        self.trail += [min(kind, key=lambda one: one.key) for kind in kinds if kind]
        return [*self.trail]

    def _judged(self, trees: Iterable[Node]) -> list[Trial]:
        return [one for tree in trees if (one := self.judge(tree)) is not None]

    def judge(
        self, tree: Node, best: Trial | None = None, odd: frozenset[tuple[str, str]] | None = None
    ) -> Trial | None:
        """A tree judged; None where it is not legal, has been judged, is no better than the best, or has odd
        operands beside some that may be.
        """
        code = msgspec.msgpack.encode(tree)
        if code in self.seen or (odd is not None and not self.moves.odd(tree) <= odd):
            return None
        self.seen.add(code)
        made = mapping_of(tree, self.cascade, self.machine)
        if not legal(made, self.cascade, self.machine):
            return None
        self.left -= 1
        program = lower(made, self.cascade, self.machine)
        self.left -= sum(len(op.costs) for op in program.ops) // KINDS
        held = sum(program.buffers.values())
        if held > self.within:
            return None
        each = program.ticks_per_cycle * program.clock_hz
        late = best.key[0] * (1 + 1e-9) if best is not None and self.objective == "latency" else math.inf
        ticks, busy = Ends(program).bound()
        seconds = seconds_of(program, self.machine, ticks)
        if seconds <= late:
            seconds = max(seconds, seconds_of(program, self.machine, paced_ticks(program)))
        if seconds > late:
            return None
        result = analyse(program, self.machine)
        leaks = self.machine.static_w * (seconds - result.latency_s)
        joules = (result.energy_stated_j or 0.0) + leaks
        key = (*key_by(self.objective, seconds, joules, float(held)), busy / each)
        return Trial(mapping=made, result=result, key=key)

    def down(self, best: Trial, rest: int) -> Trial:
        """What moves lead to that make something better, until none does or so few are left to be judged."""
        before, here, odd = None, best, self.moves.odd(best.mapping.tree)
        while best is not before and not self.stopped:
            before = best
            for subject in self.moves.subjects(best.mapping.tree):
                if here is not best:
                    here, odd = best, self.moves.odd(best.mapping.tree)
                for tree in subject(here.mapping.tree, here.result):
                    if time.monotonic() > self.until:
                        self.stopped = True
                    if self.left <= rest or self.stopped:
                        return best
                    tell("refining", self.most - self.left, self.most)
                    found = self.judge(tree, best, odd)
                    if found is not None and less(found.key, best.key):
                        best = found
                        self.trail.append(best)
        return best


def mapping_of(tree: Node, cascade: Cascade, machine: Machine) -> Mapping:
    """The mapping of a tree that refinement made."""
    return Mapping(cascade=cascade.name, machine=machine.name, template="refined", tree=tree)


def less(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether figures are smaller than others, in order, by more than rounding."""
    for mine, theirs in zip(one, other, strict=True):
        if abs(mine - theirs) > 1e-9 * max(abs(mine), abs(theirs)):
            return mine < theirs
    return False


def refine(
    cascade: Cascade,
    machine: Machine,
    objective: str,
    starts: Sequence[Sequence[Node]],
    most: int,
    *,
    space: MapSpace,
    within: float,
    layouts: Layouts,
    until: float,
) -> tuple[list[Judged], int]:
    """What the best of each of the starts leads to, the best first (for a front: by each objective), and how
    many were judged: at most so many.
    """
    ends = ENDS if objective == "pareto" else (objective,)
    found: list[Judged] = []
    judgements, each = 0, most // len(ends)
    for end in ends:
        way = Refinement(space, end, starts, most=each, within=within, layouts=layouts, until=until)
        facts = (cascade, machine, end, starts, each, repr(within), layouts, space.unit, space.menu)
        outcome = searched(way, Refined, cascade, *facts)
        judgements += outcome.judged
        for tree in outcome.trees:
            pair = judged(mapping_of(tree, cascade, machine), cascade, machine)
            if pair is not None:
                found.append(pair)
    return found, judgements
