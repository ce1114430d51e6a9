"""What each nest of a list costs at least where some tensors stay on chip: arrays once, then a few products
for the rates of each machine.
"""

from __future__ import annotations

from functools import cache, partial, reduce

import numpy as np

from einsim.accel.machine import Machine
from einsim.accel.memory import Memory
from einsim.dataflow.clock import port_name
from einsim.dataflow.holds import levels
from einsim.dataflow.templates.blocks import touched
from einsim.dataflow.templates.least import ListLeast
from einsim.dataflow.templates.room import Stays
from einsim.dataflow.templates.worth import Worth
from einsim.dataflow.volume import Rates
from einsim.specs.arrays import Bools, Floats
from einsim.workloads.cascade import Access, Cascade


def _earlier(cascade: Cascade, access: Access) -> bool:
    """Whether an access reads what an earlier step left of a state, and so waits for nothing of its own."""
    maker = cascade.producer(access.tensor)
    return maker is not None and any(
        theirs.offset > mine.offset and {*theirs.ranks} & {*mine.ranks} & {*maker.iterative}
        for mine, theirs in zip(access.indices, maker.output.indices, strict=True)
    )


def _in_turn(part: Cascade, machine: Machine, least: ListLeast, stays: Stays, of: str) -> dict[str, Floats]:
    """Bytes [N] that pass ports while an Einsum may not compute, if each of its tiles has one buffer."""
    einsum = part.einsum(of)
    own = {name for name in touched((einsum,)) if name == einsum.name or part.producer(name) is None}
    streamed = {name for unit in machine.units for name in unit.memories.values()}
    found, dram = dict[str, Floats](), machine.dram.name
    inside = {
        (tensor, machine.memory(name).parents[0]): there for (tensor, name), there in least.ways.items()
    }
    for (tensor, name), there in least.ways.items():
        outer = machine.memory(machine.memory(name).parents[0])
        free = name in stays.get(tensor, ()) or (tensor in stays and outer.name == dram)
        if free or tensor not in least.at_once or tensor not in own:
            continue
        if outer.name in streamed or outer.banks > 1:
            continue
        port, nearest = (
            port_name(outer, tensor != einsum.name),
            ~inside.get((tensor, name), np.zeros(1, bool)),
        )
        near = there & nearest & least.at_once[tensor] & ~(least.straight & (outer.name == dram))
        found[port] = found.get(port, 0) + near * least.moved[tensor]
    return found


