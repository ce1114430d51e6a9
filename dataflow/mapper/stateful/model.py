"""The model of a stateful group: engine ticks, joules and bytes of a point as sums, without lowering it.

Ticks of every engine and the traffic are those of `einsim.dataflow.analytical`. On top comes the pipeline's
pace: a state's chain of Einsums, or too few tiles in flight, can hold tiles back where no engine is busy all
the time, and with a single set of state buffers each outer tile waits for the one before to drain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.account import PICO, accesses_of, action_pj
from einsim.dataflow.clock import Clock, bus_name
from einsim.dataflow.footprint import access_of, tile_bytes
from einsim.dataflow.leaf import (
    LeafCost,
    Residence,
    array_cycles,
    exploited,
    latency_cycles,
    leaf_cost,
    partial_sum,
    returns,
)
from einsim.dataflow.mapper.nest import Retention
from einsim.dataflow.mapper.stateful.figures import CostTerm, Figures
from einsim.dataflow.mapper.stateful.group import Group
from einsim.dataflow.mapper.stateful.layouts import key_of
from einsim.dataflow.mapper.stateful.pace import Stage, drain, pace
from einsim.dataflow.mapper.stateful.point import (
    Assignment,
    Pipelining,
    StatefulPoint,
    Tiling,
    body_loops,
    chained,
    in_tail,
    tail_loops,
)  # fmt: skip
from einsim.dataflow.mapper.stateful.tile_counts import Extents, TileCounts, split
from einsim.dataflow.mapping import Compute
from einsim.dataflow.program import READ, WRITE, Action, MemoryAccess
from einsim.workloads.cascade import Einsum, Tensor

Sums = tuple[int | None, int | None]
"""Results that a step finds begun, and those that it leaves unfinished: 0 or None, which is all."""


class Model:
    """Costs of one group on one machine; parts are remembered."""

    def __init__(self, group: Group, machine: Machine) -> None:
        self.group = group
        self.machine = machine
        self.cascade = group.cascade
        self.clock = Clock(machine, (*group.body, *group.tail))
        self.sizes = group.cascade.sizes
        self.steps = self.sizes[group.step]
        self.units = {unit.name: unit for unit in machine.units}
        self.leak_j = machine.static_w / (self.clock.ticks_per_cycle * machine.clock_hz)
        self.capacity = {memory.name: memory.capacity_bytes for memory in machine.memories} | {
            unit.name: unit.registers.bytes_per_pe * unit.pes if unit.registers else 0
            for unit in machine.units
        }
        self._own: dict[tuple[object, TileCounts], CostTerm] = {}
        self._touch: dict[tuple[object, str, str, TileCounts], CostTerm] = {}
        self._moved = {tensor: group.moved(tensor) for tensor in (*group.inputs, *group.made)}
        self._stages: dict[tuple[object, TileCounts], Stage] = {}
        self._bytes: dict[tuple[Tensor, tuple[tuple[str, int], ...]], int] = {}

    def counts(self, tiling: Tiling) -> TileCounts:
        """The tiles that a tiling cuts."""
        found = []
        for rank in self.group.free:
            tiles = tuple(tile for name, tile in (*tiling.outer, *tiling.inner) if name == rank)
            found.append((rank, tuple(sorted(split(self.sizes[rank], tiles).items()))))
        return TileCounts(tuple(found))

    def times(self, einsum: Einsum) -> int:
        """How often an Einsum runs for each tile: once a step, or once."""
        return self.steps if einsum.name in self.group.stepping else 1

    def own(self, node: Compute, counts: TileCounts) -> CostTerm:
        """What an Einsum costs on its unit, operands aside."""
        key = (key_of(node), counts)
        if key not in self._own:
            self._own[key] = self._leaf(node, counts, "", "")
        return self._own[key]

    def touch(self, node: Compute, tensor: str, home: str, counts: TileCounts) -> CostTerm:
        """What an Einsum's reads of a tensor, or its writes, cost where the tensor is at `home`."""
        key = (key_of(node), tensor, home, counts)
        if key not in self._touch:
            self._touch[key] = self._leaf(node, counts, tensor, home)
        return self._touch[key]

    def _leaf(self, node: Compute, counts: TileCounts, tensor: str, home: str) -> CostTerm:
        einsum = self.cascade.einsum(node.einsum)
        ticks: dict[str, int] = {}
        joules = 0.0
        for extents, count in counts.combos(frozenset(self.group.free)):
            tile = {**self.sizes, self.group.step: 1, **extents}
            for steps, sums in self._steps(einsum):
                runs = count * steps
                if tensor:
                    accesses, actions = self._operand(node, tile, tensor, home, sums)
                    for access in accesses:
                        joules += runs * self._access_j(access)
                        for stream in self.clock.transfer(access):
                            ticks[stream.port] = ticks.get(stream.port, 0) + runs * stream.ticks
                else:
                    cost = self._alone(node, tile, (), "", sums)
                    actions = {one: times for one, times in cost.actions.items() if one.kind == "op"}
                    cycles = cost.cycles * self.clock.unit_ticks[node.unit]
                    ticks[node.unit] = ticks.get(node.unit, 0) + runs * cycles
                joules += runs * sum(self._action_j(one) * times for one, times in actions.items())
        return CostTerm(ticks=tuple(ticks.items()), joules=joules)

    def _operand(
        self, node: Compute, tile: Mapping[str, int], tensor: str, home: str, sums: Sums
    ) -> tuple[list[MemoryAccess], dict[Action, int]]:
        """Accesses and register actions of one tensor: what it adds to a tile whose other operands are free.
        A result that adds up in registers is read and written there, wherever it goes then.
        """
        cost = self._alone(node, tile, (tensor,), home, sums)
        actions = {one: times for one, times in cost.actions.items() if one.kind == "register"}
        if tensor != node.einsum:
            without = self._alone(node, tile, (), "", sums).actions
            actions = {one: times - without.get(one, 0) for one, times in actions.items()}
        return [access for access in cost.accesses if access.tensor == tensor], actions

    def _alone(
        self, node: Compute, tile: Mapping[str, int], read: tuple[str, ...], home: str, sums: Sums
    ) -> LeafCost:
        """A tile that reads only some tensors, from `home`; its result goes there too if it is one of them,
        else to DRAM.
        """
        einsum = self.cascade.einsum(node.einsum)
        others = tuple(sorted({access.tensor for access in einsum.reads} - set(read)))
        homes = {einsum.name: self.machine.dram.name} | dict.fromkeys(read, home)
        return leaf_cost(
            self.cascade, self.machine, einsum, msgspec.structs.replace(node, chained=others), tile,
            {name: Residence(memory=at) for name, at in homes.items()}, begun=sums[0], unfinished=sums[1],
        )  # fmt: skip

    def _steps(self, einsum: Einsum) -> tuple[tuple[int, Sums], ...]:
        """How many steps compute an Einsum, with what they find and leave of partial sums."""
        times = self.times(einsum)
        if self._adds_up(einsum):
            return (1, (0, None)), (times - 2, (None, None)), (1, (None, 0))
        return ((times, (0, 0)),)

    def _adds_up(self, einsum: Einsum) -> bool:
        """Whether an Einsum's sums go on from step to step."""
        return self.times(einsum) > 1 and self.group.step in einsum.reduced

    def _action_j(self, action: Action) -> float:
        return PICO * (action_pj(self.machine, action) or 0.0)

    def _access_j(self, access: MemoryAccess) -> float:
        return sum(number * self._action_j(action) for action, number in accesses_of(self.machine, access))

    def size(self, name: str, extents: Extents, partial: Tensor | None = None) -> int:
        """Bytes of a tensor's tile; of its sums as they are while `partial`."""
        tensor = partial or self.cascade.tensor(name)
        key = (tensor, tuple(sorted((r, n) for r, n in extents.items() if r in self._moved[name])))
        if key not in self._bytes:
            user = self.cascade.producer(name) or self.group.readers(name)[0]
            own = {**self.sizes, **extents}
            self._bytes[key] = tile_bytes(self.cascade, self.machine, access_of(user, name), own, tensor)
        return self._bytes[key]

    def load(self, tensor: str, place: Retention, tiling: Tiling, counts: TileCounts) -> CostTerm:
        """Loads of an input from DRAM: again in every iteration of loops above it that do not move it."""
        tail = in_tail(self.group, tensor)
        loops = tail_loops(tiling) if tail else body_loops(self.group, tiling)
        moved = self._moved[tensor]
        again = 1
        for rank in dict.fromkeys(rank for rank, _ in loops[: place.depth]):
            if rank not in moved:
                tiles = tuple(tile for name, tile in loops[: place.depth] if name == rank)
                again *= sum(split(self.sizes[rank], tiles).values())
        step = self.group.step
        times = self.steps if step in moved and not tail else 1
        sizes = [
            (self.size(tensor, {**extents, step: 1} if times > 1 else extents), count * again * times)
            for extents, count in counts.combos(moved)
        ]
        return self._transfer(tensor, self.machine.dram.name, place.memory, sizes, load=True)

    def store(self, tensor: str, home: str, counts: TileCounts) -> CostTerm:
        """Stores of a result to DRAM: each tile once."""
        einsum = self.cascade.einsum(tensor)
        each = 1 if tensor in self.group.state else self.times(einsum)
        extents = {self.group.step: 1} if each > 1 else {}
        sizes = [
            (self.size(tensor, {**tile, **extents}), count * each)
            for tile, count in counts.combos(self._moved[tensor])
        ]
        return self._transfer(tensor, home, self.machine.dram.name, sizes, load=False)

    def _transfer(
        self, tensor: str, source: str, target: str, sizes: list[tuple[int, int]], *, load: bool
    ) -> CostTerm:
        ticks: dict[str, int] = {}
        joules = 0.0
        outer, inner = (source, target) if load else (target, source)
        engine = self.clock.port(self.machine.memory(outer), tensor, load) or f"move {tensor}"
        for size, count in sizes:
            for name, reads in ((source, True), (target, False)):
                if name in self.units:
                    value = max(1, self.cascade.tensor(tensor).bits)
                    action = Action(name, "register", READ if reads else WRITE)
                    joules += count * -(-size * 8 // value) * self._action_j(action)
                    continue
                access = MemoryAccess(
                    memory=name, tensor=tensor, read_bytes=size if reads else 0,
                    write_bytes=0 if reads else size,
                )  # fmt: skip
                joules += count * self._access_j(access)
                for stream in self.clock.transfer(access):
                    ticks[stream.port] = ticks.get(stream.port, 0) + count * stream.ticks
            if inner not in self.units:
                memory = self.machine.memory(inner)
                apart = bool(memory.dma_engines)  # then the port does not wait for descriptors
                own = 0 if apart else memory.descriptor_cycles * self.clock.ticks_per_cycle
                if own:
                    ticks[engine] = ticks.get(engine, 0) + count * own
                if memory.bus:
                    bus = bus_name(memory)
                    ticks[bus] = ticks.get(bus, 0) + count * size * self.clock.byte_ticks[bus]
        return CostTerm(ticks=tuple(ticks.items()), joules=joules)

    def held_inputs(self, places: tuple[Retention, ...], tiling: Tiling) -> dict[str, int]:
        """Bytes of the inputs by memory: two tiles where there is a next one."""
        found: dict[str, int] = {}
        for tensor, place in zip(self.group.inputs, places, strict=True):
            loops = tail_loops(tiling) if in_tail(self.group, tensor) else body_loops(self.group, tiling)
            size = self.size(tensor, dict(loops[: place.depth]))
            size *= 2 if self._again(loops[: place.depth]) else 1
            found[place.memory] = found.get(place.memory, 0) + size
        return found

    def held(
        self, tensor: str, tiling: Tiling, schedule: Pipelining, node: Compute | None = None, home: str = ""
    ) -> int:
        """Bytes of a made tensor in its home; at least, where it is not said which node makes it."""
        partial = None
        if node is not None:
            einsum = self.cascade.einsum(tensor)
            if self._adds_up(einsum) or returns(node, einsum, home):
                partial = partial_sum(self.cascade, self.units[node.unit], einsum)
        if tensor in self.group.state:
            loops, buffers = tiling.outer, schedule.sets
        elif in_tail(self.group, tensor):
            loops, buffers = tail_loops(tiling), 2
        else:
            loops, buffers = body_loops(self.group, tiling), schedule.flight
        return self.size(tensor, dict(loops), partial) * (buffers if self._again(loops) else 1)

    def held_made(
        self, assignment: Assignment, tiling: Tiling, schedule: Pipelining
    ) -> Iterator[tuple[str, int]]:
        """The home of each made tensor and its bytes there."""
        nodes = {node.einsum: node for node in assignment.nodes}
        for tensor, home in zip(self.group.made, assignment.homes, strict=True):
            yield home, self.held(tensor, tiling, schedule, nodes[tensor], home)

    def _again(self, loops: tuple[tuple[str, int], ...]) -> bool:
        return any(tile < self.sizes[rank] for rank, tile in loops)

    def parts(
        self, nodes: tuple[Compute, ...], homes: Mapping[str, str], counts: TileCounts
    ) -> list[CostTerm]:
        """What the Einsums cost and what stores do; accesses to tensors that `homes` leaves out are free."""
        found = [part for at in range(len(nodes)) for part in self._of_einsum(at, nodes, homes, counts)]
        found += [self.store(tensor, homes[tensor], counts) for tensor in self.group.outputs]
        return found

    def _of_einsum(
        self, at: int, nodes: tuple[Compute, ...], homes: Mapping[str, str], counts: TileCounts
    ) -> list[CostTerm]:
        """What one Einsum costs, with its operands."""
        group = self.group
        einsum = (*group.body, *group.tail)[at]
        names = {access.tensor for access in (einsum.output, *einsum.reads)}
        read = sorted(names - set(chained(group, nodes, at)))
        touches = [self.touch(nodes[at], tensor, homes[tensor], counts) for tensor in read if tensor in homes]
        return [self.own(nodes[at], counts), *touches]

    def loads(self, places: tuple[Retention, ...], tiling: Tiling, counts: TileCounts) -> list[CostTerm]:
        """Loads of all inputs."""
        return [
            self.load(tensor, place, tiling, counts)
            for tensor, place in zip(self.group.inputs, places, strict=True)
        ]

    def figures(self, point: StatefulPoint) -> Figures:
        """What a point costs."""
        counts = self.counts(point.tiling)
        ticks: dict[str, int] = {}
        joules = 0.0
        homes = dict(zip(self.group.made, point.assignment.homes, strict=True))
        homes |= {name: place.memory for name, place in zip(self.group.inputs, point.places, strict=True)}
        parts = self.parts(point.assignment.nodes, homes, counts)
        for part in (*parts, *self.loads(point.places, point.tiling, counts)):
            joules += part.joules
            for engine, number in part.ticks:
                ticks[engine] = ticks.get(engine, 0) + number
        held = self.held_inputs(point.places, point.tiling)
        for home, size in self.held_made(point.assignment, point.tiling, point.schedule):
            held[home] = held.get(home, 0) + size
        bound, paced = self.time(point, homes, counts, max(ticks.values()))
        return Figures(
            ticks=paced, bound=bound, joules=joules + self.leak_j * paced, held=held, fits=self.fits(held)
        )

    def fits(self, held: Mapping[str, int]) -> bool:
        """Whether every memory and register file holds its bytes."""
        return all(
            (capacity := self.capacity[name]) is None or need <= capacity for name, need in held.items()
        )

    def stages(self, nodes: tuple[Compute, ...], counts: TileCounts) -> tuple[list[Stage], list[Stage]]:
        """The body's and the tail's Einsums with the time of a whole tile."""
        found = [self._stage(node, counts) for node in nodes]
        return found[: len(self.group.body)], found[len(self.group.body) :]

    def _stage(self, node: Compute, counts: TileCounts) -> Stage:
        key = (key_of(node), counts)
        if key not in self._stages:
            einsum, unit = self.cascade.einsum(node.einsum), self.units[node.unit]
            scale = self.clock.unit_ticks[node.unit]
            extents = {**self.sizes, self.group.step: 1, **counts.largest()}
            work = exploited(self.cascade, unit, einsum, extents)
            self._stages[key] = Stage(
                einsum=einsum, unit=node.unit,
                ticks=array_cycles(self.cascade, unit, einsum, node, work) * scale,
                latency=latency_cycles(self.cascade, unit, einsum, node, extents) * scale,
            )  # fmt: skip
        return self._stages[key]

    def time(
        self, point: StatefulPoint, homes: Mapping[str, str], counts: TileCounts, busiest: int
    ) -> tuple[int, int]:
        """The analytical bound in ticks, and the ticks with the pipeline's pace."""
        nodes, schedule = point.assignment.nodes, point.schedule
        ticks = self.timed(nodes, homes, point.tiling, counts, schedule, busiest)
        return (busiest if schedule.interleaved else ticks), ticks

    def timed(
        self, nodes: tuple[Compute, ...], homes: Mapping[str, str], tiling: Tiling, counts: TileCounts,
        schedule: Pipelining, busiest: int,
    ) -> int:  # fmt: skip
        """Ticks of a schedule whose busiest engine works that long; `homes` of all tensors."""
        if schedule.interleaved:
            return self.paced(nodes, tiling, counts, schedule, busiest)
        return max(busiest, self.serial(nodes, homes, counts))

    def paced(
        self, nodes: tuple[Compute, ...], tiling: Tiling, counts: TileCounts, schedule: Pipelining,
        busiest: int,
    ) -> int:  # fmt: skip
        """Ticks of interleaved tiles: whole ones at the pipeline's interval, and drains of outer ones."""
        body, tail = self.stages(nodes, counts)
        tiles = self.steps * counts.whole()
        interval = pace(self.group, body, self.inner_tiles(tiling), schedule.flight, busiest // tiles)
        outer = self.outer_tiles(tiling)
        lost = outer * drain(body, tail, interval) if schedule.sets == 1 and outer > 1 else 0
        return max(busiest, interval * tiles + lost)

    def serial(self, nodes: tuple[Compute, ...], homes: Mapping[str, str], counts: TileCounts) -> int:
        """Ticks when a tile's Einsums run one after the other, each as long as its unit or busiest port."""
        total = 0
        runs = self.steps * sum(count for _, count in counts.combos(frozenset(self.group.free)))
        for at, node in enumerate(nodes[: len(self.group.body)]):
            latency = self._stage(node, counts).latency
            busy: dict[str, int] = {}
            for part in self._of_einsum(at, nodes, homes, counts):
                for engine, ticks in part.ticks:
                    busy[engine] = busy.get(engine, 0) + ticks
            total += max(busy.values())
            total += latency * runs * (len(self.group.body) > 1)
        return total

    def inner_tiles(self, tiling: Tiling) -> int:
        """Tiles between a step and the next one of the same tile, where all are whole."""
        count = 1
        outer = dict(tiling.outer)
        for rank, tile in tiling.inner:
            count *= max(1, outer.get(rank, self.sizes[rank]) // tile)
        return count

    def outer_tiles(self, tiling: Tiling) -> int:
        """Iterations of the loops around the steps."""
        return math.prod(-(-self.sizes[rank] // tile) for rank, tile in tiling.outer)
