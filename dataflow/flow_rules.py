"""Rules on data between the leaves of a mapping: made before it is read, still there, and complete."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.cores import cores_ranks
from einsim.dataflow.footprint import access_of, relevant_ranks
from einsim.dataflow.holds import levels, may_hold, passes_by, role_of, straight
from einsim.dataflow.layout import Home, Layout, Leaf
from einsim.dataflow.mapping import Mapping, Node, children
from einsim.dataflow.sites import Place, Sites
from einsim.specs.errors import SpecError
from einsim.workloads.cascade import Access, Cascade, Einsum, Index
from einsim.workloads.passes import pass_of


def check_flow(mapping: Mapping, layout: Layout, cascade: Cascade, machine: Machine, sites: Sites) -> None:
    """Raise SpecError for the first rule that is broken. The tree's own rules must hold already."""
    flow = _Flow(mapping, layout, cascade, machine, sites)
    for leaf in layout.leaves:
        flow.operands(leaf)
        flow.chained(leaf)
    flow.order()
    for leaf in layout.leaves:
        for access in flow.einsum(leaf).reads:
            flow.shared(leaf, access)
    flow.passes()
    for home, path in layout.homes:
        flow.state(home, path)
        flow.overlay(home)
        flow.cores(home)


class _Flow:
    def __init__(
        self, mapping: Mapping, layout: Layout, cascade: Cascade, machine: Machine, sites: Sites
    ) -> None:
        self.tree = mapping.tree
        self.layout = layout
        self.cascade = cascade
        self.machine = machine
        self.sites = sites
        self.leaf_of = {leaf.node.einsum: leaf for leaf in layout.leaves}
        self.rank_in_program = {leaf.node.einsum: at for at, leaf in enumerate(layout.leaves)}

    def einsum(self, leaf: Leaf) -> Einsum:
        """The Einsum that a leaf computes."""
        return self.cascade.einsum(leaf.node.einsum)

    def _fault(self, place: Place, rule: str, key: str = "", hint: str = "") -> SpecError:
        node: Node = self.tree
        for at in place:
            node = children(node)[at]
        return self.sites.error(place, node, key, rule, hint=hint)

    def operands(self, leaf: Leaf) -> None:
        """Every operand is in a memory that the unit reaches, or in its own registers."""
        unit = self.machine.unit(leaf.node.unit)
        reachable = [unit.name, unit.reads_from, *levels(self.machine, unit.reads_from)]
        reads = [access.tensor for access in self.einsum(leaf).reads]
        for tensor in dict.fromkeys((*reads, leaf.node.einsum)):
            homes = leaf.homes.get(tensor, ())
            if tensor in leaf.node.chained:
                continue
            self._held(leaf, tensor, homes)
            if homes and homes[-1].memory in reachable:
                continue
            if not homes and unit.reads_from == self.machine.dram.name:
                continue
            if not homes and straight(self.cascade, self.machine, leaf.node, tensor):
                continue
            held = f"is in {homes[-1].memory}" if homes else f"is in {self.machine.dram.name} only"
            rule = f"operand {tensor} {held}, but unit {unit.name} reads from {unit.reads_from}"
            raise self._fault(leaf.place, rule, hint=f"keep {tensor} in {unit.reads_from} above it")

    def _held(self, leaf: Leaf, tensor: str, homes: tuple[Home, ...]) -> None:
        """Every memory on the way may hold the operand; one in each core isn't passed by what it holds."""
        cascade, machine, node = self.cascade, self.machine, leaf.node
        memories = [home for home in homes if home.memory in {memory.name for memory in machine.memories}]
        for home in memories:
            if not may_hold(cascade, machine, home.memory, node, tensor):
                role, holds = role_of(cascade, node, tensor), machine.memory(home.memory).holds
                rule = (
                    f"{home.memory} holds {' and '.join(holds)} only, and {tensor} is {role} of {node.einsum}"
                )
                raise self._fault(home.place, rule, "keep", f"leave {tensor} out of {home.memory}")
        inner = homes[-1].memory if homes else machine.dram.name
        near = machine.unit(node.unit).reads_from
        if inner in (near, node.unit) or passes_by(cascade, machine, node, tensor):
            return
        rule = f"operand {tensor} is in {inner}, but a core reads it from its own {near}"
        raise self._fault(leaf.place, rule, hint=f"keep {tensor} in {near} above it")

    def cores(self, home: Home) -> None:
        """A core finds in its own memory what it needs: all leaves split a tensor there alike."""
        units = {unit.name for unit in self.machine.units}
        if home.memory in units or self.machine.memory(home.memory).copies == 1:
            return
        first: tuple[str, frozenset[str]] | None = None
        for leaf in self.layout.under(home.place):
            einsum = self.einsum(leaf)
            if home not in leaf.homes.get(home.tensor, ()) or home.tensor in leaf.node.chained:
                continue
            if einsum.name != home.tensor and not self._reads(leaf, home.tensor):
                continue
            moved = relevant_ranks(self.cascade, access_of(einsum, home.tensor))
            split = frozenset(cores_ranks(leaf.node)) & moved
            if first is None:
                first = (einsum.name, split)
            elif split != first[1]:
                mine, theirs = (" ".join(sorted(ranks)) or "nothing" for ranks in (split, first[1]))
                rule = f"{einsum.name} splits {home.tensor} over the cores by {mine}, {first[0]} by {theirs}"
                rule += f", and a core reaches its own {home.memory} only"
                raise self._fault(
                    home.place, rule, "in", "lay the same ranks along the cores, or keep it outside"
                )

    def chained(self, leaf: Leaf) -> None:
        """A chained operand is made by an earlier leaf on the same unit inside the same loops."""
        for tensor in leaf.node.chained:
            maker = self.leaf_of.get(tensor)
            if maker is None or maker.node.unit != leaf.node.unit or maker.path != leaf.path:
                rule = f"{tensor} is not made on {leaf.node.unit} inside the same loops"
                hint = f"leave {tensor} out of chained and keep it"
                raise self._fault(leaf.place, rule, "chained", hint)

    def order(self) -> None:
        """Producers stand before consumers; a state's steps are read inside the loop that makes them."""
        for leaf in self.layout.leaves:
            einsum = self.einsum(leaf)
            for access in einsum.reads:
                producer = self.cascade.producer(access.tensor)
                if producer is None or producer.name == einsum.name:
                    continue
                rank = _step(access, producer)
                shared = [r for at in self._common(leaf, producer.name) for r in self.layout.loops[at].ranks]
                if rank is not None and rank not in shared and self.cascade.size(rank) > 1:
                    rule = f"reads all steps of {access.tensor} along {rank}, but only the last one is kept"
                    hint = f"put both inside one loop over {rank} in steps of 1"
                    raise self._fault(leaf.place, rule, hint=hint)
                after = self.rank_in_program[producer.name] > self.rank_in_program[einsum.name]
                if after and not (rank is not None and _is_old(access, producer)):
                    raise self._fault(leaf.place, f"reads {access.tensor} before it is computed")

    def _common(self, leaf: Leaf, other: str) -> Iterator[int]:
        """Loops that enclose both leaves, outermost first."""
        for mine, theirs in zip(leaf.path, self.leaf_of[other].path, strict=False):
            if mine != theirs:
                return
            yield mine

    def shared(self, leaf: Leaf, access: Access) -> None:
        """A loop shared with the producer has made what this iteration reads: the same tile, complete."""
        producer = self.cascade.producer(access.tensor)
        if producer is None:
            return
        for number in self._common(leaf, producer.name):
            loop = self.layout.loops[number]
            if loop.count == 1:
                continue
            for rank in loop.ranks:
                if rank in producer.reduced and producer.name != leaf.node.einsum:
                    rule = f"reads {access.tensor} inside the loop over {rank} that still reduces it"
                    raise self._fault(leaf.place, rule, hint=f"end the loop over {rank} before it")
                for written, read in zip(producer.output.indices, access.indices, strict=True):
                    if rank not in written.ranks or _same_tile(written, read, rank in producer.iterative):
                        continue
                    rule = f"reads {access.tensor} at a {rank} that the shared loop over it has not made"
                    raise self._fault(leaf.place, rule, hint=f"end the loop over {rank} before it")

    def passes(self) -> None:
        """Einsums in different passes of a rank can't share a loop over it: one needs all of the other."""
        by_rank: dict[str, dict[str, int]] = {}
        for number, leaf in enumerate(self.layout.leaves):
            for other in self.layout.leaves[:number]:
                for at in self._common(leaf, other.node.einsum):
                    loop = self.layout.loops[at]
                    for rank in loop.ranks if loop.count > 1 else ():
                        if rank not in by_rank:
                            by_rank[rank] = dict(pass_of(self.cascade, rank))
                        mine = by_rank[rank].get(leaf.node.einsum)
                        theirs = by_rank[rank].get(other.node.einsum)
                        if mine is None or theirs is None or mine == theirs:
                            continue
                        rule = f"is in pass {mine} over {rank} and {other.node.einsum} in pass {theirs}"
                        rule += f": they can't share a loop over {rank}"
                        raise self._fault(leaf.place, rule, hint=f"end the loop over {rank} before it")

    def state(self, home: Home, path: tuple[int, ...]) -> None:
        """State that is carried from step to step is kept outside the loop over the steps."""
        producer = self.cascade.producer(home.tensor)
        if producer is None or self.leaf_of[producer.name] not in self.layout.under(home.place):
            return
        for number in path:
            for rank in self.layout.loops[number].ranks:
                if rank in producer.iterative and self.layout.loops[number].count > 1:
                    rule = f"{home.tensor} carries state along {rank}, so it must be kept outside that loop"
                    raise self._fault(home.place, rule, "keep")

    def overlay(self, home: Home) -> None:
        """Tensors that share bytes take turns: all readers of one are done before the next is written."""
        if not home.overlay or home.tensor != home.overlay[0]:
            return
        here = [leaf.node.einsum for leaf in self.layout.under(home.place)]
        for old, new in zip(home.overlay, home.overlay[1:], strict=False):
            if new not in here:
                rule = f"{new} is not computed below, and only the first tensor of an overlay can be loaded"
                raise self._fault(home.place, rule, "overlay")
            before = self._ancestors(new) | {new}
            if old in here and old not in before:
                rule = f"{new} does not depend on {old}, whose bytes it takes"
                raise self._fault(home.place, rule, "overlay")
            if old in here and self._emptied(msgspec.structs.replace(home, tensor=old)):
                rule = f"{old} leaves {home.memory}, but nothing holds {new} back until it has"
                raise self._fault(home.place, rule, "overlay")
            for reader in self.cascade.consumers(old):
                if reader.name in here and reader.name not in before:
                    rule = f"{reader.name} reads {old}, but nothing holds {new} back until it has"
                    raise self._fault(home.place, rule, "overlay")

    def _ancestors(self, name: str) -> set[str]:
        found: set[str] = set()
        pending = [name]
        while pending:
            for access in self.cascade.einsum(pending.pop()).reads:
                if self.cascade.producer(access.tensor) is not None and access.tensor not in found:
                    found.add(access.tensor)
                    pending.append(access.tensor)
        return found

    def _emptied(self, home: Home) -> bool:
        """Whether the tensor leaves this home: it is a result, or a leaf outside reads it."""
        inside = {leaf.place for leaf in self.layout.under(home.place)}
        readers = [leaf for leaf in self.layout.leaves if self._reads(leaf, home.tensor)]
        return self.cascade.is_output(home.tensor) or any(leaf.place not in inside for leaf in readers)

    def _reads(self, leaf: Leaf, tensor: str) -> bool:
        return any(access.tensor == tensor for access in self.einsum(leaf).reads)


def _step(access: Access, producer: Einsum) -> str | None:
    """The rank along which an access reads a state step by step; None for one fixed step, or no state."""
    for read, written in zip(access.indices, producer.output.indices, strict=True):
        if len(written.terms) == 1 and written.terms[0].rank in producer.iterative and read.terms:
            return written.terms[0].rank
    return None


def _is_old(access: Access, producer: Einsum) -> bool:
    """Whether an access reads the state that an earlier step left."""
    pairs = zip(access.indices, producer.output.indices, strict=True)
    return any(read.terms == written.terms and read.offset < written.offset for read, written in pairs)


def _same_tile(written: Index, read: Index, iterative: bool) -> bool:
    """Whether both indices walk a dimension alike; a state may be read one step back."""
    return written.terms == read.terms and (
        written.offset == read.offset or (iterative and read.offset < written.offset)
    )
