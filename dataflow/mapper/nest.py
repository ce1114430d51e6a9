"""One Einsum's part of a mapping without tile sizes: unit, layout, loop order, where tensors can be kept."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.footprint import relevant_ranks
from einsim.dataflow.holds import passes_by, paths, reads, role_of, straight
from einsim.dataflow.mapping import Compute
from einsim.workloads.cascade import Access, Cascade, Einsum
from einsim.workloads.order import lags
from einsim.workloads.shape import radix


class Retention(msgspec.Struct, frozen=True):
    """A keep of one tensor: below `depth` loops of the nest, in `memory`.

    `moves`: data crosses its border. `fused`: it stands above the whole group; `holds`: its bytes are counted
    here (those of a tensor that several Einsums find there at one of them).
    """

    depth: int
    memory: str
    moves: bool = True
    holds: bool = True
    fused: bool = False


class Nest(msgspec.Struct, frozen=True, kw_only=True):
    """A loop nest of one Einsum, tile sizes left open.

    `loops` names the rank of each loop, outermost first; the first `shared` of them are its group's.
    `choices` gives, for each tensor, the homes that it may have, outermost first; the last is where the
    unit finds it. Each home has `buffers`.
    """

    einsum: str
    node: Compute
    loops: tuple[str, ...]
    shared: int
    tensors: tuple[str, ...]
    choices: tuple[tuple[tuple[Retention, ...], ...], ...]
    buffers: int = 2


class Pin(msgspec.Struct, frozen=True):
    """A tensor's home around a group's pipeline: in `memory`, below the first `depth` of the shared loops.

    Its bytes count at one Einsum, the one that makes it or reads it first, and so does what crosses its
    border, where it `moves`: an input comes in, a result may leave the group.
    """

    tensor: str
    memory: str
    depth: int
    counted: str
    moves: bool = True


class Inside(msgspec.Struct, frozen=True, kw_only=True):
    """A nest's surroundings: the ranks of the group's loops, the tensors that stay around its pipeline, and
    inputs that several of it read, each for itself. A group that carries state walks the rank `step`, one of
    its loops, point by point. Where each core has such a memory, all of the group has the rank `core` along
    the cores. `resident` tensors stay whole in the memory `global_buffer`.
    """

    shared: tuple[str, ...] = ()
    step: str = ""
    pins: tuple[Pin, ...] = ()
    common: frozenset[str] = frozenset()
    core: str = ""
    resident: frozenset[str] = frozenset()
    global_buffer: str = ""

    def pin(self, tensor: str) -> Pin | None:
        """A tensor's home around the group, if it has one."""
        return next((pin for pin in self.pins if pin.tensor == tensor), None)

    @property
    def bare(self) -> Inside:
        """Its loops alone."""
        return Inside(shared=self.shared, step=self.step, core=self.core)

    def of(self, tensor: str) -> Inside:
        """What of it matters to one tensor."""
        mine = frozenset({tensor})
        resident = self.resident & mine
        return Inside(
            shared=self.shared, step=self.step, pins=tuple(pin for pin in self.pins if pin.tensor == tensor),
            common=self.common & mine, core=self.core, resident=resident,
            global_buffer=self.global_buffer if resident else "",
        )  # fmt: skip

    def seen_by(self, einsum: Einsum) -> Inside:
        """What one Einsum sees of it, the same in every group in which it sees the same."""
        mine = frozenset({einsum.name, *(access.tensor for access in einsum.reads)})
        pins = (
            pin if pin.counted == einsum.name else msgspec.structs.replace(pin, counted="", moves=False)
            for pin in self.pins
            if pin.tensor in mine
        )
        return msgspec.structs.replace(
            self, pins=tuple(pins), common=self.common & mine, resident=self.resident & mine
        )