class LeastCosts:
    """Of the N nests of a list the least that each costs, where some tensors stay on chip."""

    def __init__(self, part: Cascade, machine: Machine, least: ListLeast, stays: Stays) -> None:
        dram, passing = machine.dram, dict(least.near)
        for tensor, size in least.moved.items():
            if tensor not in stays:
                passing[tensor, dram.name, part.producer(tensor) is None] = size
        for (tensor, name), there in least.ways.items():
            made, still = part.producer(tensor) is not None, name in stays.get(tensor, ())
            for key in ((tensor, name, True), (tensor, name, False)) if tensor in least.moved else ():
                own, size = least.near.get(key, 0), there * least.moved[tensor]
                if key[2] != made:  # to a unit or from it, not from DRAM or to it
                    passing[key] = np.maximum(own, size)
                elif not still:
                    passing[key] = own + size
        busy, self.moved = dict[str, Floats](), dict[str, Floats]()
        for (_, unit), cycles in least.cycles.items():
            busy[unit] = busy.get(unit, 0) + cycles
        self.units = list(busy)
        for (_, name, reads), size in passing.items():
            port = port_name(machine.memory(name), reads)
            busy[port] = busy.get(port, 0) + size
            self.moved[name] = self.moved.get(name, 0) + size
        self.read = port_name(dram, reads=True)
        self.names = list(busy)
        self.busy = np.stack(list(busy.values()), axis=1)
        self.tiles, self.cycles = least.tiles, least.cycles
        self.turns = cache(partial(_in_turn, part, machine, least, stays))
        reads_of = [
            list(dict.fromkeys(a.tensor for a in einsum.reads if not _earlier(part, a)))
            for einsum in part.einsums
        ]
        self._lay_out(part, machine, least, stays, reads_of)
        self._bounds: tuple[Rates, Floats] | None = None  # of the rates that were asked for last
        self._turns: tuple[Rates, Floats] | None = None

    def _lay_out(
        self, part: Cascade, machine: Machine, least: ListLeast, stays: Stays, reads_of: list[list[str]]
    ) -> None:
        """Arrays of what happens before each unit's first tile and after its last, by Einsums E, tensors X,
        units U and ports P.
        """
        names, count = [einsum.name for einsum in part.einsums], len(self.tiles)
        tensors = [*dict.fromkeys((*names, *least.first, *least.last, *least.after))]
        at = {name: number for number, name in enumerate(tensors)}  # Einsums' results come first
        self.of_tile = np.zeros(
            (3, len(names), count, len(self.units))
        )  # cycles, of the shortest, until results
        for (name, unit), one in least.one.items():
            shortest = least.shortest[name, unit]
            each = one, shortest, least.results[name, unit] * (shortest > 0)
            self.of_tile[:, names.index(name), :, self.units.index(unit)] = each
        # No end where an Einsum is not on a unit.
        self.unused = np.where(self.of_tile[0].transpose(2, 0, 1) > 0, 0.0, np.inf)
        (near, *others) = {name for unit in machine.units for name in unit.memories.values()}
        self.near = not others and levels(machine, near) == (near,) and not machine.memory(near).holds
        hops = list[tuple[str, Memory, Bools | float]]()  # through whose ports a tensor passes
        for (tensor, name), there in least.ways.items():
            outer = machine.memory(machine.memory(name).parents[0])
            inside = least.ways.get((tensor, outer.name), np.zeros(1, bool)) & there
            if name not in stays.get(tensor, ()) and outer is not machine.dram:
                hops.append((tensor, outer, inside))
        hops += [(tensor, machine.dram, 1.0) for tensor in least.moved.keys() - stays.keys()]
        self.ports = [*dict.fromkeys(port_name(one, reads) for _, one, _ in hops for reads in (True, False))]
        self.passing = np.zeros((2, len(tensors), count, len(self.ports)))  # in, and out
        for tensor, memory, share in hops:
            for way, reads in enumerate((True, False)) if tensor in at else ():
                port = self.ports.index(port_name(memory, reads))
                self.passing[way, at[tensor], :, port] += share
        self.first, self.last = (np.zeros((len(tensors), count)) for _ in range(2))
        for sizes, found in ((least.first, self.first), (least.last, self.last)):
            for tensor, size in sizes.items():
                found[at[tensor]] = size
        self.firsts = [[at[one] for one in reads if one in least.first] for reads in reads_of]
        self.makers = [[at[one] for one in reads if one in names] for reads in reads_of]
        after = [name for name in least.after if name not in stays]
        self.inputs = [[after.index(one) for one in reads if one in after] for reads in reads_of]
        self.loads = [at[name] for name in after]
        self.after = [least.after[name] for name in after]
        self.loaded = np.array([least.moved[name] for name in after]).reshape(len(after), count)

    def _ends(self, rates: Rates) -> tuple[Floats, Floats]:
        """Ticks [U, N] before each unit's first tile and after its last at least: until what is read there
        has come from DRAM or is made, and until what reads it is made and stored. And those [N] of DRAM's
        port until what its last loads bring is used up.
        """
        read = rates.get(self.read, 0)
        ticks, ending, late = self.of_tile @ np.array([rates[unit] for unit in self.units], np.float64)
        coming, going = self.passing @ np.array([rates.get(port, 0) for port in self.ports], np.float64)
        firsts, made, heads = self.first * coming, ticks + late, np.zeros_like(ticks)
        for at, (loads, makers) in enumerate(zip(self.firsts, self.makers, strict=True)):
            if loads:
                heads[at] = firsts[loads].sum(0) if self.near else firsts[loads].max(0)
            for maker in makers:
                if maker < at:
                    heads[at] = np.maximum(heads[at], heads[maker] + made[maker])
        tails, loaded = self.last[: len(ticks)] * going[: len(ticks)], np.zeros_like(self.loaded)
        for at in range(len(ticks) - 1, -1, -1):
            tails[at] += late[at]
            for maker in self.makers[at]:
                tails[maker] = np.maximum(tails[maker], tails[at] + ending[at])
            for load in self.inputs[at]:
                loaded[load] = np.maximum(loaded[load], self.after[load] * ending[at] + tails[at])
        loaded += self.last[self.loads] * (coming[self.loads] - read)
        behind = loaded[:, None] >= loaded  # of each load those that come no later
        totals = (self.loaded[:, None] * behind).sum(0) * read
        port = (totals + loaded * (totals > 0)).max(0, initial=0)
        head, tail = ((every + self.unused).min(1) for every in (heads, tails))
        return np.where(np.isfinite(head), head + tail, 0.0), port

    def _bound(self, rates: Rates) -> Floats:
        """Ticks [2, N] that each nest takes at least with two buffers of each tile, and all that are busy."""
        if self._bounds is None or self._bounds[0] is not rates:
            busy = self.busy * np.array([rates.get(name, 0) for name in self.names], np.float64)
            ends, port = self._ends(rates)
            bound = np.maximum(np.maximum(busy.max(1), port), (busy[:, : len(ends)] + ends.T).max(1))
            self._bounds = rates, np.array([bound, busy.sum(1)])
        return self._bounds[1]

    def _taking_turns(self, rates: Rates) -> Floats:
        """Ticks [N] in which units compute and, while they may not, ports pass tiles that have one buffer."""
        if self._turns is None or self._turns[0] is not rates:
            found = 0 * self.tiles
            for (name, unit), cycles in self.cycles.items():
                ticks = (size * rates.get(port, 0) for port, size in self.turns(name).items())
                longest = reduce(np.maximum, ticks, 0 * self.tiles)
                found = np.maximum(found, np.where(cycles > 0, cycles * rates[unit] + longest, 0))
            self._turns = rates, found
        return self._turns[1]

    def floors(self, worth: Worth, single: Bools) -> Floats:
        """What each nest costs at least, those of which each tile has a `single` buffer apart."""
        bound, busy = self._bound(worth.rates)
        if single.any():
            bound = np.maximum(bound, single * self._taking_turns(worth.rates))
        costs: Floats = worth.cost(bound, busy, self.tiles, self.moved)
        return costs * (1 - 1e-9)
