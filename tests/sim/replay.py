"""Records a run and replays it element by element: what is read was written, and is still there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from einsim.accel.machine import Machine
from einsim.dataflow.draft import DraftOp
from einsim.dataflow.footprint import access_of
from einsim.dataflow.layout import Home, Leaf, lay_out
from einsim.dataflow.lower import _computes, _transfers, lower
from einsim.dataflow.mapping import Mapping
from einsim.sim.engine import Simulation
from einsim.workloads.cascade import Access, Cascade
from einsim.workloads.points import acts, difference

Key = tuple[object, ...]


class Recorder(Simulation):
    """A plain run that remembers every instance: operation, position, start, end, and when it is visible."""

    def __init__(self, program):
        super().__init__(program, jump=False)
        self.events = []

    def _publish(self, actor, op):
        end = self.now()
        self.events.append((op, tuple(actor.position), actor.started_at, end, end + op.latency_ticks))
        super()._publish(actor, op)


class _At:
    """Stands for an operation that is inside some loops."""

    def __init__(self, path) -> None:
        self.path = path


class Replay:
    """Laws of one recorded run. `read_early`, `overwritten` and `missing` list what broke them."""

    def __init__(self, cascade: Cascade, machine: Machine, mapping: Mapping) -> None:
        self.cascade = cascade
        self.machine = machine
        self.program = lower(mapping, cascade, machine)
        self.layout = lay_out(mapping, cascade)
        self.drafts = self._drafts()
        self.leaves = {leaf.node.einsum: leaf for leaf in self.layout.leaves}
        run = Recorder(self.program)
        run.go()
        self.events = run.events
        self.written: dict[Key, dict[Key, int]] = {}  # (where, tensor) -> element -> visible
        self.reads: dict[Key, list[tuple[int, int, Key, str]]] = {}  # -> (start, end, element, who)
        self.writes: dict[Key, list[tuple[int, Key]]] = {}
        self.defined = {e.name: self._defined(e.name) for e in cascade.einsums}
        self.faults: list[str] = []
        for event in self.events:
            self._note(*event)
        self._present()
        self._overwritten()
        self._delivered()

    def ranges(self, op, position) -> dict[str, tuple[int, int]]:
        """First point and number of points of each rank at a position, from the loops alone."""
        found = {rank.name: (0, rank.size) for rank in self.cascade.ranks}
        for number, index in zip(op.path, position, strict=True):
            loop, left = self.program.loops[number], index
            for rank in reversed(loop.ranks):
                if len(loop.ranks) > 1:
                    left, point = divmod(left, self.cascade.size(rank))
                    found[rank] = (point, 1)
                else:
                    start, extent = found[rank]
                    offset = index * loop.tile
                    found[rank] = (start + offset, min(loop.tile, extent - offset))
        return found

    def points(self, einsum, ranges) -> Iterator[dict[str, int]]:
        """Points of an Einsum's tile that every bound over its ranks keeps."""
        for values in itertools.product(*(range(a, a + n) for a, n in (ranges[r] for r in einsum.ranks))):
            point = dict(zip(einsum.ranks, values, strict=True))
            if all(self._kept(bound, point) for bound in self.cascade.bounds):
                yield point

    def _kept(self, bound, point: dict[str, int]) -> bool:
        """Whether a bound keeps a point; ranks that the Einsum doesn't iterate take their best value."""
        if not acts(bound, set(point)):
            return True
        coefficients, least = difference(bound.left, bound.right)
        for rank, value in coefficients.items():
            least += value * point[rank] if rank in point else min(0, value * (self.cascade.size(rank) - 1))
        return least <= 0

    def _defined(self, name: str) -> set[Key]:
        einsum = self.cascade.einsum(name)
        whole = {rank.name: (0, rank.size) for rank in self.cascade.ranks}
        return {_element(einsum.output, point) for point in self.points(einsum, whole)}

    def _where(self, home: Home | None, position) -> Key:
        return (
            ("dram",)
            if home is None or home.memory == "dram"
            else (home.place, tuple(position[: home.depth]))
        )

    def _note(self, op, position, start, end, visible) -> None:
        ranges = self.ranges(op, position)
        if op.kind == "compute":
            leaf = self.leaves[op.subject]
            einsum = self.cascade.einsum(op.subject)
            points = list(self.points(einsum, ranges))
            for access in einsum.reads:
                where = self._where(_last(leaf, access.tensor), position)
                for element in {_element(access, point) for point in points}:
                    self.reads.setdefault((where, access.tensor), []).append((start, end, element, op.name))
            where = self._where(_last(leaf, einsum.name), position)
            own = self.written.setdefault((where, einsum.name), {})
            for element in {_element(einsum.output, point) for point in points}:
                own[element] = max(own.get(element, 0), visible)
            self.writes.setdefault((where, einsum.name), []).extend(
                (start, _element(einsum.output, point)) for point in points
            )
            return
        draft = self.drafts[op.id]
        _, home, outer = self._transfer(op)
        inner_key, outer_key = self._where(home, position), self._where(outer, position)
        source, target = (outer_key, inner_key) if op.kind == "load" else (inner_key, outer_key)
        for element in self._moved(op, draft, position):
            self.reads.setdefault((source, op.subject), []).append((start, end, element, op.name))
            own = self.written.setdefault((target, op.subject), {})
            own[element] = min(own.get(element, visible), visible) if op.kind == "load" else visible
            self.writes.setdefault((target, op.subject), []).append((start, element))

    def _moved(self, op, draft, position) -> set[Key]:
        """Elements that the points of the tile touch, for every leaf that the transfer serves. A loop that it runs
        once stands for all its iterations.
        """
        pinned = {rank for loop in op.when for rank in self.program.loops[loop].ranks}
        found = set()
        for leaf, access in draft.moves:
            einsum = self.cascade.einsum(leaf.node.einsum)
            ranges = self.ranges(op, position)
            ranges |= {rank: (0, self.cascade.size(rank)) for rank in pinned}
            for at, number in enumerate(op.path):  # what loops further out say of a pinned rank
                loop = self.program.loops[number]
                if number not in op.when and len(loop.ranks) == 1 and loop.rank in pinned:
                    start, extent = ranges[loop.rank]
                    offset = position[at] * loop.tile
                    ranges[loop.rank] = (start + offset, min(loop.tile, extent - offset))
            ranges |= {rank: (ranges[rank][0], 1) for rank in draft.carried}
            if op.kind == "store" or access != einsum.output:  # partial sums that come back are what left
                found |= {_element(access, point) for point in self.points(einsum, ranges)}
        return {
            element
            for element in found
            if op.subject not in self.defined or element in self.defined[op.subject]
        }

    def _transfer(self, op) -> tuple[Leaf, Home, Home | None]:
        """The leaf that a transfer serves, the home it fills or empties, and the one outside that."""
        draft = self.drafts[op.id]
        homes = draft.leaf.homes[op.subject]
        at = homes.index(draft.home)
        return draft.leaf, draft.home, homes[at - 1] if at else None

    def _drafts(self) -> list[DraftOp]:
        """The drafts that lowering made, in the order of the program's operations."""
        found = _computes(self.layout)
        for home, _ in self.layout.homes:
            found += _transfers(self.cascade, self.machine, self.layout, home)
        return sorted(found, key=lambda d: (d.place, ("load", "compute", "store").index(d.kind)))

    def _present(self) -> None:
        for (where, tensor), reads in self.reads.items():
            held = self.written.get((where, tensor), {})
            for start, _, asked, who in reads:
                element: Key | None = asked
                if tensor in self.defined:
                    element = self._current(tensor, asked)
                    if element is None:
                        continue  # the initial state
                elif where == ("dram",):
                    continue
                if element not in held:
                    self.faults.append(f"{who} reads {tensor}{element} in {where}, which nobody wrote there")
                elif held[element] > start:
                    self.faults.append(
                        f"{who} reads {tensor}{element} at {start}, written at {held[element]}"
                    )

    def _current(self, tensor: str, element: Key) -> Key | None:
        """The element itself, or of a state whose later steps are masked the last step made; None for none."""
        producer = self.cascade.einsum(tensor)
        while element not in self.defined[tensor]:
            at = next(
                (n for n, i in enumerate(producer.output.indices) if set(i.ranks) & set(producer.iterative)),
                -1,
            )
            if at < 0 or element[at] == 0:
                return None
            element = (*element[:at], element[at] - 1, *element[at + 1 :])
        return element

    def _overwritten(self) -> None:
        """A buffer is refilled, element by element, only when the tile that was there has been read."""
        for home, path in self.layout.homes:
            if home.memory == "dram" or not home.depth:
                continue
            if self._halo(home.tensor):
                continue  # tiles overlap: each has a copy of the shared elements
            places = sorted({k[0][1] for k in self.writes if k[1] == home.tensor and k[0][0] == home.place})
            for old, new in zip(places, places[home.buffers :], strict=False):
                last: dict[Key, int] = {}
                for _, end, element, _ in self.reads.get(((home.place, old), home.tensor), []):
                    slot = self._slot(home, path, old, element)
                    last[slot] = max(last.get(slot, 0), end)
                for start, element in self.writes[(home.place, new), home.tensor]:
                    until = last.get(self._slot(home, path, new, element), 0)
                    if start < until:
                        self.faults.append(
                            f"{home.tensor}{element} of {new} overwrites {old} at {start}, read until {until}"
                        )

    def _halo(self, tensor: str) -> bool:
        reads = [access for einsum in self.cascade.einsums for access in einsum.reads]
        return any(len(i.terms) > 1 for access in reads if access.tensor == tensor for i in access.indices)

    def _slot(self, home: Home, path, position, element: Key) -> Key:
        """Where an element lies inside its buffer: its distance from the buffer's first one."""
        ranges = self.ranges(_At(path), position)
        leaf = next(leaf for leaf in self.layout.under(home.place) if home in leaf.homes.get(home.tensor, ()))
        einsum = self.cascade.einsum(leaf.node.einsum)
        if home.tensor not in (einsum.name, *(access.tensor for access in einsum.reads)):
            users = [self.cascade.einsum(other.node.einsum) for other in self.layout.under(home.place)]
            einsum = next(e for e in users if home.tensor in (e.name, *(a.tensor for a in e.reads)))
        access = access_of(einsum, home.tensor)
        first = {rank: ranges[rank][0] for rank in access.ranks}
        base = tuple(
            sum(term.coefficient * first[term.rank] for term in index.terms) for index in access.indices
        )
        return tuple(a - b for a, b in zip(element, base, strict=True))

    def _delivered(self) -> None:
        for tensor in self.cascade.outputs:
            held = self.written.get((("dram",), tensor.name), {})
            iterative = self.cascade.einsum(tensor.name).iterative
            if not iterative and set(held) != self.defined[tensor.name]:
                self.faults.append(
                    f"{tensor.name}: {len(held)} of {len(self.defined[tensor.name])} elements stored"
                )


def _last(leaf: Leaf, tensor: str) -> Home | None:
    homes = leaf.homes.get(tensor, ())
    return homes[-1] if homes else None


def _value(index, point) -> int:
    return index.offset + sum(term.coefficient * point[term.rank] for term in index.terms)


def _element(access: Access, point) -> Key:
    return tuple(_value(index, point) for index in access.indices)
