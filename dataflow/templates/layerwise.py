"""Block by block: each nest and each fused attention is a branch of its own, one after the other.

In `resident`, intermediates stay on chip between branches, as in FlightLLM's always-on-chip decode: the
smallest first, as many (of 0, 1, 2, 3, 4, 6, 8, 12 ...) as cost least in at most half of the memory. In
`unfused`, every branch reads and writes DRAM.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from functools import cache
from itertools import accumulate
from typing import Final

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import legal
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Mapping as LoopTree
from einsim.dataflow.mapping import Sequence, chain, keep
from einsim.dataflow.templates.attention import Fused, fused_attention
from einsim.dataflow.templates.choice import Chooser, Key, lacking
from einsim.dataflow.templates.outline import MOST_JOINED, Run
from einsim.specs.errors import EinsimError
from einsim.specs.progress import telling
from einsim.specs.remembered import Remembered
from einsim.workloads.cascade import Cascade

#: Mappings that one search asks for several times.
_FOUND: Final = Remembered[LoopTree](16)


def unfused(cascade: Cascade, machine: Machine) -> LoopTree:
    """The mapping of a whole cascade, branch by branch, each of which reads and writes DRAM."""
    key = cascade, msgspec.msgpack.encode(machine), ""
    return _FOUND.get(key, lambda: Branches(cascade, machine, (), stay=False).mapping("unfused"))


def resident(
    cascade: Cascade, machine: Machine, objective: str = "latency", many: int = MOST_JOINED
) -> LoopTree:
    """The mapping of a whole cascade, branch by branch, with intermediates kept on chip between them: the one
    that takes least time or, for the objective energy, moves what costs least. So `many` blocks are joined by
    rows at most.

    An attention is one fused branch where a fused template fits the machine and costs less.
    """
    key = cascade, msgspec.msgpack.encode(machine), objective, many

    def found() -> LoopTree:
        fused = fused_attention(cascade, machine)
        own = Branches(cascade, machine, fused, objective, many=many).mapping("resident")
        return _of_all_points(own, cascade, machine, objective, many) if cascade.bounds else own

    return _FOUND.get(key, found)


def _of_all_points(own: LoopTree, cascade: Cascade, machine: Machine, objective: str, many: int) -> LoopTree:
    """A mapping chosen under bounds, or that of all points where `own` takes more of anything than all points
    do or is no better: what bounds leave of tiles is estimated when branches are chosen.
    """
    points = msgspec.structs.replace(cascade, bounds=())
    try:
        other = resident(points, machine, objective, many)
    except EinsimError:
        return own
    if other.tree == own.tree or not legal(other, cascade, machine):
        return own
    most, mine, theirs = (
        _costs(mapping, work, machine, objective)
        for mapping, work in ((other, points), (own, cascade), (other, cascade))
    )
    dear = any(cost > all_points for cost, all_points in zip(mine, most, strict=True))
    return other if dear or theirs < mine else own


def _costs(mapping: LoopTree, cascade: Cascade, machine: Machine, objective: str) -> tuple[float, float]:
    """Cycles and energy of a mapping, what the objective asks for first."""
    run = analyse(lower(mapping, cascade, machine), machine)
    costs = run.cycles, run.energy_stated_j or 0.0
    return costs if objective == "latency" else costs[::-1]


class Branches:
    """The branches of a cascade on a machine that cost least, of all runs of blocks and of some sets of
    tensors that `stay` on chip throughout.

    Sets don't depend on the memory's size, only whether they fit does: a bigger one is no worse.
    """

    def __init__(
        self, cascade: Cascade, machine: Machine, fused: tuple[Fused, ...], objective: str = "latency", *,
        stay: bool = True, many: int = MOST_JOINED,
    ) -> None:  # fmt: skip
        self.cascade, self.machine = cascade, machine
        self.chooser = Chooser(cascade, machine, fused, objective, many)
        self.outline = self.chooser.outline
        runs = (run for _, some in sorted(self.outline.runs.items()) for run in some)
        self.runs = [run for run in runs if stay or run not in self.outline.joined]  # by their ends
        self._costs: dict[tuple[frozenset[str], int], tuple[list[float], int]] = {}
        self.room = machine.dram.capacity_bytes
        self.having_room = cache(self._having_room)
        capacity = self.chooser.capacity.get(self.outline.memory)
        sets = self.outline.sets if stay else self.outline.sets[:1]
        self.sets = [
            (names, size) for names, size in sets if capacity is None or not size or 2 * size <= capacity
        ]

    def plan(self, names: frozenset[str], size: int) -> tuple[float, list[Run]]:
        """What the cascade costs at least with some tensors kept on chip, and in which branches."""
        count = len(self.outline.order)
        least, last = [0.0] + count * [math.inf], [(0, 0)] * (count + 1)
        for run, cost in zip(self.runs, self.costs(names, size), strict=True):
            first, stop = run
            if least[first] + cost < least[stop]:
                least[stop], last[stop] = least[first] + cost, run
        found, end = list[Run](), count if math.isfinite(least[-1]) else 0
        while end:
            found.append(last[end])
            end = last[end][0]
        return least[-1], found[::-1]

    def costs(self, names: frozenset[str], size: int) -> list[float]:
        """What each branch costs at least, as far as is known: no end where DRAM has no room for it."""
        alike, news = self.having_room(names), self.chooser.news
        costs, seen = self._costs.get((names, size), ([math.inf] * len(self.runs), -1))
        for key in alike if seen < 0 else {*news[seen:]} & alike.keys():
            cost = self.chooser.cost(self.runs[alike[key][0]], names, size)
            for at in alike[key]:
                costs[at] = cost
        self._costs[names, size] = costs, len(news)
        return costs

    def _having_room(self, names: frozenset[str]) -> dict[Key, list[int]]:
        """The branches for which DRAM has room, in groups of those that are alike."""
        there, found = self._there(names), dict[Key, list[int]]()
        for at, run in enumerate(telling("choosing branches", self.runs)):
            if self.room is None or there(run) <= self.room:
                found.setdefault(self.chooser.key(run, names), []).append(at)
        return found

    def _there(self, names: frozenset[str]) -> Callable[[Run], int]:
        """Bytes in DRAM while a branch is computed: of what is made by its end and read from its start on,
        save what is made and read in it, and some tensors.
        """
        count = len(self.outline.order)
        made, gone = [0] * (count + 1), [0] * (count + 2)
        lives: list[list[tuple[int, int]]] = [[] for _ in range(count)]
        for name, (first, last, size) in self.outline.lives.items():
            if name not in names:
                made[first + 1] += size
                gone[last + 1] += size
                if first >= 0:
                    lives[first].append((last, size))
        made, gone = list(accumulate(made)), list(accumulate(gone))

        def there(run: Run) -> int:
            first, stop = run
            inside = sum(size for at in range(first, stop) for last, size in lives[at] if last < stop)
            return made[stop] - gone[first] - inside

        return there

    def _most(self, names: frozenset[str]) -> int:
        """Bytes that are in DRAM at one time, in the branches that have least there."""
        there, most = self._there(names), [0.0] + len(self.outline.order) * [math.inf]
        for first, stop in self.runs:
            most[stop] = min(most[stop], max(most[first], there((first, stop))))
        return int(most[-1])

    def best(self) -> tuple[float, list[Run], frozenset[str], int]:
        """The least cost, the branches, the tensors that stay and their bytes.

        What costs least by bounds is computed in full, until nothing else can cost less: one branch at a
        time, the longest first, since what is known of it may lead elsewhere. The order decides only on work.
        """
        waiting = [(*self.plan(*one), at) for at, one in enumerate(self.sets)]
        heapq.heapify(waiting)
        while True:
            cost, runs, at = waiting[0]
            names, size = self.sets[at]
            longest = sorted(runs, key=lambda run: run[0] - run[1])
            news = any(self.chooser.look(run, names) for run in longest)
            news = news or any(self.chooser.settle(run, names, size) for run in runs)
            now = *self.plan(names, size), at  # what others have settled counts here, too
            if now == waiting[0] and not news:
                return cost, runs, names, size
            heapq.heapreplace(waiting, now)

    def mapping(self, name: str) -> LoopTree:
        """The mapping that costs least; EinsimError where a block has no tree."""
        cost, runs, names, size = self.best()
        if math.isinf(cost):
            raise self._error()
        nodes = [self.chooser.tree(run, names, size) for run in runs]
        if len(runs) == 1 and (whole := self.chooser.template(runs[0], names, size)) is not None:
            return whole
        body = nodes[0] if len(nodes) == 1 else Sequence(children=tuple(nodes))
        stay = tuple(name for name in self.outline.between if name in names)
        around = keep(stay, self.outline.memory, buffers=1)
        return LoopTree(
            cascade=self.cascade.name, machine=self.machine.name, template=name, tree=chain(around, body)
        )

    def _error(self) -> EinsimError:
        """Why some block has no tree."""
        for run in ((at, at + 1) for at in range(len(self.outline.order))):
            self.chooser.settle(run, frozenset(), 0)
            if math.isinf(self.chooser.cost(run, frozenset(), 0)):
                return self.chooser.error(run)
        least = min(self._most(names) for names, _ in self.sets)
        assert self.room is not None  # else nothing overflows, and each block has a tree
        needs = lacking(self.machine.dram.name, least, self.room)
        return EinsimError(
            f"{self.machine.name}: inputs, results and what passes between the Einsums have no room: {needs}"
        )
