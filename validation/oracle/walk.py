"""The walk through a LoopTree that computes every tile from what the innermost keeps hold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping as MappingType

import msgspec
import numpy as np
from numpy.typing import NDArray

from einsim.accel.machine import Machine
from einsim.dataflow.mapping import Compute, Keep, Loop, Mapping, Node, Sequence, walk
from einsim.validation.oracle.feed import feed
from einsim.validation.oracle.incoming import Incoming, steps_of
from einsim.validation.oracle.outgoing import Outgoing
from einsim.validation.oracle.points import (
    Ints,
    Points,
    Ranges,
    einsum_points,
    elements,
    point_ops,
)
from einsim.validation.oracle.store import AccessCounts, PartialSums, Place
from einsim.validation.oracle.unit import cores_ranks, cycles_a_point, latency_cycles, lay
from einsim.validation.oracle.values import GATHER, Floats, evaluate, gather
from einsim.validation.oracle.widths import issues
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.expression import Access

Inputs = MappingType[str, NDArray[np.generic]]
Places = dict[str, Place]
"""The innermost place of each tensor; DRAM is outside all."""


class Execution(msgspec.Struct, kw_only=True):
    """What a mapping computed and what that took. Cycles are of the machine's clock."""

    outputs: dict[str, NDArray[np.float64]]
    """What the cascade's outputs hold in DRAM at the end; NaN where `results` says that nobody asked."""
    results: dict[str, NDArray[np.bool_]] = msgspec.field(default_factory=dict)
    """Elements of each output that are results: all, or a state's last step."""
    points: Counter[str] = msgspec.field(default_factory=Counter)
    """Points computed by Einsum, less those that a unit skips."""
    visited: Counter[str] = msgspec.field(default_factory=Counter)
    """Points by Einsum before any is skipped: the cascade's own, when each is computed once."""
    ops: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    lanes: dict[str, Ints] = msgspec.field(default_factory=dict)
    """Points by lane of each unit."""
    books: AccessCounts = msgspec.field(default_factory=AccessCounts)
    unit_cycles: Counter[str] = msgspec.field(default_factory=Counter)
    chain_cycles: float = 0.0
    held: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """Values by memory and tensor, most at one time; of later tiles with those that are on the way."""
    missing: set[tuple[str, str]] = msgspec.field(default_factory=set)
    """(Einsum, tensor) where an operand was not where the unit looked for it."""


def run(cascade: Cascade, machine: Machine, mapping: Mapping, inputs: Inputs) -> Execution:
    """Compute a cascade as a mapping says, on values of the shapes that `cascade.shape` gives."""
    return _Walk(cascade, machine, mapping, inputs).outcome


