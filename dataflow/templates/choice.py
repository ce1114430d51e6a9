"""The best point of the fixed list of a block: by the bound with heads and tails, among those that fit."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from functools import cache, partial
from typing import Final, NamedTuple

import msgspec
import numpy as np

from einsim.accel.machine import Machine
from einsim.dataflow.held import room_of
from einsim.dataflow.holds import levels, levels_to
from einsim.dataflow.legality import check
from einsim.dataflow.mapping import Compute, Keep, Loop, Node
from einsim.dataflow.mapping import Mapping as LoopTree
from einsim.dataflow.spatial import computing
from einsim.dataflow.structure import alike
from einsim.dataflow.templates.attention import Fused
from einsim.dataflow.templates.blocks import part_of
from einsim.dataflow.templates.listed import Known, cost_of
from einsim.dataflow.templates.outline import Run, common_memory, outline
from einsim.dataflow.templates.room import Stays
from einsim.dataflow.templates.worth import worth_of
from einsim.specs.arrays import Floats
from einsim.specs.errors import EinsimError
from einsim.specs.progress import telling
from einsim.specs.remembered import Remembered
from einsim.workloads.cascade import Cascade


class Chosen(NamedTuple):
    """A point of a list, or of the templates' trees (from -1 down), its buffers, its costs as `cost_of` has
    them, and what each memory holds.
    """

    at: int
    buffers: int
    costs: tuple[float, float, float]
    held: dict[str, int]

    @property
    def rank(self) -> tuple[float, float, float, int, int]:
        """What it is chosen by: the least of it."""
        return *self.costs, sum(self.held.values()), self.at


class BestPoints:
    """The best points of lists on a machine by an objective: of a list the same for all runs that are alike,
    of all cascades.
    """

    def __init__(self, machine: Machine, objective: str) -> None:
        self.worth, self.capacity = worth_of(machine, objective), room_of(machine)
        self.memory = common_memory(machine)
        self.rooms = cache(self._rooms)
        self._floors = Remembered[Floats](20_000)
        self._found = Remembered[Chosen | None](20_000)

    def floors(self, known: Known, stays: Stays, size: int) -> Floats:
        """What each nest of a list costs at least where some tensors stay, `size` bytes."""
        single = ~known.fitting(stays, self.rooms(size), buffers=2)
        key = known, single.tobytes(), *stays
        return self._floors.get(key, lambda: known.table(stays).floors(self.worth, single))

    def least(self, known: Known, stays: Stays, size: int) -> float:
        """What the best point costs at least."""
        if (fitting := known.fitting(stays, self.rooms(size))).any():
            return float(self.floors(known, stays, size)[fitting].min())
        if known.smaller and known.fitting(stays, self.rooms(size), smaller=True).any():
            return float(self.floors(known, stays, size).min())
        return math.inf

    def best(self, known: Known, stays: Stays, size: int) -> Chosen | None:
        """The best point that fits beside what stays, `size` bytes, of several the one that moves and holds
        least, so that more room changes nothing where it gains nothing; else the first of the smaller ones,
        which counts no less than the list costs at least: that stands for it until it is known.
        """
        return self._found.get((known, size, *stays), partial(self._best, known, stays, size))

    def _best(self, known: Known, stays: Stays, size: int) -> Chosen | None:
        fitting, found = np.flatnonzero(known.fitting(stays, self.rooms(size))), None
        floors = self.floors(known, stays, size) if len(fitting) else np.zeros(0)
        for at in fitting[np.argsort(floors[fitting], kind="stable")].tolist():
            if found is not None and floors[at] >= found.costs[0]:
                break
            one = self._point(known, at, stays, size)
            if one is not None and (found is None or one.rank < found.rank):
                found = one
        if found is not None or not known.smaller:
            return found
        places = np.flatnonzero(known.fitting(stays, self.rooms(size), smaller=True)) + len(known.nests)
        one = next(filter(None, (self._point(known, at, stays, size) for at in places.tolist())), None)
        least = self.least(known, stays, size)
        return one and one._replace(costs=(max(least, one.costs[0]), *one.costs[1:]))

    def _rooms(self, size: int) -> tuple[tuple[str, float], ...]:
        """Bytes of each memory that what stays leaves."""
        rooms = ((name, math.inf if most is None else most) for name, most in self.capacity.items())
        return tuple((name, most - (size if name == self.memory else 0)) for name, most in rooms)

    def _point(self, known: Known, at: int, stays: Stays, size: int) -> Chosen | None:
        """A point with two buffers if they fit beside what stays, else with one; None where that doesn't."""
        nest = known.nest(at)
        if not stays.keys().isdisjoint(nest.nest.straight):  # it doesn't come from DRAM
            return None
        for buffers in (2, 1):
            held = nest.held(buffers, stays)
            if self.fits(held, size) and (ends := nest.ends) is not None:
                return Chosen(at, buffers, cost_of(ends, self.worth, stays, single=buffers == 1), held)
        return None

    def fits(self, held: Mapping[str, float], size: int) -> bool:
        """Whether bytes fit in all memories beside what stays."""
        rooms = dict(self.rooms(size))
        return all(need <= rooms[name] for name, need in held.items())


