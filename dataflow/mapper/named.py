"""The mappings of a named template, and the search for the best choice of what it leaves open."""

from __future__ import annotations

import math
from contextlib import suppress

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse, seconds_of
from einsim.dataflow.ends import Ends, share_cost
from einsim.dataflow.intervals import waiting_ticks
from einsim.dataflow.legality import legal
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.descend import Choice, Ranking, choose
from einsim.dataflow.mapper.judged import Judged, judged
from einsim.dataflow.mapper.objective import Key, Objective, key_by
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.program import Program
from einsim.dataflow.templates.registry import TEMPLATES, Menus
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade

#: Choices that are built at most for each one that is judged: many are the same mapping.
ALIKE = 2


class Best(msgspec.Struct, frozen=True, kw_only=True):
    """The best mappings of a template, of so many `judged`; `complete`: those are all of it."""

    found: tuple[Judged, ...]
    judged: int
    complete: bool


class TemplateSpace(msgspec.Struct, frozen=True, kw_only=True):
    """A template's mappings of a cascade on a machine."""

    name: str
    cascade: Cascade
    machine: Machine

    @property
    def menu(self) -> str:
        """What a report calls its tile sizes."""
        return self.name

    @property
    def menus(self) -> Menus:
        """What the template leaves open; EinsimError where it suits neither cascade nor machine."""
        return TEMPLATES[self.name].menus(self.cascade, self.machine)

    def __str__(self) -> str:
        """The space in words, with its size (capacities not yet looked at)."""
        count, menus = math.prod(map(len, self.menus.values())), self.menus.items()
        lines = [f"{name}: {', '.join(map(str, values))}" for name, values in menus if len(values) > 1]
        head = f"template {self.name} of {self.cascade.name} on {self.machine.name}: {count} mappings"
        return "\n".join([head, TEMPLATES[self.name].summary, *lines])

    def mapping(self, choice: Choice = ()) -> Mapping:
        """The mapping of a choice, legal or not."""
        return TEMPLATES[self.name].build(self.cascade, self.machine, **dict(choice))

    def best(self, objective: Objective, most: int, within: float = math.inf) -> Best:
        """The best of at most so many choices that hold no more than `within` bytes, and the template's own
        rule's; by time, of which the waits are an estimate, the best without them, too.
        """
        if most == 1 and within == math.inf:  # it is the template's own rule's, however good
            with suppress(EinsimError):
                own = judged(self.mapping(), self.cascade, self.machine)
                return Best(found=(own,) if own else (), judged=1, complete=False)
            return Best(found=(), judged=0, complete=False)
        ranking = self.search(objective, most, within)
        choices = [choice for _, choice in ranking.found[:1]]
        if objective == "latency" and ranking.found:
            choices.append(min(ranking.found, key=lambda pair: pair[0][1])[1])
        choices += [choice for _, choice in ranking.found if not choice]
        pairs = (judged(self.mapping(one), self.cascade, self.machine) for one in dict.fromkeys(choices))
        found = tuple(pair for pair in pairs if pair is not None)
        return Best(found=found, judged=ranking.judged, complete=ranking.complete)

    def search(self, objective: Objective, most: int, within: float = math.inf) -> Ranking[Choice]:
        """The choices by the objective, of which at most so many are judged.

        Time is that by which a default is chosen, too, with the waits of iterations for those before them; of
        equals, and as the second figure, without.
        """
        least = math.inf
        trees: dict[Choice, Mapping | None] = {}

        def built(choice: Choice) -> Mapping | None:
            if choice not in trees and len(trees) < ALIKE * most:
                try:
                    trees[choice] = self.mapping(choice)
                except EinsimError:
                    trees[choice] = None
            return trees.get(choice)

        def judge(choice: Choice) -> Key | None:
            nonlocal least
            tree = built(choice)
            if tree is None or not legal(tree, self.cascade, self.machine):
                return None
            program = lower(tree, self.cascade, self.machine)
            if sum(program.buffers.values()) > within:
                return None
            key = self._key(program, objective, least)
            least = min(least, key[0])
            return key

        def same(choice: Choice) -> bytes:
            tree = built(choice)
            return b"" if tree is None else msgspec.msgpack.encode(tree.tree)

        try:
            menus = self.menus
        except EinsimError:
            return Ranking(found=(), judged=0)
        return choose(menus, judge, most, same)

    def _key(self, program: Program, objective: Objective, least: float) -> Key:
        """What a mapping is compared by; waits are left out where it is no better than the `least` anyway."""
        ends = Ends(program)
        bound, busy = ends.bound()
        if objective == "latency":
            tiles = ends.tiles * program.ticks_per_cycle
            cost = share_cost(bound, busy, tiles)
            if cost >= least:
                return cost, cost
            return share_cost(max(bound, waiting_ticks(ends)), busy, tiles), cost
        result = analyse(program, self.machine)
        seconds = seconds_of(program, self.machine, max(bound, waiting_ticks(ends)))
        return key_by(objective, seconds, result.energy_stated_j or 0.0, float(sum(result.buffers.values())))
