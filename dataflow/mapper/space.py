"""The map space: every mapping that the mapper may return, in words, as numbers, one by one or at random.

A mapping of the space is made of these choices:

- tensors that stay whole in the outermost on-chip memory: results of which a group doesn't make and read all,
  for all of the cascade, inputs from the first of the Einsums that read them alike;
- fusion: the Einsums, in the cascade's order, fall into groups of neighbours that share a tensor, one after
  the other through DRAM, each a pipeline; longer ones are runs, with fewer choices (`Groups`);
- of a group: which ranks that all of it iterates are shared loops, their order and tiles; for each tensor
  made and read inside the group an on-chip memory below those loops; for each input that several of it read
  alike one memory for all of them, above a shared loop that does not move it or below all, or none; where
  each core has such a memory, one rank for all of it along the cores;
- of a group that carries state: the rank of its steps is a shared loop with single points, the state stays
  around it in an on-chip memory;
- of an Einsum: the unit, the ranks along the unit's dimensions (one along the cores, which may lie along
  another dimension too: of the result or, of few results in a memory of all cores, a reduced one), one block
  of loops for each memory between DRAM and the unit, the order of each block (ranks that move the same
  tensors stand together, those that move all of them outermost), and each loop's tile out of a menu, such
  that cores, rows and columns are all occupied where the rank has the points;
- of a tensor: in which of those memories it is kept, and above which loop (above one that does not move it,
  or innermost). A memory holds what it may hold only; inputs and results are read from a core's own memory;
  the operand that stays in an array may come straight from DRAM.

Every keep has the same number of buffers. No shared loop is over a rank that an Einsum read inside reduces.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from einsim.accel import links
from einsim.accel.machine import Machine
from einsim.dataflow.cores import cores_ranks
from einsim.dataflow.holds import common_levels
from einsim.dataflow.mapper import vectors
from einsim.dataflow.mapper.beside import in_order
from einsim.dataflow.mapper.exact import counted, simple
from einsim.dataflow.mapper.groups import Groups, cuts
from einsim.dataflow.mapper.model import cost
from einsim.dataflow.mapper.nest import Inside, Nest, Route, name_of, nest_among, nests_of, orders, routes_of
from einsim.dataflow.mapper.point import GroupPoint, NestPoint, Point
from einsim.dataflow.mapper.residents import resident_bytes, resident_sets
from einsim.dataflow.mapper.restrictions import check_resident, check_restrictions
from einsim.dataflow.mapper.tables import Scales, scales, tables
from einsim.dataflow.mapper.tiles import Menu
from einsim.dataflow.mapper.vectors import TileSpace, TileVector
from einsim.dataflow.mapping import Compute
from einsim.dataflow.spatial import Layouts, placements, step_placements, without
from einsim.specs.arrays import Floats
from einsim.specs.errors import SpecError
from einsim.workloads.cascade import Cascade, Einsum


class MapSpace(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The mappings of `cascade` on `machine`, with what the user restricts.

    `menu` chooses tile sizes ("all", "perfect", "steps"); `most_fused` bounds a group, but for what belongs
    with a product of it (1: no fusion), and `longest` a run; `keep`
    holds a tensor whole in a memory, `{"K": "gb"}`, where its Einsum stands alone or reads it from
    outside the group; `order` fixes an Einsum's loops, outermost first; `unit` its unit; `groups` the
    fusion itself; `resident` names results that stay whole on chip for all of the cascade (None: any set of
    `residents()`); `buffers` is how many tiles each keep has (1: the next is filled in its place).
    Raises SpecError for names that do not exist.
    """

    cascade: Cascade
    machine: Machine
    menu: Menu = "all"
    most_fused: int = 3
    longest: int = 48
    keep: Mapping[str, str] = {}
    order: Mapping[str, tuple[str, ...]] = {}
    unit: Mapping[str, str] = {}
    groups: tuple[tuple[str, ...], ...] = ()
    buffers: int = 2
    resident: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_restrictions(
            self.cascade, self.machine, self.menu, self.most_fused, self.keep, self.order, self.unit
        )
        names = [einsum.name for einsum in self.cascade.einsums]
        check_resident(self.cascade, self.resident or (), self.global_buffer)
        if self.groups and [name for group in self.groups for name in group] != names:
            raise SpecError("space.groups", f"must be {', '.join(names)} in this order, cut into groups")

    def __str__(self) -> str:
        """The space in words, with its size."""
        lines = [
            f"{self.cascade.name} on {self.machine.name}: {self.count():.3g} mappings, tiles '{self.menu}'"
        ]
        if self.groups:
            lines.append("groups: " + " | ".join(" ".join(group) for group in self.groups))
        else:
            runs = f", runs of {self.longest}" if self.longest > self.most_fused > 1 else ""
            lines.append(f"groups of at most {self.most_fused} neighbouring Einsums{runs}")
        lines += [f"keep {tensor} whole in {memory}" for tensor, memory in self.keep.items()]
        lines += [f"order of {name}: {' '.join(ranks)}" for name, ranks in self.order.items()]
        lines += [f"{name} on {unit}" for name, unit in self.unit.items()]
        for einsum in self.cascade.einsums:
            found = list(self.nests(einsum, Inside()))
            units = " ".join(dict.fromkeys(nest.node.unit for nest in found))
            lines.append(f"{einsum.name}: {len(found)} loop nests on {units or 'no unit'}")
        return "\n".join(lines)

    @cached_property
    def why_not_exact(self) -> str:
        """Why the compiled model does not hold here; "" where it does."""
        if self.machine.noc:
            return f"{self.machine.name}: a network to the cores"
        for one in self.machine.memories:
            if one.bus or one.descriptor_cycles or one.banks > 1:
                return f"{self.machine.name}: {one.name}'s bus, banks or descriptors"
        for unit in self.machine.units:
            if unit.convention:
                return f"{self.machine.name}: what {unit.name}'s convention counts"
        for einsum in self.cascade.einsums:
            reason = simple(self.cascade, self.machine, einsum)
            if not reason and not all(
                counted(self.cascade, self.machine, einsum, node) for node in self.leaves(einsum)
            ):
                reason = "some layouts have tied ranks beside others"
            if reason:
                return f"{einsum.name}: {reason}"
        return ""

    @cached_property
    def scale(self) -> Scales:
        """How counts become ticks, joules and limits on this machine."""
        taken = sum(self.bytes_of(name) for name in self.resident or ())
        return scales(self.machine, {self.global_buffer: taken} if taken else {})

    @cached_property
    def global_buffer(self) -> str:
        """The outermost on-chip memory, if all units get their operands through it; else ""."""
        name = next(iter(common_levels(self.machine, (unit.name for unit in self.machine.units))), "")
        return name if name and self.machine.memory(name).copies == 1 else ""

    def bytes_of(self, tensor: str) -> int:
        """Bytes of a whole tensor in the global buffer."""
        return resident_bytes(self.cascade, self.machine, tensor, self.global_buffer)

    def residents(self) -> tuple[tuple[str, ...], ...]:
        """The sets of tensors that may stay whole in the global buffer, the empty one first."""
        if self.resident is not None:
            return (self.resident,)
        if not self.global_buffer or self.groups or self.machine.memory(self.global_buffer).holds:
            return ((),)
        return resident_sets(self.cascade, self.machine, self.global_buffer)

    def spaces(self) -> tuple[MapSpace, ...]:
        """This space cut by which results stay on chip throughout."""
        found = tuple(msgspec.structs.replace(self, resident=some) for some in self.residents())
        for space in found:  # what stays on chip changes no layout and no menu
            vars(space).update(_leaves=self._leaves, _known=self._known, tiles=self.tiles)
        return found

    def fusions(self) -> Iterator[tuple[Einsum, ...]]:
        """Every group that the space allows."""
        if self.groups:
            return (tuple(map(self.cascade.einsum, group)) for group in self.groups)
        return self._groups.every(self.einsums)

    @cached_property
    def einsums(self) -> tuple[Einsum, ...]:
        """The order that groups are cut from."""
        return self.cascade.einsums if self.groups else in_order(self.cascade)

    @cached_property
    def covers(self) -> bool:
        """Whether groups of the space cover the cascade, each of Einsums that read something."""
        index, reached = {einsum.name: at for at, einsum in enumerate(self.einsums)}, {0}
        for group in sorted(self.fusions(), key=lambda group: index[group[0].name]):
            if (first := index[group[0].name]) in reached and all(einsum.reads for einsum in group):
                reached.add(first + len(group))
        return len(index) in reached

    def insides(self, group: tuple[Einsum, ...]) -> Iterator[Inside]:
        """Shared loops (in every order) and what stays around the pipeline, for a group."""
        return self._groups.insides(group)

    def resident_in(self, group: tuple[Einsum, ...]) -> frozenset[str]:
        """What of the resident tensors a group touches."""
        return self._groups.resident_in(group)

    def point(self, groups: tuple[GroupPoint, ...]) -> Point:
        """The point of some groups; of the resident tensors those stay that pass between them."""
        there = {name for group in groups for name in group.inside.resident}
        resident = tuple(name for name in self.resident or () if name in there)
        return Point(groups=groups, resident=resident, global_buffer=self.global_buffer)

    @cached_property
    def _groups(self) -> Groups:
        return Groups(
            cascade=self.cascade, machine=self.machine, leaves=self.leaves, tiles=self.tiles,
            resident=frozenset(self.resident or ()), global_buffer=self.global_buffer,
            most_fused=self.most_fused, longest=self.longest, known=self._known,
        )  # fmt: skip

    def leaves(self, einsum: Einsum, step: str = "") -> tuple[Compute, ...]:
        """Units and layouts of an Einsum; in a group that walks the steps of a state on any unit, since what
        is made there has one home for makers and readers.
        """
        key = (einsum.name, step)
        if key not in self._leaves:
            only = self.unit.get(einsum.name, "")
            found = placements(self.cascade, self.machine, einsum, only, anywhere=bool(step))
            self._leaves[key] = tuple(without(step, found))
        return self._leaves[key]

    def every_leaf(self, einsum: Einsum, kind: Layouts = "full") -> tuple[Compute, ...]:
        """Units and layouts of an Einsum wherever it stands and its operands are, those of walked steps with
        any two ranks; a reduced rank may lie along cores with memories of their own, too.
        """
        only = self.unit.get(einsum.name, "")
        found = [*self.leaves(einsum), *placements(self.cascade, self.machine, einsum, only, parts=True)]
        for step in sorted({rank for e in self.cascade.einsums for rank in e.iterative} & {*einsum.ranks}):
            stepped = step_placements(self.cascade, self.machine, einsum, step, kind)
            found += [*(n for n in stepped if only in ("", n.unit)), *self.leaves(einsum, step)]
        return tuple(node for at, node in enumerate(found) if node not in found[:at])

    @cached_property
    def _leaves(self) -> dict[tuple[str, str], tuple[Compute, ...]]:
        return {}

    def nests(self, einsum: Einsum, inside: Inside) -> Iterator[Nest]:
        """Loop nests of an Einsum in its surroundings."""
        return itertools.chain.from_iterable(self.by_layout(einsum, inside))

    def by_layout(self, einsum: Einsum, inside: Inside) -> Iterator[Iterator[Nest]]:
        """Those of one layout after the other, listed when they are asked for."""
        of, rest = (self.cascade, self.machine, einsum, inside), (self.keep, self.buffers)
        return (nests_of(*of, *layout, *rest) for layout in self._layouts(einsum, inside))

    def layouts(
        self, einsum: Einsum, around: Inside, among: Sequence[Sequence[Inside]]
    ) -> Iterator[tuple[Nest, list[list[int]]]]:
        """A nest for each layout inside some loops: the choices of each tensor are those that it has `among`
        some surroundings, one after the other, of which so many each.
        """
        for node, routes, own in self._layouts(einsum, around):
            yield nest_among(
                self.cascade, self.machine, einsum, around, node, routes, next(own), self.keep, self.buffers,
                among,
            )  # fmt: skip

    def _layouts(
        self, einsum: Einsum, inside: Inside
    ) -> Iterator[tuple[Compute, tuple[Route, ...], Iterator[tuple[str, ...]]]]:
        """The leaves of an Einsum with the ways of its operands, and orders of loops."""
        given = self.order.get(einsum.name)
        blocks = (given,) if given else orders(self.cascade, einsum, inside.step)
        for node in self.leaves(einsum, inside.step):
            if inside.core and cores_ranks(node) != (inside.core,):
                continue
            key = name_of(node)
            if key not in self._known:
                memories = self.machine.unit(node.unit).memories.values()
                ways = (way for name in memories for way in links.paths(self.machine.links, name))
                self._known[key] = routes_of(self.cascade, self.machine, node), max(map(len, ways))
            routes, deep = self._known[key]
            every = itertools.product(blocks, repeat=deep)
            yield node, routes, (tuple(itertools.chain(*own)) for own in every)

    @cached_property
    def _known(self) -> dict[tuple[object, ...], Any]:
        """What is known of leaves and groups, whatever is resident."""
        return {}

    @cached_property
    def tiles(self) -> TileSpace:
        """The tile sizes of its loops."""
        return TileSpace(
            cascade=self.cascade, machine=self.machine, menu=self.menu, keeps=bool(self.keep),
            ordered=frozenset(name for name, ranks in self.order.items() if ranks),
        )  # fmt: skip

    def shared_menus(self, inside: Inside) -> tuple[tuple[int, ...], ...]:
        """Tiles of each of a group's loops: it splits its rank, or walks the steps of a state."""
        return tuple((1,) if rank == inside.step else self.tiles.splits(rank) for rank in inside.shared)

    def largest_nest(self) -> int:
        """Vectors of tile sizes of the largest loop nest."""
        every = (nest for einsum in self.cascade.einsums for nest in self.nests(einsum, Inside()))
        return max((math.prod(map(len, vectors.pruned(self.tiles, nest))) for nest in every), default=0)

    def count(self) -> int:
        """How many points the space has (capacities and legality of partial sums not yet looked at)."""
        if self.resident is None:
            return sum(space.count() for space in self.spaces())
        index = {einsum.name: at for at, einsum in enumerate(self.einsums)}
        ways = [1] + [0] * len(index)
        for group in sorted(self.fusions(), key=lambda group: index[group[0].name]):
            first = index[group[0].name]
            ways[first + len(group)] += ways[first] * self._group_count(group)
        return ways[-1]

    def _group_count(self, group: tuple[Einsum, ...]) -> int:
        total = 0
        for inside in self.insides(group):
            every = [list(self.nests(einsum, inside)) for einsum in group]
            for shared in itertools.product(*self.shared_menus(inside)):
                total += math.prod(
                    sum(
                        vectors.count_vectors(self.tiles, nest, shared) * math.prod(map(len, nest.choices))
                        for nest in found
                    )
                    for found in every
                )
        return total

    def group_points(self, group: tuple[Einsum, ...]) -> Iterator[GroupPoint]:
        """Every point of one group."""
        for inside in self.insides(group):
            for shared in itertools.product(*self.shared_menus(inside)):
                every = [
                    [point for nest in self.nests(einsum, inside) for point in self.nest_points(nest, shared)]
                    for einsum in group
                ]
                for points in itertools.product(*every):
                    yield GroupPoint(inside=inside, nests=points)

    def points(self) -> Iterator[Point]:
        """Every point: for small spaces only."""
        if self.resident is None:
            yield from itertools.chain.from_iterable(space.points() for space in self.spaces())
            return
        groups = {tuple(e.name for e in group): list(self.group_points(group)) for group in self.fusions()}
        names = tuple(einsum.name for einsum in self.einsums)
        for parts in cuts(names, frozenset(groups)):
            for chosen in itertools.product(*(groups[part] for part in parts)):
                yield self.point(chosen)

    def nest_points(self, nest: Nest, shared: TileVector = ()) -> Iterator[NestPoint]:
        """Every point of one nest."""
        return vectors.nest_points(self.tiles, nest, shared)

    def tile_vectors(self, nest: Nest, shared: TileVector = ()) -> Iterator[TileVector]:
        """Every vector of tile sizes of one nest."""
        return vectors.tile_vectors(self.tiles, nest, shared)

    def sample(self, rng: random.Random, tries: int = 200) -> Point | None:
        """A random point whose groups each fit their memories; None where `tries` found none."""
        if self.resident is None:
            return rng.choice(self.spaces()).sample(rng, tries)
        fusions = {tuple(e.name for e in group): group for group in self.fusions()}
        names = tuple(einsum.name for einsum in self.einsums)
        for _ in range(tries):
            parts, at = list[tuple[str, ...]](), 0
            while at < len(names):
                nexts = [part for part in fusions if part == names[at : at + len(part)]]
                if not nexts:
                    break  # what is left is part of no group
                parts.append(rng.choice(nexts))
                at += len(parts[-1])
            if at < len(names):
                continue
            drawn = (self._sample_group(fusions[part], rng) for part in parts)
            groups = tuple(group for group in drawn if group is not None)
            if len(groups) == len(parts):
                return self.point(groups)
        return None

    def _sample_group(self, group: tuple[Einsum, ...], rng: random.Random) -> GroupPoint | None:
        if not (every := list(self.insides(group))):
            return None
        inside = rng.choice(every)
        shared = rng.choice(list(itertools.product(*self.shared_menus(inside))))
        points = []
        for einsum in group:
            if (key := (einsum.name, inside)) not in self._known:
                self._known[key] = tuple(self.nests(einsum, inside))
            found = [nest for nest in self._known[key] if all(vectors.menus(self.tiles, nest, shared))]
            if not found:
                return None
            points.append(vectors.sample_nest(self.tiles, rng.choice(found), shared, rng))
        made = GroupPoint(inside=inside, nests=tuple(points))
        return made if self.total(made)[1] else None

    def row(self, point: NestPoint) -> tuple[Floats, bool]:
        """One nest's ticks by engine, joules and bytes by memory (see `Scales`), and whether it is legal."""
        table = tables(self.cascade, self.machine, point.nest, self.scale)
        rows, legal = cost(table, np.array([point.tiles], np.int64).reshape(1, -1), np.array([point.chosen]))
        return rows[0], bool(legal[0])

    def total(self, group: GroupPoint) -> tuple[Floats, bool]:
        """A group's row, and whether its nests are legal and together fit every memory."""
        found = [self.row(point) for point in group.nests]
        total: Floats = np.sum([row for row, _ in found], axis=0)
        held = total[len(self.scale.engines) + 1 :]
        fits = all(legal for _, legal in found) and bool(np.all(held <= np.array(self.scale.capacity)))
        return total, fits
