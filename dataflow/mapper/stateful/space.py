"""The map space of a fused group that carries state: in words, as numbers, one by one or at random.

All Einsums of the cascade are one group around the rank along which it carries state. A mapping is made of:

- shared loops around the steps and inside a step, over ranks that every Einsum iterates and nobody reduces,
  each with a tile out of a menu, in every order (ranks that move all tensors stand outermost);
- for each Einsum, the unit and the ranks along its dimensions (`layouts`, beside this file); ranks
  that no shared loop seen run whole inside a tile;
- for each tensor that the group makes, the on-chip memory, or the registers of its maker's unit, that it
  stays in: a state around the steps, any other below all loops;
- for each input, an on-chip memory and a depth: above a loop that does not move it, or innermost;
- tiles one after the other, or interleaved, with how many of them in flight (buffers for each value), and
  one or two sets of the state, so that the next outer tile begins while the last one drains.

An operand that the unit has just made, laid out alike, is chained from its registers. Inputs and results
are double-buffered. Not in the space: several levels of on-chip memory for one tensor, spills, tiles of
ranks that are not shared, and other orders of the Einsums than the cascade's.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from functools import cached_property

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.holds import common_levels
from einsim.dataflow.mapper.nest import Retention
from einsim.dataflow.mapper.restrictions import check_memories
from einsim.dataflow.mapper.stateful.group import Group, group_of
from einsim.dataflow.mapper.stateful.layouts import Spread, key_of, needs_registers, spread
from einsim.dataflow.mapper.stateful.model import Model
from einsim.dataflow.mapper.stateful.point import (
    Assignment,
    Pipelining,
    StatefulPoint,
    Tiling,
    body_loops,
    in_tail,
    tail_loops,
)  # fmt: skip
from einsim.dataflow.mapper.tiles import Menu, menu, narrowest
from einsim.dataflow.mapping import Compute
from einsim.dataflow.spatial import Layouts, step_placements
from einsim.dataflow.templates.sizes import group_along
from einsim.specs.errors import EinsimError, SpecError
from einsim.specs.near import near
from einsim.workloads.cascade import Cascade, Einsum

#: Tiles in flight that are tried.
FLIGHTS = (1, 2, 3, 4, 5, 6)


class StatefulSpace(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The mappings of `cascade`, one fused group with state, on `machine`, with what the user restricts.

    `menu` chooses tile sizes; `layouts` "any" lets an Einsum use a single row of an array; `unit` fixes an
    Einsum's unit; `flights`, `interleaved` and `sets` list what may be chosen; `innermost` keeps inputs below
    all loops, as bounds may ask for. Raises EinsimError where
    the cascade is no such group, SpecError for names that do not exist.
    """

    cascade: Cascade
    machine: Machine
    menu: Menu = "steps"
    layouts: Layouts = "full"
    unit: Mapping[str, str] = {}
    flights: tuple[int, ...] = FLIGHTS
    interleaved: tuple[bool, ...] = (True, False)
    sets: tuple[int, ...] = (1, 2)
    innermost: bool = False

    def __post_init__(self) -> None:
        check_memories(self.machine)
        found = group_of(self.cascade)
        if isinstance(found, str):
            raise EinsimError(f"{self.cascade.name} is not one fused group with state: {found}")
        names, units = list(self.group.made), [unit.name for unit in self.machine.units]
        for name, unit in self.unit.items():
            if name not in names:
                raise SpecError("space.unit", "unknown name", got=name, hint=near(name, names))
            if unit not in units:
                raise SpecError(f"space.unit.{name}", "unknown unit", got=unit, hint=near(unit, units))

    def __str__(self) -> str:
        """The space in words, with its size."""
        group = self.group
        lines = [
            f"{self.cascade.name} on {self.machine.name}: {self.count():.3g} mappings, tiles '{self.menu}'",
            f"one fused group, step by step along {group.step}: {' '.join(e.name for e in group.body)}"
            + (f"; then {' '.join(e.name for e in group.tail)}" if group.tail else ""),
            f"shared loops over {' '.join(group.free) or 'no rank'}: {len(self.tilings)} tilings",
            f"state kept over the steps: {' '.join(group.state)}",
        ]
        for einsum in self.einsums:
            found = self.nodes(einsum)
            units = " ".join(dict.fromkeys(node.unit for node in found))
            lines.append(f"{einsum.name}: {len(found)} layouts on {units or 'no unit'}")
        return "\n".join(lines)

    @cached_property
    def group(self) -> Group:
        """The cascade as one group."""
        found = group_of(self.cascade)
        assert isinstance(found, Group)
        return found

    @cached_property
    def model(self) -> Model:
        """Costs of the points."""
        return Model(self.group, self.machine)

    @cached_property
    def einsums(self) -> tuple[Einsum, ...]:
        """The Einsums in the group's order."""
        return (*self.group.body, *self.group.tail)

    @cached_property
    def _nodes(self) -> dict[str, tuple[Compute, ...]]:
        found = {}
        for einsum in self.einsums:
            every = step_placements(self.cascade, self.machine, einsum, self.group.step, self.layouts)
            only = self.unit.get(einsum.name)
            found[einsum.name] = tuple(node for node in every if only is None or node.unit == only)
        return found

    def nodes(self, einsum: Einsum) -> tuple[Compute, ...]:
        """Units and layouts of an Einsum, by themselves."""
        return self._nodes[einsum.name]

    @cached_property
    def tilings(self) -> tuple[Tiling, ...]:
        """Every choice of shared loops with tiles and orders."""
        width = narrowest(self.machine)
        every = [
            [(rank, outer, inner) for outer in sizes for inner in sizes if inner <= outer]
            for rank in self.group.free
            for group in [group_along(self.cascade, self.machine, rank)]
            for sizes in [menu(self.cascade.size(rank), self.menu, width, group=group)]
        ]
        found = []
        for chosen in itertools.product(*every):
            outer = [(rank, size) for rank, size, _ in chosen if size < self.cascade.size(rank)]
            inner = [(rank, size) for rank, above, size in chosen if size < above]
            for first, second in itertools.product(self._orders(outer), self._orders(inner)):
                found.append(Tiling(outer=first, inner=second))
        return tuple(found)

    def _orders(self, loops: list[tuple[str, int]]) -> Iterator[tuple[tuple[str, int], ...]]:
        """Ranks that move every tensor of the group stand outermost: no order of theirs saves a fetch."""
        every = [self.group.moved(tensor) for tensor in (*self.group.inputs, *self.group.made)]
        first = [loop for loop in loops if all(loop[0] in moved for moved in every)]
        for order in itertools.permutations([loop for loop in loops if loop not in first]):
            yield (*first, *order)

    def memories(self, tensor: str) -> tuple[str, ...]:
        """On-chip memories on the way to every unit that may touch a tensor."""
        if tensor not in self._memories:
            touching = [e for e in self.einsums if e.name == tensor or e in self.group.readers(tensor)]
            units = {node.unit for einsum in touching for node in self.nodes(einsum)}
            self._memories[tensor] = common_levels(self.machine, sorted(units))
        return self._memories[tensor]

    @cached_property
    def _memories(self) -> dict[str, tuple[str, ...]]:
        return {}

    def places(self, tensor: str, tiling: Tiling) -> tuple[Retention, ...]:
        """Where an input may be kept: above loops that do not move it, or innermost."""
        group = self.group
        moved = group.moved(tensor)
        tail = in_tail(group, tensor)
        loops = tail_loops(tiling) if tail else body_loops(group, tiling)
        both = not tail and any(e.name not in group.stepping for e in group.readers(tensor))
        if both:  # body and tail find it above the place where they part
            loops = tiling.outer
        depths = [
            at for at in range(len(loops) + 1)
            if (at == 0 or loops[at - 1][0] in moved) and (at == len(loops) or loops[at][0] not in moved)
        ]  # fmt: skip
        depths = depths[-1:] if self.innermost else depths
        return tuple(Retention(depth, memory) for memory in self.memories(tensor) for depth in depths)

    def homes(self, einsum: Einsum, node: Compute) -> tuple[str, ...]:
        """Where an Einsum's result may stay: its unit's registers, or a memory."""
        unit = self.machine.unit(node.unit)
        own = (node.unit,) if unit.registers is not None and self.group.readers(einsum.name) else ()
        return (*own, *self.memories(einsum.name))

    def agree(self, chosen: Mapping[str, tuple[Compute, str]], einsum: Einsum) -> bool:
        """Whether an Einsum's choice goes with those of its neighbours that are made already."""
        node, home = chosen[einsum.name]
        for access in einsum.reads:
            maker = chosen.get(access.tensor)
            if self.cascade.producer(access.tensor) is not None:
                if maker is not None and not self.serves(access.tensor, maker, einsum, node):
                    return False
            elif not self.serves(access.tensor, None, einsum, node):
                return False
        return all(
            self.serves(einsum.name, (node, home), reader, chosen[reader.name][0])
            for reader in self.group.readers(einsum.name)
            if reader.name in chosen
        )

    def serves(self, tensor: str, maker: tuple[Compute, str] | None, reader: Einsum, node: Compute) -> bool:
        """Whether the reader finds a tensor where its maker leaves it (None: it is an input)."""
        made = None if maker is None or maker[1] != maker[0].unit else maker[0]
        key = (tensor, id(made), reader.name, id(node))  # nodes live as long as the space
        if key not in self._served:
            if made is None:
                self._served[key] = not self.needs(tensor, reader, node)
            else:
                how = self.spread(made, self.cascade.einsum(tensor), tensor)
                self._served[key] = how == self.spread(node, reader, tensor)
        return self._served[key]

    def needs(self, tensor: str, reader: Einsum, node: Compute) -> bool:
        """Whether a reader must find a tensor in its unit's registers."""
        how = self.spread(node, reader, tensor)
        return self.layouts == "full" and needs_registers(self.machine, node, reader, how)

    @cached_property
    def _served(self) -> dict[tuple[str, int, str, int], bool]:
        return {}

    def spread(self, node: Compute, einsum: Einsum, tensor: str) -> Spread:
        """How an Einsum lays a tensor over its unit."""
        key = (key_of(node), tensor)
        if key not in self._spreads:
            self._spreads[key] = spread(self.cascade, node, einsum, tensor)
        return self._spreads[key]

    @cached_property
    def _spreads(self) -> dict[tuple[object, str], Spread]:
        return {}

    def assignments(self) -> Iterator[Assignment]:
        """Every way to choose units, layouts and homes together."""
        chosen: dict[str, tuple[Compute, str]] = {}

        def grow(at: int) -> Iterator[Assignment]:
            if at == len(self.einsums):
                picked = [chosen[einsum.name] for einsum in self.einsums]
                yield Assignment(nodes=tuple(n for n, _ in picked), homes=tuple(h for _, h in picked))
                return
            einsum = self.einsums[at]
            for node in self.nodes(einsum):
                for home in self.homes(einsum, node):
                    chosen[einsum.name] = (node, home)
                    if self.agree(chosen, einsum):
                        yield from grow(at + 1)
                    del chosen[einsum.name]

        return grow(0)

    @cached_property
    def schedules(self) -> tuple[Pipelining, ...]:
        """Interleaved or not, tiles in flight, sets of the state."""
        found = [
            Pipelining(interleaved=True, flight=flight, sets=sets)
            for flight in self.flights for sets in self.sets if True in self.interleaved
        ]  # fmt: skip
        if False in self.interleaved:
            found += [Pipelining(interleaved=False, flight=1, sets=sets) for sets in self.sets]
        return tuple(found)

    @cached_property
    def least(self) -> Pipelining:
        """The fewest buffers that any schedule takes."""
        flights = [schedule.flight for schedule in self.schedules]
        return Pipelining(interleaved=True, flight=min(flights), sets=min(self.sets))

    def count(self) -> int:
        """How many points there are before the rules that tie neighbours together, and capacities."""
        ways = sum(
            math.prod(len(self.places(tensor, tiling)) for tensor in self.group.inputs)
            for tiling in self.tilings
        )
        each = math.prod(
            sum(len(self.homes(einsum, node)) for node in self.nodes(einsum)) for einsum in self.einsums
        )
        return ways * each * len(self.schedules)

    def points(self) -> Iterator[StatefulPoint]:
        """Every point: for small spaces only."""
        every = list(self.assignments())
        for tiling in self.tilings:
            for places in itertools.product(*(self.places(name, tiling) for name in self.group.inputs)):
                for assignment, schedule in itertools.product(every, self.schedules):
                    yield StatefulPoint(
                        tiling=tiling, places=places, assignment=assignment, schedule=schedule
                    )

    def sample(self, rng: random.Random, tries: int = 2000) -> StatefulPoint | None:
        """A random point that fits its memories; None where `tries` found none."""
        for _ in range(tries):
            assignment = self._sample_assignment(rng)
            if assignment is None:
                continue
            tiling = rng.choice(self.tilings)
            point = StatefulPoint(
                tiling=tiling, assignment=assignment, schedule=rng.choice(self.schedules),
                places=tuple(rng.choice(self.places(name, tiling)) for name in self.group.inputs),
            )  # fmt: skip
            if self.model.figures(point).fits:
                return point
        return None

    def _sample_assignment(self, rng: random.Random) -> Assignment | None:
        chosen: dict[str, tuple[Compute, str]] = {}
        for einsum in self.einsums:
            pairs = [(node, home) for node in self.nodes(einsum) for home in self.homes(einsum, node)]
            rng.shuffle(pairs)
            for pair in pairs:
                chosen[einsum.name] = pair
                if self.agree(chosen, einsum):
                    break
            else:
                return None
        picked = [chosen[einsum.name] for einsum in self.einsums]
        return Assignment(nodes=tuple(node for node, _ in picked), homes=tuple(home for _, home in picked))