class _Walk:
    def __init__(self, cascade: Cascade, machine: Machine, mapping: Mapping, inputs: Inputs) -> None:
        self.cascade, self.machine = cascade, machine
        self.sizes = {rank.name: rank.size for rank in cascade.ranks}
        self.outcome = Execution(outputs={})
        self.outcome.lanes = {unit.name: np.zeros(unit.pes, dtype=np.int64) for unit in machine.units}
        whole = {rank: (0, size) for rank, size in self.sizes.items()}
        self.whole = {einsum.name: einsum_points(cascade, einsum, whole) for einsum in cascade.einsums}
        self.flat = {tensor.name: math.prod(cascade.shape(tensor.name)) for tensor in cascade.tensors}
        self.undone = {name: np.zeros(size, dtype=np.int64) for name, size in self.flat.items()}
        for einsum in cascade.einsums:
            np.add.at(self.undone[einsum.name], elements(cascade, einsum.output, self.whole[einsum.name]), 1)
        self.total = {name: counts.copy() for name, counts in self.undone.items()}
        self.standing = {name: self._standing(name) for name in self.flat}
        self.outgoing = Outgoing(cascade, self.whole, self.standing, self.total, self.undone)
        self.given = {name: self._given(name) for name in self.flat}
        self.ready = {name: np.zeros(size) for name, size in self.flat.items()}
        self.ended: dict[int, float] = {}
        self.kept: set[int] = set()
        self.stamps: dict[tuple[object, ...], int] = {}  # tiles of results, by their place
        self.latest: Places = {}  # each Einsum's last tile, in its unit's registers
        leaves = [node for node, _ in walk(mapping.tree) if isinstance(node, Compute)]
        self.sum_bits = {
            leaf.einsum: max(cascade.tensor(leaf.einsum).bits, machine.unit(leaf.unit).accumulator_bits or 0)
            for leaf in leaves if cascade.einsum(leaf.einsum).reduce == "sum"
        }  # fmt: skip
        self.join = {  # of what several cores reduce
            leaf.einsum: GATHER[einsum.reduce or "sum"][1]
            for leaf in leaves for einsum in (cascade.einsum(leaf.einsum),)
            if any(self.sizes[rank] > 1 for rank in {*cores_ranks(leaf)} & {*einsum.reduced})
        }  # fmt: skip
        results = {tensor.name for tensor in cascade.outputs}
        self.passed_on = {  # read from the registers by all that read it
            name: name not in results
            and all(name in leaf.chained for leaf in leaves for read in cascade.einsum(leaf.einsum).reads
                    if read.tensor == name)
            for name in self.flat
        }  # fmt: skip
        dram = {name: self._place(name, machine.dram.name, None) for name in self.flat}
        for tensor in cascade.inputs:
            dram[tensor.name].put(
                np.zeros(self.flat[tensor.name], dtype=np.int64), np.arange(self.flat[tensor.name]),
                np.asarray(inputs[tensor.name], dtype=np.float64).reshape(-1),
            )  # fmt: skip
        self.incoming = Incoming(cascade, machine, (mapping.tree, whole), self.given, self.elements)
        self.outcome.chain_cycles = self.visit(mapping.tree, whole, dram, 0.0)
        for leaf in leaves:
            if merged := self.outcome.books.merged[leaf.einsum]:
                self.outcome.ops[leaf.unit, point_ops(cascade.einsum(leaf.einsum))[-1]] += merged
        self.outcome.outputs = {
            tensor.name: dram[tensor.name]
            .values[0, self.standing[tensor.name]]
            .reshape(cascade.shape(tensor.name))
            for tensor in cascade.outputs
        }
        self.outcome.results = {
            tensor.name: self.outgoing.last(tensor.name).reshape(cascade.shape(tensor.name))
            for tensor in cascade.outputs
        }

    def _standing(self, tensor: str) -> Ints:
        """The element that stands for each: of a step that the bounds leave out, that of the step before."""
        found, producer = np.arange(self.flat[tensor]), self.cascade.producer(tensor)
        indices = producer.output.indices if producer is not None and producer.iterative else ()
        stepped = [dim for dim, index in enumerate(indices) if index.terms and index.offset == 1]
        if not stepped:
            return found
        shape = self.cascade.shape(tensor)
        before = np.indices(shape).reshape(len(shape), -1)
        before[stepped] -= 1
        left_out = (self.total[tensor] == 0) & (before[stepped] >= 0).all(axis=0)
        for element in np.flatnonzero(left_out):  # in the order of steps
            found[element] = found[np.ravel_multi_index(tuple(before[:, element]), shape)]
        return found

    def elements(self, access: Access, points: Points, *, clip: bool = False) -> Ints:
        """What each point accesses, by its place in the tensor."""
        return self.standing[access.tensor][elements(self.cascade, access, points, clip=clip)]

    def _given(self, tensor: str) -> Floats:
        """Values that are known without being moved: initial state, and 0 where no point computes."""
        found = np.full(self.flat[tensor], math.nan)
        einsum = self.cascade.producer(tensor)
        if einsum is None:
            return found
        if not einsum.iterative:
            found[self.total[tensor] == 0] = 0.0
            return found
        where = np.indices(self.cascade.shape(tensor)).reshape(len(self.cascade.shape(tensor)), -1)
        for index, places in zip(einsum.output.indices, where, strict=True):
            if index.terms and index.offset == 1:
                found[places == 0] = self.cascade.initial[tensor]
        return found

    def _place(self, tensor: str, memory: str, outer: Place | None, spill: float = 0.0) -> Place:
        bits = self.cascade.tensor(tensor).bits
        sums = PartialSums(
            partial_bits=self.sum_bits.get(tensor, bits), bits=bits,
            total=self.total[tensor], undone=self.undone[tensor],
        )  # fmt: skip
        return Place(
            self.cascade, self.machine, self.outcome.books, tensor, memory, outer, self.given[tensor], sums,
            spill, self.join.get(tensor),
        )  # fmt: skip

    def visit(self, node: Node, ranges: Ranges, places: Places, after: float) -> float:
        """Run a node on a box, not before `after`; the earliest cycle at which all of it can have ended."""
        if isinstance(node, Compute):
            return self.compute(node, ranges, places, after)
        if isinstance(node, Loop):
            start, stop = ranges[node.rank]
            ends = [after]
            for low in range(start, stop, node.tile):
                tile = {**ranges, node.rank: (low, min(low + node.tile, stop))}
                ends.append(self.visit(node.body, tile, places, after))
            return max(ends)
        if isinstance(node, Keep):
            return self.keep(node, ranges, places, after)
        if isinstance(node, Sequence):
            now = max(after, self.ended.get(id(node), 0.0))  # the iteration before has ended
            for child in node.children:
                now = self.visit(child, ranges, places, now)
            self.ended[id(node)] = now
            return now
        return max(self.visit(child, ranges, places, after) for child in node.children)

    def keep(self, node: Keep, ranges: Ranges, places: Places, after: float) -> float:
        """Tiles begin empty, fill as leaves below ask, and end by handing out what is still wanted."""
        if node.memory == self.machine.dram.name:
            return self.visit(node.body, ranges, places, after)
        mine = {name: self._place(name, node.memory, places[name], node.spill) for name in node.tensors}
        if node.overlay:
            self._overlay(node, ranges, mine)
        for name in node.stays:  # inputs are there
            mine[name].stay(places[name])
        for place in mine.values():
            self.incoming.arrange(node, ranges, place)
        end = self.visit(node.body, ranges, {**places, **mine}, after)
        inside = {leaf.einsum for leaf, _ in walk(node) if isinstance(leaf, Compute)}
        tiles = node.buffers if id(node) in self.kept else 1  # a next tile fills while this one is used
        self.kept.add(id(node))
        for name, place in mine.items():
            size = int(place.there.sum() - (~np.isnan(self.given[name])).sum() * place.cores)
            self.outcome.held[node.memory, name] = max(self.outcome.held[node.memory, name], size * tiles)
            if name in node.stays:
                places[name].stay(place)
            else:
                place.leave(self.outgoing.wanted(place, inside))
        return end

    def _overlay(self, node: Keep, ranges: Ranges, mine: Places) -> None:
        """Each tensor's tile lies from the first of the shared bytes on, in the order of its dimensions."""
        offsets = {}
        leaves = [self.cascade.einsum(leaf.einsum) for leaf, _ in walk(node) if isinstance(leaf, Compute)]
        for name in mine:
            touched = np.zeros(self.flat[name], dtype=bool)
            for einsum in leaves:
                points = einsum_points(self.cascade, einsum, ranges)
                for access in (*einsum.reads, einsum.output):
                    if access.tensor == name:
                        touched[self.elements(access, points)] = True
            offsets[name] = np.full(self.flat[name], -1)
            shape = (1, *self.cascade.shape(name))  # a scalar has no dimension of its own
            where = np.stack(np.unravel_index(np.flatnonzero(touched), shape))
            offsets[name][touched] = np.ravel_multi_index(
                tuple(where - where.min(axis=1, keepdims=True)), tuple(np.ptp(where, axis=1) + 1)
            ) if touched.any() else 0  # fmt: skip
        for name, place in mine.items():
            place.beside = [(mine[o], offsets[name], offsets[o]) for o in mine if o != name]

    def compute(self, node: Compute, ranges: Ranges, places: Places, after: float) -> float:
        """One tile; of an Einsum that reads its own state, one step of it after the other."""
        einsum = self.cascade.einsum(node.einsum)
        return max(self._tile(node, einsum, box, places, after) for box in steps_of(einsum, ranges))

    def _tile(self, node: Compute, einsum: Einsum, box: Ranges, places: Places, after: float) -> float:
        points = einsum_points(self.cascade, einsum, box)
        if not points.count:
            return after
        over = self.cascade.overwritten.get(einsum.name, ())  # a step takes the place of the one before
        written = (einsum.name, *(box[rank] for rank in einsum.output.ranks if rank not in over))
        stamp = self.stamps.setdefault(written, len(self.stamps) + 1)
        outcome, unit = self.outcome, self.machine.unit(node.unit)
        laid = lay(self.cascade, self.machine, einsum, node, points, box)
        touched = {access: self.elements(access, points) for access in (*einsum.reads, einsum.output)}
        target = touched[einsum.output]
        again = (self.undone[einsum.name] < self.total[einsum.name])[
            target
        ]  # earlier tiles left a partial sum
        held = not self.passed_on[einsum.name] or places[einsum.name].outer is not None
        left = self.undone[einsum.name].copy()
        np.subtract.at(left, target, 1)
        feed(
            einsum, node, laid, touched, again, left[target] == 0, places, outcome.books, results=held,
            parts=einsum.name in self.join,
        )  # fmt: skip

        def read(access: Access) -> Floats:
            chained = self.latest if access.tensor in node.chained else places
            return self._look(einsum, access.tensor, chained, laid.core, touched[access])

        with np.errstate(all="ignore"):
            value = evaluate(einsum.expr, points, read, self.sizes)
        place, made = places[einsum.name], np.unique(target)
        before = np.full(self.flat[einsum.name], GATHER[einsum.reduce][0] if einsum.reduce else math.nan)
        if einsum.reduce and again.any() and place.join is None:
            before[target[again]] = self._look(einsum, einsum.name, places, laid.core[again], target[again])
        self.latest[einsum.name] = self._place(einsum.name, unit.name, None)
        for there in (place, self.latest[einsum.name]):
            for core in np.unique(laid.core) if there.join else (None,):
                mine = laid.core == core if there.join else np.ones(points.count, dtype=bool)
                own = np.where(there.there[core], there.values[core], before) if there.join else before
                result = gather(einsum.reduce, value[mine], target[mine], own)
                home = np.zeros(self.flat[einsum.name], dtype=np.int64)
                home[target[mine]] = laid.core[mine]
                some = np.unique(target[mine])
                there.write(home[some], some, result[some], stamp)

        for access in einsum.reads:
            self.outgoing.read(einsum, access, points)
        self.undone[einsum.name][:] = left
        worked = int(laid.worked.sum())
        outcome.points[einsum.name] += worked
        outcome.visited[einsum.name] += points.count
        ops = issues(self.cascade, unit, einsum)
        for op in ops:
            outcome.ops[unit.name, op] += worked
        np.add.at(outcome.lanes[unit.name], laid.lane[laid.worked], 1)
        scale = self.machine.clock_hz / (unit.clock_hz or self.machine.clock_hz)
        still = node.stationarity not in ("output-stationary", "row-stationary")
        cycles = laid.cycles(unit, cycles_a_point(unit, ops), stationary=still)
        outcome.unit_cycles[unit.name] += cycles * scale  # type: ignore[assignment]  # a Counter of floats
        reads = [float(self.ready[access.tensor][touched[access]].max()) for access in einsum.reads]
        start = max(after, *reads, self.ready[einsum.name][target[again]].max(initial=0.0), 0.0)
        end = start + (cycles + latency_cycles(unit, einsum, ops, node, laid, points)) * scale
        self.ready[einsum.name][made] = end
        return float(end)

    def _look(self, einsum: Einsum, tensor: str, places: Places, core: Ints, element: Ints) -> Floats:
        """What each core finds of a tensor in its innermost place."""
        place = places.get(tensor)
        if place is None:
            self.outcome.missing.add((einsum.name, tensor))
            return np.full(len(element), math.nan)
        place.fetch(core, element)
        row = place.row(core)
        if np.isnan(place.values[row, element]).any() and not place.there[row, element].all():
            self.outcome.missing.add((einsum.name, tensor))
        return place.values[row, element]
