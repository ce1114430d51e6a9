"""Branch and bound over units, layouts and homes of a stateful group's Einsums, for one tiling.

Einsums are given a unit, a layout and a home one by one, those with the most points first, the fastest
layout first. A partial choice is left as soon as its engine loads, joules or bytes, with the least that the
rest must add, can't beat what is known. Tiles in flight and sets of the state are the fewest that do.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from einsim.dataflow.mapper.nest import Retention
from einsim.dataflow.mapper.objective import Key, key_by
from einsim.dataflow.mapper.stateful.figures import CostTerm
from einsim.dataflow.mapper.stateful.point import Assignment, Pipelining, StatefulPoint, Tiling
from einsim.dataflow.mapper.stateful.space import StatefulSpace
from einsim.dataflow.mapper.stateful.tile_counts import TileCounts
from einsim.dataflow.mapping import Compute
from einsim.workloads.cascade import Einsum

#: Joules that differ by less than this share are the same: sums are added in different orders.
SAME = 1e-12


def beats(one: Key, other: Key) -> bool:
    """Whether a key is smaller, but for the rounding of sums."""
    if abs(one[0] - other[0]) > SAME * abs(other[0]):
        return one[0] < other[0]
    return one[1] < other[1] - SAME * abs(other[1])


class Option(msgspec.Struct, frozen=True):
    """A node of an Einsum with what it costs by itself; `least_j` with what its accesses must add."""

    node: Compute
    ticks: int
    joules: float
    least_j: float


Domains = dict[str, list[Option]]
#: A tiling, where the inputs are kept, and what it costs to load them.
Around = tuple[Tiling, tuple[Retention, ...], list[CostTerm]]
#: Engine loads in ticks, joules, and bytes by memory.
Sums = tuple[dict[str, int], float, dict[str, int]]


class _Restart(Exception):  # noqa: N818 - not an error: a better one was found
    """The descent begins again with what is now known."""


class Descent:
    """One branch and bound. `around` is a tiling with the inputs' places and loads; without it, inputs are
    there and memories are as large as it takes. `look` is called at each partial choice and may raise.
    """

    def __init__(
        self, space: StatefulSpace, counts: TileCounts, around: Around | None, objective: str,
        look: Callable[[], None], within: float,
    ) -> None:  # fmt: skip
        self.space = space
        self.model = space.model
        self.group = space.group
        self.counts = counts
        self.around = around
        self.objective = objective
        self.look = look
        self.within = within
        self.leak_j = self.model.leak_j
        self.units = [unit.name for unit in space.machine.units]
        self.einsums = {einsum.name: einsum for einsum in space.einsums}
        self.rank = {name: -space.cascade.points(name) for name in self.einsums}
        self.every: Domains = {name: self._nodes(einsum) for name, einsum in self.einsums.items()}
        self.neighbours = {
            name: [
                other for other, beside in self.einsums.items()
                if other != name and (
                    any(access.tensor == name for access in beside.reads)
                    or any(access.tensor == other for access in einsum.reads)
                )
            ]
            for name, einsum in self.einsums.items()
        }  # fmt: skip
        self.between = self.group.chains
        self.over: dict[str, list[tuple[str, str]]] = {name: [] for name in self.einsums}
        for pair, names in self.between.items():
            for name in names:
                self.over[name].append(pair)
        self._homed: dict[tuple[str, int, str, int], bool] = {}
        self.chosen: dict[str, tuple[Compute, str]] = {}
        self.key: Key | None = None
        self.point: StatefulPoint | None = None
        self.ticks = self.held = 0
        self.joules = 0.0

    def _nodes(self, einsum: Einsum) -> list[Option]:
        """Each node with its ticks and joules, the fastest (for energy: the most frugal) first."""
        found = []
        for node in self.space.nodes(einsum):
            own = self.model.own(node, self.counts)
            least_j = own.joules + self._must(einsum, node)
            found.append(Option(node, own.ticks[0][1], own.joules, least_j))
        if self.objective == "energy":
            return sorted(found, key=lambda one: (one.least_j, one.ticks))
        return sorted(found, key=lambda one: (one.ticks, one.least_j))

    def _must(self, einsum: Einsum, node: Compute) -> float:
        """Joules of the accesses that no choice saves: writing the result, and reading inputs."""
        homes = self.space.homes(einsum, node)
        total = min((self.model.touch(node, einsum.name, h, self.counts).joules for h in homes), default=0.0)
        for tensor in dict.fromkeys(access.tensor for access in einsum.reads):
            if tensor in self.group.inputs:
                memories = self.space.memories(tensor)
                reads = (self.model.touch(node, tensor, name, self.counts).joules for name in memories)
                total += min(reads, default=0.0)
        return total

    def run(self, limit: Key | None) -> None:
        """Find the best that beats `limit`; `key` stays `limit` where there is none.

        Where one is better by the objective itself, not just in a tie, the choices that it rules out are
        taken away and the descent starts anew.
        """
        self.key = limit
        loads = dict.fromkeys(self.units, 0)
        joules, held = 0.0, dict[str, int]()
        memories = {tensor: self.space.memories(tensor) for tensor in self.group.inputs}
        self.inputs = {tensor: names[0] for tensor, names in memories.items() if len(names) == 1}
        if self.around is not None:
            tiling, places, parts = self.around
            loads = _sums(loads, parts)
            joules = sum(part.joules for part in parts)
            held = self.model.held_inputs(places, tiling)
            self.inputs = {
                tensor: place.memory for tensor, place in zip(self.group.inputs, places, strict=True)
            }
        self.start = (loads, joules, held)
        while True:
            self.chosen = {}
            domains = self._consistent(dict(self.every), self.start, tuple(self.every))
            try:
                if domains is not None and self._bounded(domains, self.start):
                    self._grow(domains, self.start)
            except _Restart:
                continue
            return

    def _improved(self, before: Key | None) -> None:
        """Begin again where the objective itself got better, which takes away choices; ties go on."""
        if self.key is not None and self.key != before and (before is None or self.key[0] < before[0]):
            raise _Restart

    def _bounded(self, domains: Domains, sofar: Sums) -> bool:
        """Whether the Einsums that are left may still lead to something that beats the best."""
        if self.key is None:
            return True
        loads, joules, held = sofar
        forced = dict(loads)
        spread = sum(loads[unit] for unit in self.units)
        for mine in domains.values():
            least = min(one.ticks for one in mine)
            spread += least
            if len({one.node.unit for one in mine}) == 1:
                forced[mine[0].node.unit] += least
            joules += min(one.least_j for one in mine)
        ticks = max(*forced.values(), -(-spread // len(self.units)))
        joules += self.leak_j * ticks
        return beats(key_by(self.objective, ticks, joules, sum(held.values())), self.key)

    def _consistent(self, domains: Domains, sofar: Sums, changed: tuple[str, ...]) -> Domains | None:
        """Domains without nodes that have no partner left, or that by themselves can't beat the best; None
        where one is empty. `changed` names the Einsums whose choice or domain is new.
        """
        loads, joules, held = sofar
        least_j = joules + sum(min(one.least_j for one in mine) for mine in domains.values())
        pending = list(changed)
        for name, mine in domains.items() if self.key is not None else ():
            base = least_j - min(one.least_j for one in mine)
            kept = [one for one in mine if self._may_beat(one, loads, base, held)]
            if not kept:
                return None
            if len(kept) < len(mine):
                domains = {**domains, name: kept}
                pending.append(name)
        while pending:
            name = pending.pop()
            for other in self.neighbours[name]:
                if other not in domains:
                    continue
                kept = [one for one in domains[other] if self._supported(other, one.node, name, domains)]
                if not kept:
                    return None
                if len(kept) < len(domains[other]):
                    domains = {**domains, other: kept}
                    pending.append(other)
        return domains

    def _may_beat(self, one: Option, loads: dict[str, int], joules: float, held: dict[str, int]) -> bool:
        assert self.key is not None
        ticks = max(*loads.values(), loads[one.node.unit] + one.ticks)
        joules += one.least_j + self.leak_j * ticks
        return beats(key_by(self.objective, ticks, joules, sum(held.values())), self.key)

    def _supported(self, name: str, node: Compute, other: str, domains: Domains) -> bool:
        """Whether a node goes with the choice of a neighbour, or with some node that is left to it."""
        einsum, beside = self.einsums[name], self.einsums[other]
        for maker, reader in ((einsum, beside), (beside, einsum)):
            if all(access.tensor != maker.name for access in reader.reads):
                continue
            chosen = self.chosen.get(other)
            mine = maker is einsum
            if chosen is not None:
                if mine:
                    fine = self._found(maker, node, reader, chosen[0])
                else:
                    fine = self.space.serves(maker.name, chosen, reader, node)
            elif mine:
                fine = any(self._found(maker, node, reader, one.node) for one in domains[other])
            else:
                fine = any(self._found(maker, one.node, reader, node) for one in domains[other])
            if not fine:
                return False
        return True

    def _found(self, maker: Einsum, made: Compute, reader: Einsum, node: Compute) -> bool:
        """Whether some home of a tensor serves its reader."""
        key = (maker.name, id(made), reader.name, id(node))
        if key not in self._homed:
            self._homed[key] = any(
                self.space.serves(maker.name, (made, home), reader, node) for home in self._homes(maker, made)
            )
        return self._homed[key]

    def _homes(self, einsum: Einsum, node: Compute) -> tuple[str, ...]:
        """Homes that hold at least the tensor itself."""
        homes = self.space.homes(einsum, node)
        if self.around is None:
            return homes
        size = self.model.held(einsum.name, self.around[0], self.space.least)
        return tuple(home for home in homes if self.model.fits({home: size}))

    def _grow(self, domains: Domains, sofar: Sums) -> None:
        self.look()
        if not domains:
            self._finish()
            return
        name = min(domains, key=lambda one: (len(domains[one]), self.rank[one]))
        einsum = self.einsums[name]
        rest = {other: mine for other, mine in domains.items() if other != name}
        for one in domains[name]:
            loads, joules, held = sofar
            loads = {**loads, one.node.unit: loads[one.node.unit] + one.ticks}
            for home in self._homes(einsum, one.node):
                self.chosen[name] = (one.node, home)
                if self.space.agree(self.chosen, einsum):
                    after = self._added(name, home, (loads, joules + one.joules, held))
                    if after is not None and self._bounded(rest, after):
                        left = self._consistent(rest, after, (name,))
                        if left is not None and self._bounded(left, after):
                            self._grow(left, after)
                del self.chosen[name]

    def _added(self, name: str, home: str, sofar: Sums) -> Sums | None:
        """Add what a choice decides: bytes, and accesses of which both the unit and the home are known."""
        loads, joules, held = sofar
        if self.around is not None:
            size = self.model.held(name, self.around[0], self.space.least)
            held = {**held, home: held.get(home, 0) + size}
            if not self.model.fits(held) or sum(held.values()) > self.within:
                return None
        parts = self._accesses(name, home)
        return _sums(loads, parts), joules + sum(part.joules for part in parts), held

    def _accesses(self, name: str, home: str) -> list[CostTerm]:
        """Accesses that a choice settles, those that may turn out to be chained left out."""
        einsum = self.space.cascade.einsum(name)
        node = self.chosen[name][0]
        found = [self.model.touch(node, name, home, self.counts)]
        for tensor in dict.fromkeys(access.tensor for access in einsum.reads if access.tensor != name):
            if tensor in self.inputs:
                found.append(self.model.touch(node, tensor, self.inputs[tensor], self.counts))
            elif tensor in self.chosen and not self._maybe_chained(tensor, einsum.name):
                found.append(self.model.touch(node, tensor, self.chosen[tensor][1], self.counts))
        for reader in self.group.readers(name):
            chosen = self.chosen.get(reader.name)
            if chosen is not None and reader.name != name and not self._maybe_chained(name, reader.name):
                found.append(self.model.touch(chosen[0], name, home, self.counts))
        for maker, reads in self.over[name]:  # chains that this Einsum now stands in the way of
            if maker in self.chosen and reads in self.chosen and self.chosen[maker][0].unit == node.unit:
                self.chosen.pop(name)
                waited = self._maybe_chained(maker, reads)
                self.chosen[name] = (node, home)
                if waited:
                    other, where = self.chosen[reads][0], self.chosen[maker][1]
                    found.append(self.model.touch(other, maker, where, self.counts))
        if name in self.group.outputs:
            found.append(self.model.store(name, home, self.counts))
        return found

    def _maybe_chained(self, maker: str, reader: str) -> bool:
        """Whether a read may still be chained: nothing on the unit stands between, and layouts are alike."""
        if (maker, reader) not in self.between:
            return False
        made, node = self.chosen[maker][0], self.chosen[reader][0]
        if made.unit != node.unit:
            return False
        for name in self.between[maker, reader]:
            if name in self.chosen and self.chosen[name][0].unit == node.unit:
                return False
        space = self.space
        alike = space.spread(made, self.einsums[maker], maker)
        return alike == space.spread(node, self.einsums[reader], maker)

    def _finish(self) -> None:
        picked = [self.chosen[name] for name in self.einsums]
        nodes = tuple(node for node, _ in picked)
        homes = {name: home for name, (_, home) in self.chosen.items()}
        parts = self.model.parts(nodes, {**homes, **self.inputs}, self.counts)
        loads = _sums(self.start[0], parts)
        busiest = max(loads.values())
        joules = self.start[1] + sum(part.joules for part in parts)
        before = self.key
        least = key_by(self.objective, busiest, joules + self.leak_j * busiest, 0)
        if self.key is not None and not beats(least, self.key):
            return
        if self.around is None:
            self.key = least
            self._improved(before)
            return
        tiling, places, _ = self.around
        assignment = Assignment(nodes=nodes, homes=tuple(home for _, home in picked))
        for sets in sorted({schedule.sets for schedule in self.space.schedules}, reverse=True):
            for schedule in self.space.schedules:
                if schedule.sets == sets and self._try(tiling, places, assignment, schedule, busiest, joules):
                    break  # more tiles in flight gain nothing
        self._improved(before)

    def _try(
        self, tiling: Tiling, places: tuple[Retention, ...], assignment: Assignment, schedule: Pipelining,
        busiest: int, joules: float,
    ) -> bool:  # fmt: skip
        """Judge one schedule; true where its tiles follow as fast as the busiest engine lets them."""
        held = dict(self.start[2])
        for home, size in self.model.held_made(assignment, tiling, schedule):
            held[home] = held.get(home, 0) + size
        if not self.model.fits(held) or sum(held.values()) > self.within:
            return False
        homes = {**dict(zip(self.group.made, assignment.homes, strict=True)), **self.inputs}
        ticks = self.model.timed(assignment.nodes, homes, tiling, self.counts, schedule, busiest)
        total = joules + self.leak_j * ticks
        key = key_by(self.objective, ticks, total, sum(held.values()))
        if self.key is None or beats(key, self.key):
            self.key, self.ticks, self.joules, self.held = key, ticks, total, sum(held.values())
            self.point = StatefulPoint(tiling=tiling, places=places, assignment=assignment, schedule=schedule)
        return schedule.interleaved and ticks == busiest and self.objective != "buffer"


def _sums(loads: dict[str, int], parts: list[CostTerm]) -> dict[str, int]:
    total = dict(loads)
    for part in parts:
        for engine, ticks in part.ticks:
            total[engine] = total.get(engine, 0) + ticks
    return total