_POINTS: Final = Remembered[BestPoints](8)


Key = tuple[Hashable, tuple[int, ...]]
"""What runs that are alike have in common, and which of their names are of tensors that stay on chip."""


class Chooser:
    """Choices for the runs of a cascade's blocks on a machine, where some tensors stay on chip: `names` and
    their bytes `size`. Runs that are alike share one; those of templates have their own.
    """

    def __init__(
        self, cascade: Cascade, machine: Machine, fused: tuple[Fused, ...], objective: str, many: int
    ) -> None:
        self.cascade, self.machine = cascade, machine
        key = msgspec.msgpack.encode(machine), objective
        self.points = _POINTS.get(key, partial(BestPoints, machine, objective))
        self.worth, self.capacity, self.fits = self.points.worth, self.points.capacity, self.points.fits
        for einsum in telling("placing", cascade.einsums):
            computing(cascade, machine, einsum)  # before what is remembered for all machines alike, nameless
        structure, name = alike(machine)
        groups = tuple(dict.fromkeys(one.names for one in fused))
        self.outline = outline(cascade, structure, name, groups, many)
        by_names: dict[tuple[str, ...], list[Fused]] = {}
        for one in fused:
            by_names.setdefault(one.names, []).append(one)
        self.fused = {run: by_names[group] for run, group in self.outline.fused.items()}
        self.news: list[Key] = []  # of what more has become known, in turn
        self._floors: dict[Key, float] = {}  # of units and DRAM, whatever the nest
        self._looked: set[Key] = set()
        self._least: dict[tuple[Key, int], float] = {}  # of the list's nests
        self._found: dict[tuple[object, ...], Chosen | None] = {}
        self._costs: dict[tuple[object, ...], float] = {}  # of what is settled
        self.key, self.work = cache(self._key), cache(self._work)

    def _key(self, run: Run, names: frozenset[str]) -> Key:
        kind = run if run in self.fused else self.outline.kind(run)
        return kind, tuple(at for at, name in enumerate(self.outline.listing(run).names) if name in names)

    def cost(self, run: Run, names: frozenset[str], size: int) -> float:
        """What a run costs where some tensors stay, or no more than that until it is settled."""
        key = self.key(run, names)
        if (known := self._costs.get((key, size))) is not None:
            return known
        free = (key, 0) in self._found
        if not free and not self._listed(run):
            free = self.settle(run, names, size)
        if free and ((key, size) in self._found or self._settled(key, size)):
            found = self._found[key, size]
            return self._costs.setdefault((key, size), math.inf if found is None else found.costs[0])
        if run in self.fused or key not in self._looked:
            return self._floor(run, names)
        if (key, size) not in self._least:
            self._least[key, size] = self.points.least(*self._stays(run, names), size)
        return self._least[key, size]

    def _floor(self, run: Run, names: frozenset[str]) -> float:
        """What a run costs at least, whatever the nest: by its work, and by what passes DRAM."""
        if (key := self.key(run, names)) not in self._floors:
            (longest, busy), through, moved = self.work(run), dict[str, float](), 0.0
            for name, port, size in self.outline.moved(run):
                if name not in names:
                    moved += size
                    through[port] = through.get(port, 0) + size * self.worth.rates.get(port, 0)
            least, passed = max([longest, *through.values()]), {self.machine.dram.name: moved}
            self._floors[key] = self.worth.cost(least, busy + sum(through.values()), 0.0, passed) * (1 - 1e-9)
        return self._floors[key]

    def _work(self, run: Run) -> tuple[float, float]:
        """Ticks of units in which a run is computed at least, and of all of them together."""
        cycles = [self.outline.cycles[einsum.name] for einsum in self.outline.einsums(run)]
        ticks = [min(self.worth.rates[unit] * n for unit, n in one.items()) for one in cycles]
        return max([*ticks, sum(ticks) / len(self.machine.units)]), sum(ticks)

    def look(self, run: Run, names: frozenset[str]) -> bool:
        """Know by its list what a run costs at least; whether that was not known."""
        key = self.key(run, names)
        if key in self._looked or not self._listed(run):
            return False
        self._looked.add(key)
        self.news.append(key)
        return True

    def _listed(self, run: Run) -> bool:
        """Whether a run has a list, beside the templates' trees where it is theirs."""
        return run not in self.fused or run in self.outline.joined

    def settle(self, run: Run, names: frozenset[str], size: int) -> bool:
        """Compute what a run costs; whether that was not known."""
        key = self.key(run, names)
        if self._settled(key, size):
            return False
        self.news.append(key)
        for room in dict.fromkeys((0, size)):
            if not self._settled(key, room):
                found = self._of(run, key[1], room), self._listed_best(run, names, room)
                self._found[key, room] = min(filter(None, found), key=lambda one: one.rank, default=None)
        return True

    def _settled(self, key: Key, size: int) -> bool:
        """Whether it is known what a run costs: what is best where nothing else stays is, where it fits."""
        if (key, size) not in self._found and (key, 0) in self._found:
            free = self._found[key, 0]
            if free is None or self.fits(free.held, size):
                self._found[key, size] = free
        return (key, size) in self._found

    def _listed_best(self, run: Run, names: frozenset[str], size: int) -> Chosen | None:
        if not self._listed(run):
            return None
        self.look(run, names)
        return self.points.best(*self._stays(run, names), size)

    def _stays(self, run: Run, names: frozenset[str]) -> tuple[Known, dict[str, tuple[str, ...]]]:
        """A run's list, and what stays of the list's tensors with the memories that they are in then."""
        known, _ = self.outline.listed(run)
        memory = self.outline.memory
        outside = levels(self.machine, memory) if memory else ()
        return known, {known.names[at]: outside for at in self.key(run, names)[1]}

    def _of(self, run: Run, kept: tuple[int, ...], size: int) -> Chosen | None:
        """The best of a template's trees that fits."""
        fitting = (
            Chosen(-1 - at, 2, cost_of(one.ends, self.worth, {}, single=False), one.ends.program.buffers)
            for at, one in enumerate(self.fused.get(run, ()))
            if not kept and one.ends is not None and self.fits(one.ends.program.buffers, size)
        )
        return min(fitting, key=lambda one: one.rank, default=None)

    def tree(self, run: Run, names: frozenset[str], size: int) -> Node:
        """The tree of a run that is settled."""
        if (whole := self.template(run, names, size)) is not None:
            return whole.tree
        found = self._found[self.key(run, names), size]
        assert found is not None
        known, stays = self._stays(run, names)
        ours = dict(zip(known.names, self.outline.listed(run)[1], strict=True))
        tree = known.nest(found.at).tree(found.buffers, tuple((name, self.outline.memory) for name in stays))
        return renamed(tree, ours)

    def template(self, run: Run, names: frozenset[str], size: int) -> LoopTree | None:
        """The template's mapping of a run, if it is one."""
        found = self._found[self.key(run, names), size]
        return self.fused[run][-1 - found.at].mapping if found is not None and found.at < 0 else None

    def error(self, run: Run) -> EinsimError:
        """Why no nest of a run fits: the one that needs least, and what it lacks."""
        known, _ = self.outline.listed(run)
        names = ", ".join(einsum.name for einsum in self.outline.einsums(run))
        what = f"{self.machine.name}: no tile of {'Einsums' if ', ' in names else 'Einsum'} {names}"
        least: tuple[int, str] | None = None
        for nest in (*known.nests, *known.smaller):
            lacks = {
                name: (size, most)
                for name, size in nest.held(1, {}).items()
                if (most := self.capacity[name]) is not None and size > most
            }
            excess = sum(size - most for size, most in lacks.values())
            if nest.ends is not None and (least is None or excess < least[0]):
                least = excess, " and ".join(lacking(name, *room) for name, room in lacks.items())
        if least is None:
            return EinsimError(f"{what} is a legal mapping: {self._refusal(run)}")
        return EinsimError(f"{what} fits: {least[1]}")

    def _refusal(self, run: Run) -> str:
        """Why the first nest of a run is no legal mapping, by the run's own names."""
        known, ours = self.outline.listed(run)
        part = part_of(self.cascade, tuple(einsum.name for einsum in self.outline.einsums(run)))
        tree = renamed(known.nests[0].tree(2, ()), dict(zip(known.names, ours, strict=True)))
        mapping = LoopTree(cascade=part.name, machine=self.machine.name, template="", tree=tree)
        try:
            check(mapping, part, self.machine)
        except EinsimError as error:
            return f"{error}{self._apart(mapping, part)}"
        return "what it makes passes through memory outside the chip on its way to where it is read"

    def _apart(self, mapping: LoopTree, part: Cascade) -> str:
        """Which unit finds a state in another memory than it is left in, and would have to find it there."""
        nodes = {node.einsum: node for node in mapping.computes()}
        for name in (one for one in part.overwritten if one in nodes):  # others are made elsewhere
            for reader in part.consumers(name):
                maker, node = nodes[name], nodes[reader.name]
                left, found = (levels_to(part, self.machine, one, name) for one in (maker, node))
                if not {*left} & {*found}:
                    why = f"{node.unit} would have to find {name} in {left[-1]}, where {maker.unit} leaves it"
                    return f"; or {why}, not in {found[-1]}"
        return ""


def lacking(memory: str, least: int, has: int) -> str:
    """What capacity a memory would need."""
    return f"`{memory}` needs a capacity of at least {least:,} B (has {has:,})"


def renamed(node: Node, names: Mapping[str, str]) -> Node:
    """A tree of Einsums, tensors and ranks that have other names."""
    if all(name == other for name, other in names.items()):
        return node
    if isinstance(node, Compute):
        spatial = {dim: tuple(names[rank] for rank in ranks) for dim, ranks in node.spatial.items()}
        chained = tuple(names[name] for name in node.chained)
        return msgspec.structs.replace(node, einsum=names[node.einsum], spatial=spatial, chained=chained)
    if isinstance(node, Loop):
        return msgspec.structs.replace(node, rank=names[node.rank], body=renamed(node.body, names))
    if isinstance(node, Keep):
        tensors = tuple(names[name] for name in node.tensors)
        return msgspec.structs.replace(node, tensors=tensors, body=renamed(node.body, names))
    return type(node)(children=tuple(renamed(child, names) for child in node.children))
