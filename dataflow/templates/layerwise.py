"""Block by block: each nest and each fused attention is a branch of its own, one after the other.

In `resident`, intermediates stay on chip between branches, as in FlightLLM's always-on-chip decode: the
smallest first, as many (of 0, 1, 2, 3, 4, 6, 8, 12 ...) as cost least in at most half of the memory. In
`unfused`, every branch reads and writes DRAM.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from einsim.accel.machine import Machine
from einsim.dataflow.held import result_bytes
from einsim.dataflow.holds import common_levels
from einsim.dataflow.mapping import Mapping as LoopTree
from einsim.dataflow.mapping import Sequence, chain, keep
from einsim.dataflow.outside import whole_bytes
from einsim.dataflow.templates.attention import fused_attention
from einsim.dataflow.templates.blocks import Block, blocks, stepped, touched
from einsim.dataflow.templates.choice import BlockTree, Chooser
from einsim.dataflow.templates.nest import rows_of
from einsim.workloads.cascade import Cascade

#: Blocks that are joined by rows at most.
MOST_JOINED = 6

Run = tuple[int, int]
"""Blocks from one place in the order to another, which are computed together."""


def unfused(cascade: Cascade, machine: Machine) -> LoopTree:
    """The mapping of a whole cascade, branch by branch, each of which reads and writes DRAM."""
    return _Branches(cascade, machine, ()).mapping("unfused", [{}])


def resident(cascade: Cascade, machine: Machine) -> LoopTree:
    """The mapping of a whole cascade, branch by branch, with intermediates kept on chip between them.

    An attention is one fused branch where a fused template fits the machine and costs less.
    """
    branches = _Branches(cascade, machine, fused_attention(cascade, machine))
    return branches.mapping("resident", branches.residents())


class _Branches:
    """A cascade's smallest blocks in order, and the runs of them that may be one branch."""

    def __init__(self, cascade: Cascade, machine: Machine, fused: tuple[LoopTree, ...]) -> None:
        self.cascade, self.machine = cascade, machine
        self.chooser = Chooser(cascade, machine)
        groups = [[node.einsum for node in one.computes()] for one in fused]
        small = blocks(cascade)
        walks = [(block, walked) for block in small if (walked := stepped(cascade, block))]
        groups += [
            [e.name for e in cascade.einsums if e in block or set(walked) <= set(e.ranks)]
            for block, walked in walks
        ]
        large = blocks(cascade, groups)
        place = {einsum.name: at for at, block in enumerate(large) for einsum in block}
        self.order = sorted(small, key=lambda block: place[block[0].name])
        self.einsums = {
            (first, stop): tuple(e for block in self.order[first:stop] for e in block)
            for first in range(len(self.order))
            for stop in range(first + 1, len(self.order) + 1)
        }
        self.fused: dict[Run, list[LoopTree]] = {}
        for one in fused:
            if (run := self._run({node.einsum for node in one.computes()})) is not None:
                self.fused.setdefault(run, []).append(one)
        alone = [(at, at + 1) for at in range(len(self.order))]
        runs = dict.fromkeys([*alone, *self.fused, *self._walked(large), *self._rows()])
        self.runs: dict[int, list[Run]] = {}
        for run in sorted(runs, key=lambda run: run[0] - run[1]):  # longer ones first
            self.runs.setdefault(run[1], []).append(run)
        self.found: dict[tuple[object, ...], BlockTree | None] = {}

    def _run(self, names: set[str]) -> Run | None:
        """The run of blocks that has these Einsums and no others."""
        at = [number for number, block in enumerate(self.order) if names & {e.name for e in block}]
        run = min(at), max(at) + 1
        return run if {e.name for e in self.einsums[run]} == names else None

    def _walked(self, large: tuple[Block, ...]) -> Iterator[Run]:
        """Runs with a state in which all walk its steps: all that do, and from the state to each side."""
        for block in large:
            whole = self._run({e.name for e in block})
            for at, one in enumerate(self.order):
                walked = set(stepped(self.cascade, one))
                if whole is None or not walked or not whole[0] <= at < whole[1]:
                    continue
                for first in range(whole[0], at + 1):
                    for stop in range(at + 1, whole[1] + 1):
                        ends = (first, stop) == whole or first == at or stop == at + 1
                        if ends and all(walked <= set(e.ranks) for e in self.einsums[first, stop]):
                            yield first, stop

    def _rows(self) -> Iterator[Run]:
        """Runs of blocks that neither contract nor carry state and go through the same rows."""
        for first in range(len(self.order)):
            for stop in range(first + 2, min(first + MOST_JOINED, len(self.order)) + 1):
                here = self.einsums[first, stop]
                if any(e.contracts or e.iterative for e in here) or not rows_of(here):
                    break
                yield first, stop

    def _choice(self, run: Run, resident: Mapping[str, str], reserved: Mapping[str, int]) -> BlockTree | None:
        block = self.einsums[run]
        kept = {name: memory for name, memory in resident.items() if name in touched(block)}
        key = (run, *kept.items(), *reserved.items())
        if key not in self.found and reserved:
            free = self._choice(run, kept, {})
            if free is not None and self.chooser.fits(free.held, reserved):
                self.found[key] = free
        if key not in self.found:
            trees = [one.tree for one in self.fused.get(run, ())]
            one = self.chooser.of(block, trees, reserved) if trees and not kept else None
            other = self.chooser.best(block, kept, reserved) if not trees else None
            self.found[key] = one or other
        return self.found[key]

    def plan(self, resident: Mapping[str, str]) -> tuple[float, list[Run]]:
        """What the cascade costs with some tensors kept on chip throughout, and in which branches."""
        reserved = self._bytes(resident)
        best: list[tuple[float, list[Run]]] = [(0.0, [])]
        for stop in range(1, len(self.order) + 1):
            here: tuple[float, list[Run]] = (math.inf, [])
            for run in self.runs.get(stop, ()):
                before, runs = best[run[0]]
                if before < here[0] and not self._overflows(run, resident):
                    choice = self._choice(run, resident, reserved)
                    if choice is not None and before + choice.cost < here[0]:
                        here = before + choice.cost, [*runs, run]
            best.append(here)
        return best[-1]

    def _overflows(self, run: Run, resident: Mapping[str, str]) -> bool:
        """Whether DRAM has no room for what is there while a branch is computed."""
        capacity, (first, stop) = self.machine.dram.capacity_bytes, run
        return capacity is not None and capacity < sum(
            size
            for name, (made, last, size) in self.lives.items()
            if made < stop and last >= first and name not in resident and not (first <= made and last < stop)
        )

    @cached_property
    def lives(self) -> dict[str, tuple[int, int, int]]:
        """Of each tensor the places in the order of what makes it and of its last reader, and its bytes in
        DRAM, where inputs and outputs are to the end.
        """
        cascade, found = self.cascade, {}
        place = {einsum.name: at for at, block in enumerate(self.order) for einsum in block}
        for tensor in cascade.tensors:
            made = -1 if cascade.producer(tensor.name) is None else place[tensor.name]
            last = max((place[e.name] for e in cascade.consumers(tensor.name)), default=made)
            if made < 0 or cascade.is_output(tensor.name):
                last = len(self.order)
            found[tensor.name] = made, last, whole_bytes(cascade, self.machine, tensor.name)
        return found

    def best(self, sets: Iterable[dict[str, str]]) -> tuple[float, list[Run], dict[str, str]]:
        """Of some sets of tensors to keep on chip throughout, each in a memory, the one that costs least: in
        ticks, with its branches.
        """
        return min(((*self.plan(chosen), chosen) for chosen in sets), key=lambda one: one[0])

    def mapping(self, name: str, sets: Iterable[dict[str, str]]) -> LoopTree:
        """The mapping that costs least with one of some sets; EinsimError where a block has no tree."""
        cost, runs, chosen = self.best(sets)
        reserved = self._bytes(chosen)
        if math.isinf(cost):
            runs = [(at, at + 1) for at in range(len(self.order))]
        trees = []
        for run in runs:
            choice = self._choice(run, chosen, reserved)
            if choice is None:
                raise self.chooser.error(self.einsums[run])
            trees.append(choice.tree)
        if len(runs) == 1 and runs[0] in self.fused:
            return next(one for one in self.fused[runs[0]] if one.tree == trees[0])
        body = trees[0] if len(trees) == 1 else Sequence(children=tuple(trees))
        around = [keep(tuple(n for n in chosen if chosen[n] == m), m, buffers=1) for m in reserved]
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

    def _inside(self, runs: Iterable[Run]) -> set[str]:
        """Results that one of some runs makes and nothing outside it reads."""
        return {
            einsum.name
            for run in runs
            for einsum in self.einsums[run]
            if all(reader in self.einsums[run] for reader in self.cascade.consumers(einsum.name))
        }

    def residents(self) -> Iterator[dict[str, str]]:
        """Sets of intermediates to keep on chip between branches, the smallest tensors first.

        The sets don't depend on the memory's size, only whether they fit does: a bigger one is no worse.
        """
        yield {}
        common = common_levels(self.machine, (unit.name for unit in self.machine.units))
        memory = common[0] if common else ""
        if not memory or self.machine.memory(memory).copies > 1 or self.machine.memory(memory).holds:
            return
        between = [
            einsum.name
            for block in self.order
            for einsum in block
            if not einsum.iterative and any(e not in block for e in self.cascade.consumers(einsum.name))
        ]
        size = {name: self._bytes({name: memory})[memory] for name in between}
        between.sort(key=size.__getitem__)
        joined = {run for runs in self.runs.values() for run in runs if run[1] - run[0] > 1}
        all_inside = self._inside(joined)
        inside = [all_inside, self._inside(joined - set(self.fused)), self._inside(self.fused), set[str]()]
        counts = {int(count * scale) for scale in (1, 2, 4, 8, 16, 32) for count in (1, 1.5)}
        capacity = self.chooser.capacity[memory]
        seen: list[list[str]] = [[]]
        for names in ([name for name in between if name not in left_out] for left_out in inside):
            for count in sorted({count for count in counts if count < len(names)} | {len(names)}):
                chosen = names[:count]
                if capacity is not None and 2 * sum(map(size.__getitem__, chosen)) > capacity:
                    break
                if chosen not in seen:
                    seen.append(chosen)
                    yield dict.fromkeys(chosen, memory)