def plain(cascade: Cascade, access: Access) -> bool:
    """Whether each index runs over its whole dimension once, as one rank or as digits (`c*I+i`), or steps
    along a state: then what a tile touches is a product over ranks.
    """
    ranks: list[str] = []
    steps = cascade.overwritten.get(access.tensor, ())
    maker = cascade.producer(access.tensor)
    made = maker.output.indices if maker is not None and steps else access.indices
    for index, size, written in zip(access.indices, cascade.shape(access.tensor), made, strict=True):
        if steps and set(written.ranks) & set(steps):
            continue
        mine = radix(index, cascade.sizes) or ((index.plain,) if index.plain else ())
        if not mine or math.prod(map(cascade.size, mine)) != size:
            return False
        ranks += mine
    return len(set(ranks)) == len(ranks)


def shifts(cascade: Cascade, access: Access) -> dict[str, tuple[str, int]] | None:
    """The ranks to which an index adds another one, with that and how many of the first one's steps one of
    its own is: `2*p+r` gives r (p, 2). None where elements are in another way no product over ranks.
    """
    found: dict[str, tuple[str, int]] = {}
    state = {*cascade.overwritten.get(access.tensor, ())}
    indices = [index for index in access.indices if not state & {*index.ranks}]
    ranks = [term.rank for index in indices for term in index.terms]
    for index in indices:
        if len(index.terms) < 2 or radix(index, cascade.sizes):
            continue
        near, far = sorted(index.terms, key=lambda term: abs(term.coefficient))[-2:]
        if len(index.terms) > 2 or not near.coefficient or far.coefficient % near.coefficient:
            return None
        found[near.rank] = far.rank, abs(far.coefficient // near.coefficient)
    return found if len({*ranks}) == len(ranks) else None


class Operand(msgspec.Struct, frozen=True):
    """A tensor that an Einsum reads, or its output, and the ranks that move it; `own`: it reads its state.
    `times`: how many steps of a state it reads. `mirrored`: the rank of two points of which it reads the
    other one, too.
    """

    tensor: str
    moved: frozenset[str]
    own: bool = False
    times: int = 1
    mirrored: str = ""


def alike(cascade: Cascade, tensor: str, group: tuple[Einsum, ...]) -> tuple[Einsum, ...]:
    """The Einsums of a group that read a tensor, where there are several and each index of all of them is the
    same whole rank: what one has loaded the others use.
    """
    readers = tuple(einsum for einsum in group if any(a.tensor == tensor for a in einsum.reads))
    return readers if len(readers) > 1 and _alike(cascade, tensor, tuple(e.name for e in readers)) else ()


@lru_cache(maxsize=16_384)
def _alike(cascade: Cascade, tensor: str, names: tuple[str, ...]) -> bool:
    readers = map(cascade.einsum, names)
    accesses = [access for einsum in readers for access in einsum.reads if access.tensor == tensor]
    return all(access == accesses[0] for access in accesses) and plain(cascade, accesses[0])


def operands(cascade: Cascade, einsum: Einsum) -> tuple[Operand, ...]:
    """Distinct tensors read, its own state too, then the output; one read in two ways is moved by the ranks
    of both.
    """
    return _operands(cascade, einsum.name)


@lru_cache(maxsize=4096)
def _operands(cascade: Cascade, name: str) -> tuple[Operand, ...]:
    einsum = cascade.einsum(name)
    reads: dict[str, list[Access]] = {}
    for access in einsum.reads:
        reads.setdefault(access.tensor, []).append(access)
    found = []
    for tensor, some in reads.items():
        moved = frozenset[str]().union(*(relevant_ranks(cascade, access) for access in some))
        times = len(set(some)) if tensor in cascade.overwritten else 1
        found.append(Operand(tensor, moved, tensor == einsum.name, times, _mirrored(cascade, some)))
    return (*found, Operand(einsum.name, relevant_ranks(cascade, einsum.output)))


def _mirrored(cascade: Cascade, reads: list[Access]) -> str:
    """The rank of two points that turns one of two reads of a tensor into the other (rotary positions)."""
    if len({*reads}) != 2:
        return ""
    one, other = (
        {(t.rank, t.coefficient) for index in read.indices for t in index.terms} for read in reads[:2]
    )
    turned = {rank for rank, _ in one ^ other}
    return turned.pop() if len(turned) == 1 and all(cascade.size(rank) == 2 for rank in turned) else ""


def orders(cascade: Cascade, einsum: Einsum, step: str = "") -> tuple[tuple[str, ...], ...]:
    """Loop orders of one block, without a rank that is walked point by point outside. Ranks that move the
    same tensors stand together; those that move all of them stand outermost, since no order of theirs can
    save a fetch.
    """
    return _orders(cascade, einsum.name, step)


@lru_cache(maxsize=4096)
def _orders(cascade: Cascade, name: str, step: str) -> tuple[tuple[str, ...], ...]:
    einsum = cascade.einsum(name)
    every = operands(cascade, einsum)
    classes: dict[tuple[bool, ...], list[str]] = {}
    for rank in einsum.ranks:
        if cascade.size(rank) > 1 and rank != step:
            key = tuple(rank in operand.moved for operand in every)
            classes.setdefault(key, []).append(rank)
    first = [rank for key, ranks in classes.items() if all(key) for rank in ranks]
    rest = [ranks for key, ranks in classes.items() if not all(key)]
    return tuple((*first, *itertools.chain(*order)) for order in itertools.permutations(rest))


def name_of(node: Compute) -> tuple[object, ...]:
    """What tells a leaf that chains nothing from others."""
    return (node.einsum, node.unit, node.stationarity, *node.spatial.items())


class Route(NamedTuple):
    """How an operand comes to a leaf: the `ways_of` it, the memory in which the unit looks for it, whether it
    may be found outside that, and there in DRAM too.
    """

    ways: tuple[tuple[str, ...], ...]
    near: str
    free: bool
    straight: bool


def routes_of(cascade: Cascade, machine: Machine, node: Compute) -> tuple[Route, ...]:
    """The route of each operand of a leaf."""
    names = [operand.tensor for operand in operands(cascade, cascade.einsum(node.einsum))]
    return tuple(
        Route(
            ways_of(cascade, machine, node, name),
            reads(machine, node.unit, role_of(cascade, machine, node, name)),
            passes_by(cascade, machine, node, name),
            straight(cascade, machine, node, name),
        )
        for name in names
    )


def nests_of(
    cascade: Cascade, machine: Machine, einsum: Einsum, inside: Inside, node: Compute,
    routes: tuple[Route, ...], orders: Iterable[tuple[str, ...]], keep: Mapping[str, str], buffers: int = 2,
) -> Iterator[Nest]:  # fmt: skip
    """The nests of one leaf, of whose operands these are the `routes`, with its own loops in some orders;
    `keep` holds tensors whole in a memory.
    """
    every = operands(cascade, einsum)
    both = zip(every, routes, strict=True)
    kept = [_kept(cascade, machine, einsum, inside, operand, route) for operand, route in both]
    for own in orders:
        loops = (*inside.shared, *own)
        choices = tuple(
            _choices(loops, operand.moved, *one, keep.get(operand.tensor))
            for operand, one in zip(every, kept, strict=True)
        )
        if all(choices):
            yield Nest(
                einsum=einsum.name, node=node, loops=loops, shared=len(inside.shared),
                tensors=tuple(operand.tensor for operand in every), choices=choices, buffers=buffers,
            )  # fmt: skip


def nest_among(
    cascade: Cascade, machine: Machine, einsum: Einsum, around: Inside, node: Compute,
    routes: tuple[Route, ...], own: tuple[str, ...], keep: Mapping[str, str], buffers: int,
    among: Sequence[Sequence[Inside]],
) -> tuple[Nest, list[list[int]]]:  # fmt: skip
    """One nest of a leaf with the choices that each tensor has `among` some surroundings with the same loops,
    one after the other, and how many each is.
    """
    every, loops = operands(cascade, einsum), (*around.shared, *own)
    found = [
        [
            _choices(
                loops, one.moved, *_kept(cascade, machine, einsum, inside, one, route), keep.get(one.tensor)
            )
            for inside in some
        ]
        for one, route, some in zip(every, routes, among, strict=True)
    ]
    nest = Nest(
        einsum=einsum.name, node=node, loops=loops, shared=len(around.shared),
        tensors=tuple(operand.tensor for operand in every),
        choices=tuple(tuple(itertools.chain(*some)) for some in found), buffers=buffers,
    )  # fmt: skip
    return nest, [list(map(len, some)) for some in found]


@lru_cache(maxsize=16_384)
def _choices(
    loops: tuple[str, ...], moved: frozenset[str], start: tuple[Retention, ...], lowest: int,
    picks: tuple[tuple[str, ...], ...], keep: str | None,
) -> tuple[tuple[Retention, ...], ...]:  # fmt: skip
    """Homes of one tensor: those of `start`, then any of the `picks` of memories, each above a loop that does
    not move it, at least `lowest` loops in, or innermost. If `keep` names a memory, one keeps it whole there.
    """
    depths = [at for at, rank in enumerate(loops) if rank not in moved and at >= lowest] + [len(loops)]
    if keep and lowest == 0 and depths[0]:
        depths.insert(0, 0)
    found = []
    for picked in picks:
        for chosen in itertools.combinations_with_replacement(depths, len(picked)):
            homes = (*start, *(Retention(d, memory) for d, memory in zip(chosen, picked, strict=True)))
            if keep is None or any(home.memory == keep and home.depth == 0 for home in homes):
                found.append(homes)
    return tuple(found)


def _kept(
    cascade: Cascade, machine: Machine, einsum: Einsum, inside: Inside, operand: Operand, route: Route
) -> tuple[tuple[Retention, ...], int, tuple[tuple[str, ...], ...]]:
    """What is around a group of a tensor, below how many loops more of it may stay, and in which memories:
    any of a way of its to the unit. An operand that stays in the array may come straight from DRAM.
    """
    name = operand.tensor
    pin = inside.pin(name)
    lowest = len(inside.shared) if pin or name in inside.common else 0
    start: tuple[Retention, ...] = ()
    around = ""
    if pin:
        mine = pin.counted == einsum.name and not operand.own
        start = (Retention(pin.depth, pin.memory, mine and pin.moves, mine, True),)
        around = pin.memory
    if name in inside.resident:
        loads = cascade.producer(name) is None and cascade.consumers(name)[0] == einsum
        start = (Retention(0, inside.global_buffer, loads, False, True),)
        around = inside.global_buffer
    ways = route.ways
    ways = tuple(way[way.index(around) + 1 :] for way in ways if around in way) if around else ways
    outer = around or machine.dram.name
    if pin and inside.step and _looks_back(cascade, einsum, name):
        ways = tuple(way[:0] for way in ways)  # what the step before has left is where it was left
    every = (some for way in ways for n in range(len(way), -1, -1) for some in itertools.combinations(way, n))
    picks = []
    for picked in dict.fromkeys(every):
        inner = picked[-1] if picked else outer
        if inner == route.near or (route.free and (inner != machine.dram.name or route.straight)):
            picks.append(picked)
    return start, lowest, tuple(picks)


def _looks_back(cascade: Cascade, einsum: Einsum, tensor: str) -> bool:
    """Whether an Einsum reads, or takes up, a state that the step before has left."""
    maker = cascade.producer(tensor)
    reads = [access for access in einsum.reads if access.tensor == tensor]
    return maker is not None and any(any(lags(read, maker).values()) for read in reads)


def ways_of(cascade: Cascade, machine: Machine, node: Compute, tensor: str) -> tuple[tuple[str, ...], ...]:
    """The ways of an operand from DRAM to a leaf: on-chip memories that may hold it, outermost first."""
    return paths(machine, node.unit, role_of(cascade, machine, node, tensor))
