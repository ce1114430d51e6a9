"""Groups of neighbouring Einsums: which there are, what may stand around them, and the cuts into them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.mapper.beside import product_of, size_of
from einsim.dataflow.mapper.nest import Inside, Pin, alike, operands, plain, ways_of
from einsim.dataflow.mapper.vectors import TileSpace
from einsim.dataflow.mapping import Compute
from einsim.dataflow.mask import mask_of
from einsim.dataflow.templates.blocks import blocks
from einsim.workloads.ahead import dependences, in_place, trail
from einsim.workloads.cascade import Cascade, Einsum

#: Einsums that a group with state may have besides those that make and read it step by step.
BESIDE = 2


class Groups(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Groups of Einsums that run as a pipeline inside shared loops, and the choices around them.

    `leaves` are the units and layouts of an Einsum in a group with a step; `resident` tensors stay in the
    `global_buffer`. A group of more than `most_fused` Einsums is a run, of `longest` at most. What hangs on
    no resident is `known` once it is found.
    """

    cascade: Cascade
    machine: Machine
    leaves: Callable[[Einsum, str], tuple[Compute, ...]]
    tiles: TileSpace
    resident: frozenset[str]
    global_buffer: str
    most_fused: int
    longest: int
    known: dict[tuple[object, ...], Any]

    def _once(self, find: Callable[..., Any], *facts: Any) -> Any:
        """What is found of some facts, which parts of a space with other residents share."""
        key = (find.__name__, *facts)
        if key not in self.known:
            self.known[key] = find(*facts)
        return self.known[key]

    def every(self, einsums: tuple[Einsum, ...]) -> Iterator[tuple[Einsum, ...]]:
        """Every group of neighbours among the Einsums, which stand in the order that groups are cut from."""
        ends = self._once(self._ends, einsums) if self.longest > self.most_fused > 1 else set()
        for first, last in itertools.combinations(range(len(einsums) + 1), 2):
            group = einsums[first:last]
            if self.large(group):
                if {first, last} <= ends and self._runs(group):
                    yield group
            elif self.fusible(group):
                yield group

    def large(self, group: tuple[Einsum, ...]) -> bool:
        """Whether a group has more Einsums than those that are fused in every way."""
        if len(group) <= self.most_fused:
            return False
        size = size_of(self.cascade, group) if self.most_fused > 1 else len(group)
        return size > max(self.most_fused, self.most(group))

    def _ends(self, einsums: tuple[Einsum, ...]) -> set[int]:
        """Where runs begin and end: before a product, behind it and what belongs with it, and where as many
        as may share a rank begin or end.
        """
        found = {0, len(einsums)}
        for at, (before, after) in enumerate(itertools.pairwise(einsums), 1):
            behind = before.contracts or product_of(self.cascade, before)
            if after.contracts or (behind and not product_of(self.cascade, after)):
                found.add(at)
        for rank in {rank for einsum in einsums for rank in einsum.ranks}:
            reached = 0
            for first in range(len(einsums)):
                last = first
                while last < len(einsums) and self._shareable(rank, einsums[first : last + 1]):
                    last += 1
                if last > reached and last - first > self.most_fused:
                    found |= {first, last}
                reached = max(reached, last)
        return found

    def _runs(self, group: tuple[Einsum, ...]) -> bool:
        """Whether a large group may be one: without state, and with some rank that is a loop of all."""
        return (
            len(group) <= self.longest
            and not any(einsum.name in block for einsum in group for block in self._recurrent)
            and self._plainly(group)
            and any(self._shareable(rank, group) for rank in group[0].ranks)
        )

    def fusible(self, group: tuple[Einsum, ...]) -> bool:
        """Whether a group may be one: each Einsum after the first shares a tensor with one before it (around
        a state with any), since fusing strangers gains nothing that the groups' order does not. None of
        several may read at shifted or partial indices, so need more than was just made, or a result that the
        group passes on be resident. A state is made and read step by step in one group, all of which walks
        its steps.
        """
        names = {einsum.name for einsum in group}
        if any(block & names and not block <= names for block in self._recurrent):
            return False
        step = self.step(group)
        if step is None or (step and not self._steps(group, step)):
            return False
        if len(group) == 1 and not step:
            return True
        for at, einsum in enumerate(group):
            others = tuple(one for one in group if one is not einsum) if step else group[:at]
            if others and not self._share(einsum, others):
                return False
        return self._plainly(group)

    def _plainly(self, group: tuple[Einsum, ...]) -> bool:
        """Whether a group reads no shifted or partial indices, and no result of its own that is resident."""
        resident = {einsum.name for einsum in group} & self.resident_in(group)
        return all(
            self._once(self._plain, einsum.name) and not any(a.tensor in resident for a in einsum.reads)
            for einsum in group
        )

    def _plain(self, einsum: str) -> bool:
        one = self.cascade.einsum(einsum)
        return all(plain(self.cascade, access) for access in (*one.reads, one.output))

    def _share(self, einsum: Einsum, others: tuple[Einsum, ...]) -> bool:
        """Whether an Einsum makes what others read, reads what they make or reads alike with one of them."""
        reads = {access.tensor for access in einsum.reads}
        return any(
            one.name in reads
            or any(access.tensor == einsum.name for access in one.reads)
            or any(alike(self.cascade, name, (one, einsum)) for name in reads - self.resident)
            for one in others
        )

    def most(self, group: tuple[Einsum, ...]) -> int:
        """How many Einsums a group may have that begins like this, because of the state in it."""
        names = {einsum.name for einsum in group}
        return max((len(block) + BESIDE for block in self._recurrent if block <= names), default=0)

    @cached_property
    def _recurrent(self) -> tuple[frozenset[str], ...]:
        """The smallest blocks of Einsums that make and read a state step by step."""
        every = blocks(self.cascade)
        return tuple(frozenset(e.name for e in b) for b in every if any(e.iterative for e in b))

    def step(self, group: tuple[Einsum, ...]) -> str | None:
        """The rank along which a group carries state: "" where along none, None where along several."""
        ranks = {rank for einsum in group for rank in einsum.iterative}
        return None if len(ranks) > 1 else next(iter(ranks), "")

    def _steps(self, group: tuple[Einsum, ...], step: str) -> bool:
        """Whether all of a group may walk a rank together, point by point, keeping a step of each state."""
        edges = [edge for edge in dependences(self.cascade) if edge.writer in group and edge.reader in group]
        states = [einsum for einsum in group if einsum.iterative]
        return (
            all(step in einsum.ranks and step not in einsum.reduced for einsum in group)
            and all(self.cascade.overwritten.get(one.name) == one.iterative for one in states)
            and all(trail(self.cascade, edge, step, {}) <= 0 for edge in edges)
            and all(edge.writer in states or in_place(self.cascade, edge, step, {}) for edge in edges)
        )

    def resident_in(self, group: tuple[Einsum, ...]) -> frozenset[str]:
        """What of the resident tensors a group touches, but for those that it alone makes and reads."""
        touched = {name for e in group for name in (e.name, *(a.tensor for a in e.reads))}
        return frozenset(name for name in self.resident & touched if not self._inner(name, group))

    def _inner(self, name: str, group: tuple[Einsum, ...]) -> bool:
        """Whether a group makes a tensor that only it reads, in another of its Einsums."""
        readers = self.cascade.consumers(name)
        made = self.cascade.producer(name) in group and not self.cascade.is_output(name)
        return made and bool(readers) and all(einsum in group for einsum in readers)

    def insides(self, group: tuple[Einsum, ...]) -> Iterator[Inside]:
        """Shared loops (in every order) and what stays around the pipeline, for a group."""
        resident = self.resident_in(group)
        around = Inside(resident=resident, global_buffer=self.global_buffer if resident else "")
        step = self.step(group) or ""
        if len(group) == 1 and not step:
            yield around
            return
        around = msgspec.structs.replace(around, step=step)
        reads = [operand.tensor for e in group for operand in operands(self.cascade, e)[:-1]]
        made = {einsum.name for einsum in group}
        several = frozenset(name for name in reads if name not in made and reads.count(name) > 1)
        ranks = [rank for rank in group[0].ranks if rank != step and self._shareable(rank, group)]
        large = self.large(group)
        for count in range(large, len(ranks) + 1):
            for chosen in itertools.combinations(ranks, count):
                for shared in self._shared_orders(group, (*chosen, step) if step else chosen):
                    every = [self._fused(group, e, shared, step) for e in group if e.name in reads]
                    inputs = [self._pinned(group, name, shared, step) for name in sorted(several - resident)]
                    for pins in (
                        dict.fromkeys(_alike(every, inputs)) if large else itertools.product(*every, *inputs)
                    ):
                        found = tuple(pin for pin in pins if pin is not None)
                        common = several - {pin.tensor for pin in found}
                        for core in self._cores(group, found):
                            yield msgspec.structs.replace(
                                around, shared=shared, pins=found, common=common, core=core
                            )

    def _fused(
        self, group: tuple[Einsum, ...], maker: Einsum, shared: tuple[str, ...], step: str
    ) -> list[Pin | None]:
        """Where a result that the group reads may stay: below all its loops, a state around its steps."""
        name, depth = maker.name, shared.index(step) if maker.iterative else len(shared)
        readers = [einsum for einsum in group if any(a.tensor == name for a in einsum.reads)]
        leaves = self.cascade.is_output(name) or any(e not in group for e in self.cascade.consumers(name))
        return [
            Pin(name, memory, depth, name, leaves) for memory in self._memories(name, (maker, *readers), step)
        ]

    def _pinned(
        self, group: tuple[Einsum, ...], name: str, shared: tuple[str, ...], step: str
    ) -> list[Pin | None]:
        """Where what several Einsums of a group read may stay for all of them, or None: each has its own. It
        stands right above a loop that does not move it, or innermost.
        """
        readers = alike(self.cascade, name, group)
        if not readers:
            return [None]
        (moved,) = {one.moved for one in operands(self.cascade, readers[0]) if one.tensor == name}
        depths = [
            at for at in range(len(shared) + 1)
            if (at == 0 or shared[at - 1] in moved) and (at == len(shared) or shared[at] not in moved)
        ]  # fmt: skip
        places = itertools.product(self._memories(name, readers, step), depths)
        return [None, *(Pin(name, memory, depth, readers[0].name) for memory, depth in places)]

    def _memories(self, name: str, touching: tuple[Einsum, ...], step: str) -> list[str]:
        """Memories on the way of a tensor to some unit of each Einsum that touches it, outermost first."""
        every = [self._once(self._on_way, name, einsum.name, step) for einsum in touching]
        return [memory for memory in every[0] if all(memory in each for each in every)]

    def _on_way(self, tensor: str, einsum: str, step: str) -> dict[str, None]:
        nodes = self.leaves(self.cascade.einsum(einsum), step)
        ways = (way for node in nodes for way in ways_of(self.cascade, self.machine, node, tensor))
        return dict.fromkeys(itertools.chain.from_iterable(ways))

    def _cores(self, group: tuple[Einsum, ...], pins: tuple[Pin, ...]) -> tuple[str, ...]:
        """Ranks that may lie along the cores of a whole group, where some tensor stays in each core."""
        apart = {pin.tensor for pin in pins if self.machine.memory(pin.memory).copies > 1}
        if not apart:
            return ("",)
        made = apart & {einsum.name for einsum in group}
        reads = [one for einsum in group for one in operands(self.cascade, einsum) if one.tensor in made]
        return tuple(
            rank
            for rank in group[0].output.ranks
            if self.cascade.size(rank) > 1
            and all(rank in e.output.ranks and rank not in e.iterative for e in group)
            and all(rank in operand.moved for operand in reads)
        )

    def _shareable(self, rank: str, group: tuple[Einsum, ...]) -> bool:
        """Whether a loop over a rank may hold a group: one pass for all, which read what it just made."""
        if any(rank not in einsum.ranks for einsum in group) or not self.tiles.splits(rank):
            return False
        names, barred = {einsum.name for einsum in group}, self._once(self._barred, rank)
        return not any(one in names and other in names for one, other in barred)

    def _barred(self, rank: str) -> list[tuple[str, str]]:
        """What is made at other points of a rank than it is read at, and by whom."""
        edges = dependences(self.cascade)
        return [
            (edge.writer.name, edge.reader.name) for edge in edges
            if rank in edge.writer.ranks and rank in edge.reader.ranks
            and not in_place(self.cascade, edge, rank, {})
        ]  # fmt: skip

    def _shared_orders(self, group: tuple[Einsum, ...], ranks: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        """Orders of shared loops: ranks that move every tensor of the group stand outermost, and neighbours
        that move the same tensors as they are named, unless bounds tie them: the other order is the same.
        """
        tensors = [operand for einsum in group for operand in operands(self.cascade, einsum)]
        kinds = {rank: tuple(rank in operand.moved for operand in tensors) for rank in ranks}
        every = [rank for rank in ranks if all(kinds[rank])]
        tied = {rank for einsum in group for rank in mask_of(self.cascade, einsum.ranks).tied}
        for order in itertools.permutations([rank for rank in ranks if rank not in every]):
            if not any(
                kinds[one] == kinds[two] and ranks.index(one) > ranks.index(two) and not tied & {one, two}
                for one, two in itertools.pairwise(order)
            ):
                yield (*every, *order)


def _alike(every: list[list[Pin | None]], inputs: list[list[Pin | None]]) -> Iterator[tuple[Pin | None, ...]]:
    """The pins of a run: each result in the outermost or each in the innermost memory that all who use it
    share; each input that several read by themselves, or each there, as many loops in as it may be.
    """
    for end in (0, -1) if all(every) else ():
        results = [pins[end] for pins in every]
        yield (*results, *(None for _ in inputs))
        if any(map(any, inputs)):
            yield (*results, *(_deepest([pin for pin in pins if pin], end) for pins in inputs))


def _deepest(pins: list[Pin], end: int) -> Pin | None:
    """The pin that most loops are around, in the first or last memory of some pins."""
    return [pin for pin in pins if pin.memory == pins[end].memory][-1] if pins else None


def cuts(names: tuple[str, ...], groups: frozenset[tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Every way to cut `names` into allowed groups."""
    if not names:
        yield ()
        return
    for count in range(1, len(names) + 1):
        if names[:count] in groups:
            for rest in cuts(names[count:], groups):
                yield (names[:count], *rest)
