"""What single Einsums can do in given candidates: bounds, best rows and fronts, each worked out once."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from einsim.dataflow.mapper.archive import Goal
from einsim.dataflow.mapper.found import Found
from einsim.dataflow.mapper.kernel import root, search
from einsim.dataflow.mapper.nest import Inside, Nest
from einsim.dataflow.mapper.objective import BUFFER, ENERGY, FRONT, PARTS, order
from einsim.dataflow.mapper.point import GroupPoint, NestPoint
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapper.tables import CAPACITY, Tables, menu_arrays, tables
from einsim.dataflow.mapper.tiles import coarse_sizes
from einsim.dataflow.mapper.vectors import Loops, TileVector, loops_of, pruned, twins
from einsim.specs.arrays import Floats, Ints
from einsim.workloads.cascade import Einsum

FIRST_ROWS = 16
#: Nodes for one Einsum when an answer's ties are broken.
TIE_NODES = 20_000


class Archive:
    """Keys with metas, as the kernel wants them."""

    def __init__(self, width: int, meta: int) -> None:
        self.keys: Floats = np.empty((FIRST_ROWS, width))
        self.metas: Ints = np.zeros((FIRST_ROWS, meta), np.int64)
        self.count = 0

    def seed(self, keys: list[tuple[float, ...]]) -> None:
        """Figures that what is found has to beat; their metas end in -1."""
        self.keys = np.array([*keys, *keys][: max(len(keys), 2)])
        self.metas = np.full((len(self.keys), self.metas.shape[1]), -1, np.int64)
        self.count = len(keys)


class Entry(NamedTuple):
    """A nest, its arrays, the loops at which it becomes a copy of another order, and their tile sizes."""

    nest: Nest
    table: Tables
    twin: Ints
    loops: Loops


class Rows(NamedTuple):
    """Keys [n, ...] and metas [n, ...] found in a pool of nests, the nodes it took, and whether it is all."""

    keys: Floats
    metas: Ints
    pool: tuple[Entry, ...]
    nodes: int
    all: bool


class Candidates(NamedTuple):
    """Surroundings of a group's Einsums, (bound, inside, tiles of the shared loops) each, the least bound
    first; the least of the objective, and whether these are all.
    """

    every: list[tuple[Floats, Inside, TileVector]]
    least: float
    all: bool


class Pools:
    """Nests with their arrays, and bounds, which all parts of a space share: none looks at capacities."""

    def __init__(self) -> None:
        self.nests: dict[object, tuple[Entry, ...]] = {}
        self.bounds: dict[object, Floats] = {}
        self.rows: dict[object, list[tuple[Floats, Rows]]] = {}
        self._lock = threading.Lock()
        self._locks: dict[object, threading.Lock] = {}

    def lock(self, key: object) -> threading.Lock:
        """The lock of one result, so that it is worked out once."""
        with self._lock:
            return self._locks.setdefault(key, threading.Lock())


class Contexts:
    """Searches of single Einsums of one space. `late` says whether the time is up."""

    def __init__(
        self, space: MapSpace, objective: str, within: float, late: Callable[[], bool], pools: Pools
    ) -> None:
        self.space = space
        self.objective = objective
        self.within = within
        self.late = late
        self.scale = space.scale
        self.leak_j = self.scale.leakage_w * self.scale.tick_s
        self.width = len(self.scale.engines) + 1 + len(self.scale.memories)
        self.capacity = np.array(self.scale.capacity)
        self.pools = pools

    def pool(self, einsum: Einsum, inside: Inside) -> tuple[Entry, ...]:
        """The nests of an Einsum in its candidates."""
        return self._nests("pool", einsum, inside)

    def _layouts(self, einsum: Einsum, inside: Inside) -> tuple[Entry, ...]:
        """One nest for each layout: all orders of its loops have the same bound."""
        return self._nests("layouts", einsum, inside)

    def _nests(self, kind: str, einsum: Einsum, inside: Inside) -> tuple[Entry, ...]:
        own, space = own_part(einsum, inside), self.space
        key = (kind, einsum.name, own)
        with self.pools.lock(key):
            if key not in self.pools.nests:
                one = kind == "layouts"
                self.pools.nests[key] = tuple(
                    Entry(
                        nest,
                        tables(space.cascade, space.machine, nest, self.scale),
                        np.array([] if one else twins(space.tiles, nest), np.int64),
                        loops_of(space.tiles, nest),
                    )
                    for nest in space.nests(einsum, own, one_order=one)
                )
            return self.pools.nests[key]

    def goal(self, mode: int, *, parts: bool = False, leak: bool = True) -> Goal:
        """What a search for a mode compares; `parts`: all columns that can matter to it."""
        leak_j = self.leak_j if leak else 0.0
        return Goal(PARTS if parts else mode, leak_j, float(self.within), self._counts(mode))

    def _counts(self, mode: int) -> Floats:
        """Columns of a row that can matter to a group: those of the objective and of what may not fit."""
        engines = len(self.scale.engines)
        found = np.ones(self.width)
        if mode in (ENERGY, BUFFER) and not (self.leak_j and mode == ENERGY):
            found[:engines] = 0.0
        if mode == BUFFER:
            found[engines] = 0.0
        if mode not in (BUFFER, FRONT) and self.within == math.inf:
            found[engines + 1 :] = self.capacity < math.inf
        return found

    def key(self, row: Floats, mode: int) -> tuple[float, ...]:
        """A row as `einsim.dataflow.mapper.archive.key_of` compares it."""
        figures = self._sums(row)
        return figures if mode == FRONT else order(mode, *figures)

    def _sums(self, row: Floats) -> tuple[float, float, float]:
        """Ticks, joules with leakage, and bytes of a row."""
        engines = len(self.scale.engines)
        ticks = float(np.max(row[:engines]))
        joules = float(row[engines]) + self.leak_j * ticks
        return ticks, joules, float(np.sum(row[engines + 1 :]))

    def candidates(self, group: tuple[Einsum, ...], mode: int) -> Candidates:
        """The candidates of a group; those that no point of it fits are left out."""
        found = []
        for inside in self.space.insides(group):
            for shared in self.space.shared_tiles(inside):
                if self.late():
                    return Candidates([], -math.inf, False)
                bound = np.sum([self.bound(einsum, inside, shared) for einsum in group], axis=0)
                if np.isfinite(bound).all() and self._fits(bound):
                    found.append((bound, inside, shared))
        key = [self.key(bound, mode) for bound, _, _ in found]
        order = sorted(range(len(found)), key=lambda at: key[at])
        return Candidates([found[at] for at in order], min((one[0] for one in key), default=math.inf), True)

    def _fits(self, row: Floats) -> bool:
        held = row[len(self.scale.engines) + 1 :]
        return bool(np.all(held <= self.capacity)) and float(held.sum()) <= self.within

    def bound(self, einsum: Einsum, inside: Inside, shared: TileVector) -> Floats:
        """A row that no row of the Einsum inside these loops is below in any column; endless without one."""
        key = (einsum.name, own_part(einsum, inside), shared)
        found = self.pools.bounds.get(key)
        if found is None:
            rows = [
                root(entry.table, entry.loops.root(shared), len(shared))
                for entry in self._layouts(einsum, inside)
                if entry.loops.allow(shared)
            ]
            found = np.min(rows, axis=0) if rows else np.full(self.width, math.inf)
            self.pools.bounds[key] = found
        return found

    def alone(self, einsum: Einsum, inside: Inside, mode: int, most: int) -> Rows:
        """The best rows of one Einsum by itself: a few sizes first, for a bound, then the whole menus."""

        def work(pool: tuple[Entry, ...], most: int) -> Rows:
            archive = Archive(3 if mode == FRONT else 2, _meta_width(pool))
            menus = [pruned(self.space.tiles, entry.nest) for entry in pool]
            coarse = [[coarse_sizes(sizes) for sizes in each] for each in menus]
            nodes = 0
            if coarse != menus:
                nodes, _ = self._every(pool, coarse, self.goal(mode), archive, most // 4)
            more, every = self._every(pool, menus, self.goal(mode), archive, most - nodes)
            return Rows(
                archive.keys[: archive.count], archive.metas[: archive.count], pool, nodes + more, every
            )

        return self._once(("alone", mode), einsum, inside, (), most, work)

    def best(self, einsum: Einsum, inside: Inside, shared: TileVector, mode: int, most: int) -> Rows:
        """The best row of one Einsum inside shared loops, by itself: what it costs a group at least."""

        def work(pool: tuple[Entry, ...], most: int) -> Rows:
            return self._inside(pool, shared, self.goal(mode, leak=False), most, 2)

        return self._once(("best", mode), einsum, inside, shared, most, work)

    def front(self, einsum: Einsum, inside: Inside, shared: TileVector, mode: int, most: int) -> Rows:
        """Every unbeaten row of one Einsum inside shared loops, by the columns that count."""

        def work(pool: tuple[Entry, ...], most: int) -> Rows:
            return self._inside(pool, shared, self.goal(mode, parts=True), most, self.width)

        return self._once(("front", mode), einsum, inside, shared, most, work)

    def _once(
        self, kind: tuple[str, int], einsum: Einsum, inside: Inside, shared: TileVector, most: int,
        work: Callable[[tuple[Entry, ...], int], Rows],
    ) -> Rows:  # fmt: skip
        """Rows found before with as much room, or one best row of more room if it fits; else new ones."""
        most = max(1, 1 << (max(1, most).bit_length() - 1))  # so that most groups ask for the same
        key = (kind, einsum.name, own_part(einsum, inside), shared, most)
        with self.pools.lock(key):
            known = self.pools.rows.setdefault(key, [])
            room = np.append(self.capacity, self.within)
            for had, rows in known:
                if np.array_equal(had, room) or (kind[0] != "front" and self._fits_still(rows, had, room)):
                    return rows
            rows = work(self.pool(einsum, inside), most)
            known.append((room, rows))
            return rows

    def _fits_still(self, rows: Rows, had: Floats, room: Floats) -> bool:
        """Whether the one best row of more room is the best here too: it fits."""
        if not rows.all or len(rows.keys) != 1 or np.any(room > had):
            return False
        held = self.whole_rows(rows)[0, len(self.scale.engines) + 1 :]
        return bool(np.all(np.append(held, held.sum()) <= room))

    def _inside(self, pool: tuple[Entry, ...], shared: TileVector, goal: Goal, most: int, width: int) -> Rows:
        menus = [entry.loops.menus(shared) for entry in pool]
        archive = Archive(width, _meta_width(pool))
        nodes, every = self._every(pool, menus, goal, archive, most)
        keys, metas = archive.keys[: archive.count].copy(), archive.metas[: archive.count].copy()
        return Rows(keys, metas, pool, nodes, every)

    def _every(
        self, pool: tuple[Entry, ...], menus: list[list[TileVector]], goal: Goal, archive: Archive, most: int,
        room: Floats | None = None,
    ) -> tuple[int, bool]:  # fmt: skip
        """Search nests one after the other into an archive: the nodes, and whether all was covered."""
        total, every = 0, True
        mem = pool[0].table.mem.copy() if pool else np.empty((0, 0))
        if pool:
            mem[:, CAPACITY] = self.capacity if room is None else room
        for number, (entry, sizes) in enumerate(zip(pool, menus, strict=True)):
            if total >= most or self.late():
                return total, False
            if not all(sizes):
                continue
            values, starts = menu_arrays(sizes)
            archive.keys, archive.metas, archive.count, nodes, whole = search(
                entry.table._replace(mem=mem), values, starts, entry.twin, number, goal, archive.keys,
                archive.metas, archive.count, most - total,
            )  # fmt: skip
            total += nodes
            every = every and whole
        return total, every

    def whole_rows(self, rows: Rows) -> Floats:
        """The rows in all columns that count, of keys that have only the objective."""
        found = [self.space.row(self.point(rows, at))[0] for at in range(len(rows.metas))]
        return np.array(found).reshape(-1, self.width)

    def points(self, rows: Rows) -> Iterator[NestPoint]:
        """The points that rows stand for."""
        yield from (self.point(rows, at) for at in range(len(rows.metas)))

    def point(self, rows: Rows, at: int) -> NestPoint:
        """The point of one row."""
        meta = rows.metas[at]
        nest = rows.pool[int(meta[0])].nest
        depth, tensors = len(nest.loops), len(nest.tensors)
        numbers = [int(value) for value in meta[1 : 1 + depth + tensors]]
        return NestPoint(nest=nest, tiles=tuple(numbers[:depth]), chosen=tuple(numbers[depth:]))

    def tie_broken(self, point: GroupPoint, mode: int) -> GroupPoint:
        """The point with each Einsum's fastest nest among those as good in the bytes that the others leave: a
        front of the columns that count does not see ticks when energy is searched for.
        """
        if mode != ENERGY or len(point.nests) < 2:
            return point
        engines = len(self.scale.engines)
        nests = list(point.nests)
        for at, nest in enumerate(nests):
            einsum = self.space.cascade.einsum(nest.nest.einsum)
            rows = [self.space.row(one)[0] for one in nests]
            others = np.sum([row for other, row in enumerate(rows) if other != at], axis=0)[engines + 1 :]
            room = np.array(self.capacity) - others
            shared = nest.tiles[: len(point.inside.shared)]
            pool = self.pool(einsum, point.inside)
            archive = Archive(2, _meta_width(pool))
            key = self.key(rows[at], ENERGY)
            archive.seed([(key[0] * (1 + 1e-12), key[1])])
            menus = [entry.loops.menus(shared) for entry in pool]
            self._every(pool, menus, self.goal(ENERGY), archive, TIE_NODES, room)
            if archive.metas[0, 1] >= 0 and archive.metas[0, 0] >= 0:
                found = Rows(archive.keys[:1], archive.metas[:1], pool, 0, True)
                nests[at] = self.point(found, 0)
        made = msgspec.structs.replace(point, nests=tuple(nests))
        (row, legal), (old, _) = self.space.total(made), self.space.total(point)
        better = legal and self._fits(row) and self.key(row, ENERGY) < self.key(old, ENERGY)
        return made if better else point

    def figures(self, point: GroupPoint) -> Found:
        """Ticks, joules and bytes of a group's point."""
        ticks, joules, held = self._sums(self.space.total(point)[0])
        return Found(ticks=ticks, joules=joules, held=held, groups=(point,))


def _meta_width(pool: tuple[Entry, ...]) -> int:
    return 1 + max((len(entry.nest.loops) + len(entry.nest.tensors) for entry in pool), default=0)


def own_part(einsum: Einsum, inside: Inside) -> Inside:
    """The candidates as one Einsum sees them, so that groups can use each other's fronts."""
    mine = frozenset({einsum.name, *(access.tensor for access in einsum.reads)})
    return msgspec.structs.replace(
        inside, fused=inside.fused & mine, leaving=inside.leaving & mine, common=inside.common & mine,
        resident=inside.resident & mine,
    )  # fmt: skip
