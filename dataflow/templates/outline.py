"""What the blocks of a cascade are on a machine's structure: their order, the runs of them that may be one
branch, the tensors that may stay on chip between branches. Nothing of it depends on a rate or on room.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from typing import Final

from einsim.accel.machine import Machine
from einsim.dataflow.clock import port_name
from einsim.dataflow.footprint import access_of, tile_bytes
from einsim.dataflow.held import result_bytes
from einsim.dataflow.holds import common_levels
from einsim.dataflow.leaf import skips
from einsim.dataflow.outside import whole_bytes
from einsim.dataflow.spatial import computing
from einsim.dataflow.templates.blocks import Block, blocks, in_order, part_of, stepped, touched
from einsim.dataflow.templates.listed import Known, Listing, known_list, listing
from einsim.dataflow.templates.nest_list import rows_of
from einsim.dataflow.templates.shares import share_of
from einsim.dataflow.tile_times import TileTimes
from einsim.specs.remembered import Remembered
from einsim.workloads.cascade import Cascade, Einsum

#: Blocks that are joined by rows at most, by default.
MOST_JOINED = 6
#: Blocks that walk a state's steps together with it, to each side at most.
MOST_WALKED = 16

Run = tuple[int, int]
"""Blocks from one place in the order to another, which are computed together."""

Groups = tuple[tuple[str, ...], ...]
"""Einsums that a fused template computes together."""


def common_memory(machine: Machine) -> str:
    """The memory in which tensors may stay between branches; "" where there is none."""
    common = common_levels(machine, (unit.name for unit in machine.units))
    memory = common[0] if common else ""
    alone = memory and machine.memory(memory).copies == 1 and not machine.memory(memory).holds
    return memory if alone else ""


def sums_of_groups(cascade: Cascade) -> Iterator[tuple[str, ...]]:
    """Products by groups along a rank whose results are scaled and summed: each with what is done to it
    point by point and the sum, which goes through no other ranks. They follow each other, so that few of the
    groups' sums, of which there are many, need to be there at once.
    """
    for einsum in cascade.einsums:
        chain, last = [einsum.name], einsum
        while last.contracts or last.reduce is None:
            readers = cascade.consumers(last.name)
            if len(readers) != 1 or cascade.is_output(last.name) or readers[0].iterative:
                break
            last = readers[0]
            if not {*last.ranks} <= {*einsum.output.ranks}:
                break
            chain.append(last.name)
            if last.contracts:
                break
        if einsum.contracts and len(chain) > 1 and last.contracts and chain[-1] == last.name:
            yield tuple(chain)


class Outline:
    """A cascade's smallest blocks in order, and the runs of them that may be one branch: `runs` by where they
    end, longer ones first, `fused` those of the templates' groups, `joined` those of rows that contract. By
    rows so `many` blocks are joined at most.
    """

    def __init__(
        self, cascade: Cascade, machine: Machine, structure: bytes, groups: Groups, many: int = MOST_JOINED
    ) -> None:
        self.cascade, self.machine, self._structure, self._many = cascade, machine, structure, many
        self.memory = common_memory(machine)
        small = blocks(cascade)
        large = blocks(cascade, [*groups, *self._walked_together(small), *sums_of_groups(cascade)])
        place = {einsum.name: at for at, block in enumerate(large) for einsum in block}
        self.order = sorted(small, key=lambda block: place[block[0].name])
        self.place = {einsum.name: at for at, block in enumerate(self.order) for einsum in block}
        self.einsums = cache(self._einsums)
        self.fused = {run: group for group in groups if (run := self._run(set(group))) is not None}
        alone = [(at, at + 1) for at in range(len(self.order))]
        rows = list(self._rows())
        self.joined = frozenset(run for run in rows if self._contracts(run))
        runs = dict.fromkeys([*alone, *self.fused, *self._walked(large), *rows])
        self.runs: dict[int, list[Run]] = {}
        for run in sorted(runs, key=lambda run: run[0] - run[1]):
            self.runs.setdefault(run[1], []).append(run)
        self.listed, self.listing, self.moved = cache(self._listed), cache(self._listing), cache(self._moved)
        self._kinds: dict[tuple[str, bytes], int] = {}

    def _einsums(self, run: Run) -> Block:
        """The Einsums of a run, in the cascade's order."""
        first, stop = run
        return in_order(self.cascade, (einsum.name for block in self.order[first:stop] for einsum in block))

    def _listed(self, run: Run) -> tuple[Known, tuple[str, ...]]:
        """The list of a run, and the run's own names in the order of the list's."""
        return known_list(self._part(run), self.listing(run)), self.listing(run).names

    def _part(self, run: Run) -> Cascade:
        return part_of(self.cascade, tuple(einsum.name for einsum in self.einsums(run)))

    def _listing(self, run: Run) -> Listing:
        return listing(self._part(run), self.machine, self._structure)

    def kind(self, run: Run) -> int:
        """The same number for runs that are alike but for names."""
        return self._kinds.setdefault(self.listing(run).key, len(self._kinds))

    @cached_property
    def cycles(self) -> dict[str, dict[str, float]]:
        """What each Einsum takes at least, however it is tiled, on the units that it may be placed on."""
        cascade, found = self.cascade, dict[str, dict[str, float]]()
        for einsum in cascade.einsums:
            for unit in computing(cascade, self.machine, einsum):
                points = 0 if skips(cascade, unit, einsum, cascade.sizes) else cascade.points(einsum.name)
                least = points * TileTimes(cascade, unit, einsum).each / unit.pes
                found.setdefault(einsum.name, {})[unit.name] = least
        return found

    def _moved(self, run: Run) -> list[tuple[str, str, float]]:
        """Tensors that pass DRAM where a run is computed, by which port, and bytes of each at least."""
        cascade, einsums, dram, found = self.cascade, self.einsums(run), self.machine.dram, []
        made = {einsum.name: einsum for einsum in einsums}
        for name in touched(einsums):
            kept = name in cascade.initial or name in cascade.overwritten  # of which not all steps may pass
            if name in made and not cascade.is_output(name):
                kept |= self._read_inside(made[name], run)
            if not kept:
                users = [einsum for einsum in einsums if name in touched((einsum,))]
                whole = tile_bytes(cascade, self.machine, access_of(users[0], name), cascade.sizes)
                share = max(share_of(cascade, one.name) for one in users)
                found.append((name, port_name(dram, reads=name not in made), whole * share))
        return found

    def _run(self, names: set[str]) -> Run | None:
        """The run of blocks that has these Einsums and no others."""
        at = {self.place[name] for name in names}
        run = min(at), max(at) + 1
        return run if {e.name for e in self.einsums(run)} == names else None

    def _walked_together(self, small: tuple[Block, ...]) -> Groups:
        """The Einsums that walk the steps of a state, with the block that has it."""
        walks = [(block, walked) for block in small if (walked := stepped(self.cascade, block))]
        alike = {
            walked: [e.name for e in self.cascade.einsums if {*walked} <= {*e.ranks}]
            for walked in dict.fromkeys(walked for _, walked in walks)
        }
        groups = ((*alike[walked], block[0].name) for block, walked in walks)
        return tuple(dict.fromkeys(tuple(dict.fromkeys(group)) for group in groups))

    def _walked(self, large: tuple[Block, ...]) -> Iterator[Run]:
        """Runs with a state in which all walk its steps: all that do, and from the state to each side; long
        ones are left out, or there would be as many as blocks times blocks.
        """
        for block in large:
            whole = self._run({e.name for e in block})
            if whole is None:
                continue
            for at in range(*whole):
                walked = set(stepped(self.cascade, self.order[at]))
                if not walked:
                    continue
                first, last = max(whole[0], at + 1 - MOST_WALKED), min(whole[1], at + MOST_WALKED)
                near = {(begin, at + 1) for begin in range(first, at + 1)}
                near |= {(at, stop) for stop in range(at + 1, last + 1)}
                near |= {whole} if whole[1] - whole[0] <= 2 * MOST_WALKED else set()
                for run in sorted(near):
                    if all(walked <= set(e.ranks) for e in self.einsums(run)):
                        yield run

    def _rows(self) -> Iterator[Run]:
        """Runs of blocks without state that go through the same rows, each of which uses what one before it
        makes or reads; where some contract, the first does.
        """
        for first in range(len(self.order)):
            for stop in range(first + 2, min(first + self._many, len(self.order)) + 1):
                here, known = self.einsums((first, stop)), touched(self.einsums((first, stop - 1)))
                strange = not {*known} & {*touched(self.order[stop - 1])}
                if strange or any(einsum.iterative for einsum in here) or not rows_of(here):
                    break
                if self._contracts((first, first + 1)) or not self._contracts((first, stop)):
                    yield first, stop

    def _contracts(self, run: Run) -> bool:
        return any(einsum.contracts for einsum in self.einsums(run))

    @cached_property
    def lives(self) -> dict[str, tuple[int, int, int]]:
        """Of each tensor the places in the order of what makes it and of its last reader, and its bytes in
        DRAM, where inputs and outputs are to the end.
        """
        cascade, found = self.cascade, {}
        for tensor in cascade.tensors:
            made = -1 if cascade.producer(tensor.name) is None else self.place[tensor.name]
            last = max((self.place[e.name] for e in cascade.consumers(tensor.name)), default=made)
            if made < 0 or cascade.is_output(tensor.name):
                last = len(self.order)
            found[tensor.name] = made, last, whole_bytes(cascade, self.machine, tensor.name)
        return found

    @cached_property
    def between(self) -> dict[str, int]:
        """Intermediates that may stay on chip between branches, the smallest first, and their bytes there."""
        if not self.memory:
            return {}
        size = {
            einsum.name: result_bytes(self.cascade, self.machine, einsum, self.memory)
            for at, block in enumerate(self.order)
            for einsum in block
            if not einsum.iterative and not self._read_inside(einsum, (at, at + 1))
        }
        return {name: size[name] for name in sorted(size, key=size.__getitem__)}

    @cached_property
    def sets(self) -> list[tuple[frozenset[str], int]]:
        """Sets of intermediates to keep on chip between branches, the smallest tensors first, and the bytes
        of each.
        """
        found = {frozenset[str](): 0}
        several = {run for runs in self.runs.values() for run in runs if run[1] - run[0] > 1}
        counts = {int(count * scale) for scale in (1, 2, 4, 8, 16, 32) for count in (1, 1.5)}
        for runs in (several, several - set(self.fused), set(self.fused), set[Run]()):
            inside = self._inside(runs)
            names = [name for name in self.between if name not in inside]
            for count in sorted({count for count in counts if count < len(names)} | {len(names)}):
                found[frozenset(names[:count])] = sum(map(self.between.__getitem__, names[:count]))
        return list(found.items())

    def _inside(self, runs: Iterable[Run]) -> set[str]:
        """Results that one of some runs makes and nothing outside it reads."""
        return {e.name for run in runs for e in self.einsums(run) if self._read_inside(e, run)}

    def _read_inside(self, einsum: Einsum, run: Run) -> bool:
        """Whether only Einsums of a run read the result of another."""
        return all(run[0] <= self.place[e.name] < run[1] for e in self.cascade.consumers(einsum.name))


_OUTLINES: Final = Remembered[Outline](256)


def outline(
    cascade: Cascade, machine: Machine, structure: bytes, groups: Groups, many: int = MOST_JOINED
) -> Outline:
    """The outline of a cascade on a structure, which is made once."""
    key = cascade, structure, groups, many
    return _OUTLINES.get(key, lambda: Outline(cascade, machine, structure, groups, many))
