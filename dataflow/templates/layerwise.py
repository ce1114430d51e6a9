"""Block by block: each nest and each fused attention is a branch of its own, one after the other.

In `resident`, intermediates stay on chip between branches, as in FlightLLM's always-on-chip decode: the
smallest first, as many (of 0, 1, 2, 3, 4, 6, 8, 12 ...) as cost least in at most half of the memory. In
`unfused`, every branch reads and writes DRAM.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from einsim.accel.machine import Machine
from einsim.dataflow.held import result_bytes
from einsim.dataflow.holds import common_levels
from einsim.dataflow.mapping import Mapping as LoopTree
from einsim.dataflow.mapping import Sequence, chain, keep
from einsim.dataflow.templates.attention import fused_attention
from einsim.dataflow.templates.blocks import Block, blocks, stepped, touched
from einsim.dataflow.templates.choice import BlockTree, Chooser
from einsim.dataflow.templates.nest import rows_of
from einsim.workloads.cascade import Cascade


def unfused(cascade: Cascade, machine: Machine) -> LoopTree:
    """The mapping of a whole cascade, branch by branch, each of which reads and writes DRAM."""
    return _Branches(cascade, machine, ()).mapping("unfused", {})


def resident(cascade: Cascade, machine: Machine) -> LoopTree:
    """The mapping of a whole cascade, branch by branch, with intermediates kept on chip between them.

    An attention is one fused branch where a fused template fits the machine and costs less.
    """
    branches = _Branches(cascade, machine, fused_attention(cascade, machine))
    if branches.order[0] in branches.fused and len(branches.order) == 1:
        tree = branches.mapping("", {}).tree
        return next(one for one in branches.fused[branches.order[0]] if one.tree == tree)
    return branches.mapping("resident", branches.residents())


class _Branches:
    """A cascade's blocks in order, each with its best tree: joined where that costs no more."""

    def __init__(self, cascade: Cascade, machine: Machine, fused: tuple[LoopTree, ...]) -> None:
        self.cascade, self.machine = cascade, machine
        self.chooser = Chooser(cascade, machine)
        self.fused: dict[Block, list[LoopTree]] = {}
        self.together: list[tuple[str, ...]] = []
        self.found: dict[tuple[object, ...], BlockTree | None] = {}
        self.order = blocks(cascade)
        for one in fused:
            names = {node.einsum for node in one.computes()}
            mine = tuple(einsum for einsum in cascade.einsums if einsum.name in names)
            self.fused.setdefault(mine, []).append(one)
        for mine in self.fused:
            self._join(mine)
        for block in blocks(cascade):
            if walked := stepped(cascade, block):
                others = [e for e in cascade.einsums if e not in block and set(walked) <= set(e.ranks)]
                if not self._join((*block, *others)):
                    for other in others:
                        self._join((*block, other))
        at = 0
        while at + 1 < len(self.order):
            both = (*self.order[at], *self.order[at + 1])
            rows = not any(einsum.contracts or einsum.iterative for einsum in both) and rows_of(both)
            at += not (rows and self._join(both))

    def _join(self, group: Block) -> bool:
        """Put Einsums, and what stands between them, into one block, if that costs no more."""
        names = tuple(einsum.name for einsum in group)
        order = blocks(self.cascade, [*self.together, names])
        new = self._cost([block for block in order if block not in self.order])
        if math.isinf(new) or new > self._cost([block for block in self.order if block not in order]):
            return False
        self.together.append(names)
        self.order = order
        return True

    def _cost(
        self, some: Iterable[Block], resident: Mapping[str, str] = {}, reserved: Mapping[str, int] = {}
    ) -> float:
        found = (self._choice(block, resident, reserved) for block in some)
        return sum(math.inf if one is None else one.cost for one in found)

    def _choice(
        self, block: Block, resident: Mapping[str, str] = {}, reserved: Mapping[str, int] = {}
    ) -> BlockTree | None:
        kept = {name: memory for name, memory in resident.items() if name in touched(block)}
        key = (block, *kept.items(), *reserved.items())
        if key not in self.found and reserved:
            free = self._choice(block, kept)
            if free is not None and self.chooser.fits(free.held, reserved):
                self.found[key] = free
        if key not in self.found:
            trees = [one.tree for one in self.fused.get(block, ())]
            self.found[key] = (
                self.chooser.of(block, trees, reserved) if trees else self.chooser.best(block, kept, reserved)
            )
        return self.found[key]

    def mapping(self, name: str, resident: dict[str, str]) -> LoopTree:
        """The mapping with these tensors kept on chip throughout, each in a memory; EinsimError where a block
        has no tree.
        """
        trees = []
        reserved = self._bytes(resident)
        for block in self.order:
            choice = self._choice(block, resident, reserved)
            if choice is None:
                raise self.chooser.error(block)
            trees.append(choice.tree)
        body = trees[0] if len(trees) == 1 else Sequence(children=tuple(trees))
        around = [keep(tuple(n for n in resident if resident[n] == m), m, buffers=1) for m in reserved]
        return LoopTree(
            cascade=self.cascade.name, machine=self.machine.name, template=name, tree=chain(*around, body)
        )

    def _bytes(self, resident: Mapping[str, str]) -> dict[str, int]:
        """Bytes that tensors take whole in their memories."""
        found: dict[str, int] = {}
        for name, memory in resident.items():
            size = result_bytes(self.cascade, self.machine, self.cascade.einsum(name), memory)
            found[memory] = found.get(memory, 0) + size
        return found

    def residents(self) -> dict[str, str]:
        """The intermediates to keep on chip between blocks: of a few sets the one that costs least.

        The sets don't depend on the memory's size, only whether they fit does: a bigger one is no worse.
        """
        common = common_levels(self.machine, (unit.name for unit in self.machine.units))
        inside = {name for block in self.fused if block in self.order for name in touched(block)}
        memory = common[0] if common else ""
        between = [
            einsum.name
            for block in self.order for einsum in block
            if einsum.name not in inside and not einsum.iterative
            and any(reader not in block for reader in self.cascade.consumers(einsum.name))
        ]  # fmt: skip
        if (
            not memory
            or not between
            or self.machine.memory(memory).copies > 1
            or self.machine.memory(memory).holds
        ):
            return {}
        between.sort(key=lambda name: self._bytes({name: memory})[memory])
        counts = {count * scale for scale in (1, 2, 4, 8, 16, 32) for count in (1, 1.5)}
        capacity = self.chooser.capacity[memory]
        best: tuple[float, dict[str, str]] = (self._cost(self.order), {})
        for count in sorted({int(count) for count in counts if count < len(between)} | {len(between)}):
            chosen = dict.fromkeys(between[:count], memory)
            reserved = self._bytes(chosen)
            if capacity is not None and 2 * reserved[memory] > capacity:
                break
            best = min(best, (self._cost(self.order, chosen, reserved), chosen), key=lambda one: one[0])
        return best[1]
