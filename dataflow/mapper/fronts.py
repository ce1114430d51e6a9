"""What single Einsums can do in given candidates: bounds, best rows and fronts, each worked out once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from einsim.dataflow.mapper.archive import Goal
from einsim.dataflow.mapper.found import Found
from einsim.dataflow.mapper.nest import Inside, Nest
from einsim.dataflow.mapper.objective import BUFFER, ENERGY, FRONT, LATENCY, MODES, PARTS, order
from einsim.dataflow.mapper.ordered import OrderedNests
from einsim.dataflow.mapper.point import GroupPoint, NestPoint
from einsim.dataflow.mapper.pools import Entry, Frame, Pool, Pools, Rows, bounds_of, floors_of, table_of
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapper.tiles import coarse_sizes, thinned
from einsim.dataflow.mapper.vectors import TileVector, loops_of, pruned, twins
from einsim.specs.arrays import Bools, Floats, Ints
from einsim.workloads.cascade import Einsum

#: Loops around a group in a quick search.
FEW_LOOPS = 3
#: Nodes for one Einsum when an answer's ties are broken.
TIE_NODES = 20_000
#: Vectors of tiles of a group's shared loops, at most: of a cascade of one Einsum, and of one of many.
MOST_SHARED, LEAST_SHARED = 6_000, 256
#: Ways to have a group's Einsums in kinds of layouts that are bounded one by one.
MOST_WAYS = 64


class Candidates(NamedTuple):
    """Surroundings of a group with tiles of its shared loops: `keys` [N, ...] of what a point there costs at
    least, the least first, and where each stands: its frame, then its inside and its tiles in that. `least`
    is that of the objective, of what is left out too; `rest` of that alone (none: endless).
    """

    keys: Floats
    where: Ints  # [N, 3]
    frames: tuple[Frame, ...]
    least: float
    rest: float


class Contexts:
    """Searches of single Einsums of one space. `late` says whether the time is up; `few`: nodes go to all
    nests in turn.
    """

    def __init__(
        self, space: MapSpace, objective: str, within: float, late: Callable[[], bool], pools: Pools,
        few: bool = False,
    ) -> None:  # fmt: skip
        self.space = space
        self.few = few
        self.objective = objective
        self.within = within
        self.late = late
        self.scale = space.scale
        self.leak_j = self.scale.leakage_w * self.scale.tick_s
        self.width = self.scale.width
        self.capacity = np.array(self.scale.capacity)
        self.room = np.append(self.capacity, within)  # in each memory, and in all together
        self.pools = pools

    def pool(self, einsum: Einsum, inside: Inside) -> Pool:
        """The nests of an Einsum in its candidates."""
        own, tiles = inside.seen_by(einsum), self.space.tiles

        def entry(nest: Nest) -> Entry:
            twin = np.array(twins(tiles, nest), np.int64)
            return Entry(nest, table_of(self.space, self.pools, nest), twin, loops_of(tiles, nest))

        key = (einsum.name, own)
        with self.pools.lock(("pool", *key)):
            if key not in self.pools.nests:
                self.pools.nests[key] = Pool(list(self.space.by_layout(einsum, own)), entry)
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
        """A row's key."""
        return tuple(map(float, self.keys(row, mode)))

    def keys(self, rows: Floats, mode: int) -> Floats:
        """Rows as `einsim.dataflow.mapper.archive.key_of` compares them."""
        figures = self._sums(rows)
        return np.stack(figures if mode == FRONT else order(mode, *figures), axis=-1)  # type: ignore[arg-type]

    def _sums(self, rows: Floats) -> tuple[Floats, Floats, Floats]:
        """Ticks, joules with leakage, and bytes of rows."""
        engines = len(self.scale.engines)
        ticks = rows[..., :engines].max(axis=-1)
        return ticks, rows[..., engines] + self.leak_j * ticks, rows[..., engines + 1 :].sum(axis=-1)

    def candidates(
        self, group: tuple[Einsum, ...], mode: int, below: float = math.inf, left: Mapping[str, float] = {}
    ) -> Candidates:
        """The candidates of a group whose objective may be `below` something; those that no point fits are
        left out. Fronts take all. Shares are `left` of what its Einsums cost.
        """
        frames, rest = self.frames(group), math.inf
        keys, where = [np.empty((0, 3 if mode == FRONT else 2))], [np.empty((0, 3), np.int64)]
        for number, frame in enumerate(frames):
            if self.late():
                rest = 0.0
                break
            if (
                not frame.all and rest == math.inf
            ):  # tiles that are left out: loops that are not split cost less
                rest = float(
                    self._least(group, frames[0], mode, left, fitting=False)[..., 0].min(initial=math.inf)
                )
            least = self._least(group, frame, mode, left)
            few = least[..., 0] < (below if mode >= LATENCY else math.inf)
            inside, tile = np.nonzero(few & np.isfinite(least[..., 0]))
            keys.append(least[inside, tile])
            where.append(np.stack([np.full(len(tile), number), inside, tile], axis=1))
        found = np.concatenate(keys)
        order = np.lexsort(found.T[::-1])
        first = float(found[order[0], 0]) if len(found) else math.inf
        return Candidates(found[order], np.concatenate(where)[order], frames, min(first, rest), rest)

    def _least(
        self, group: tuple[Einsum, ...], frame: Frame, mode: int, left: Mapping[str, float], *,
        fitting: bool = True,
    ) -> Floats:  # fmt: skip
        """Keys [I, T, ...] that no point of a group in a frame is below, on whatever units its Einsums are:
        endless where none fits, or, if it need not be `fitting`, where there is none.
        """
        ways, costs = list[Floats](), len(self.scale.engines) + 1
        for einsum, (seen, which) in zip(group, frame.views, strict=True):
            share = np.where(np.arange(self.width) < costs, left.get(einsum.name, 1.0), 1.0)
            of = (self.space, self.pools, einsum, seen, frame.tiles)
            bounds = bounds_of(*of, fitting=fitting)[:, which]
            ways.append(np.multiply(bounds, share, out=bounds.copy(), where=np.isfinite(bounds)))
        while math.prod(map(len, ways)) > MOST_WAYS:
            several = max(range(len(ways)), key=lambda at: len(ways[at]))
            *others, one, other = ways[several]
            ways[several] = np.stack([*others, np.minimum(one, other)])  # those that cost most
        found = np.full((len(frame.insides), len(frame.tiles), 3 if mode == FRONT else 2), math.inf)
        for rows in itertools.product(*ways):
            total: Floats = np.sum(rows, axis=0)
            fits = np.isfinite(total).all(axis=-1) & (self.fit(total) | (not fitting))
            found[fits] = np.minimum(found[fits], self.keys(total[fits], mode))
        return found

    def frames(self, group: tuple[Einsum, ...]) -> tuple[Frame, ...]:
        """The surroundings that a group may have."""
        resident = self.space.resident_in(group)
        key = (tuple(einsum.name for einsum in group), resident)
        with self.pools.lock(key):
            if key not in self.pools.frames:
                insides = itertools.groupby(self.space.insides(group), key=lambda inside: inside.shared)
                self.pools.frames[key] = tuple(self._frame(group, tuple(some)) for _, some in insides)
            return self.pools.frames[key]

    def _frame(self, group: tuple[Einsum, ...], insides: tuple[Inside, ...]) -> Frame:
        views = []
        for einsum in group:
            seen = [inside.seen_by(einsum) for inside in insides]
            number = {one: at for at, one in enumerate(dict.fromkeys(seen))}
            self.pools.want(self.space.cascade, einsum, number)
            views.append((tuple(number), np.array([number[one] for one in seen], np.int64)))
        tiles, every = self._shared_tiles(insides[0])
        return Frame(tiles, insides, tuple(views), every)

    def _shared_tiles(self, inside: Inside) -> tuple[Ints, bool]:
        """Vectors of tiles [n, loops] of shared loops, and whether they are all that the menus have."""
        key = inside.shared, inside.step
        if key not in self.pools.tiles:
            menus = self.space.shared_menus(inside)
            few = thinned(menus, max(LEAST_SHARED, MOST_SHARED // len(self.space.cascade.einsums)))
            tiles = list(itertools.product(*few))
            self.pools.tiles[key] = np.array(tiles, np.int64).reshape(len(tiles), -1), few == menus
        return self.pools.tiles[key]

    def fit(self, rows: Floats) -> Bools:
        """Which rows fit."""
        held = rows[..., len(self.scale.engines) + 1 :]
        fits: Bools = np.all(held <= self.capacity, axis=-1) & (held.sum(axis=-1) <= self.within)
        return fits

    def alone(self, einsum: Einsum, inside: Inside, mode: int, most: int) -> Rows:
        """The best rows of one Einsum by itself: a few sizes first, for a bound, then the whole menus."""

        def menus(entry: Entry) -> list[TileVector]:
            return pruned(self.space.tiles, entry.nest)

        def coarse(entry: Entry) -> list[TileVector]:
            return [coarse_sizes(sizes) for sizes in menus(entry)]

        def work(most: int) -> Rows:
            some, every = (self._nests(einsum, inside, (), of) for of in (coarse, menus))
            archive, goal = every.archive(3 if mode == FRONT else 2), self.goal(mode)
            nodes, _ = some.search(archive, goal, most // 4, self.capacity)
            more, whole = every.search(archive, goal, most - nodes, self.capacity)
            return every.rows(archive, nodes + more, whole)

        return self._once(("alone", mode), einsum, inside, (), most, work)

    def best(self, einsum: Einsum, inside: Inside, shared: TileVector, mode: int, most: int) -> Rows:
        """The best row of one Einsum inside shared loops, by itself: what it costs a group at least."""

        def work(most: int) -> Rows:
            return self._inside(einsum, inside, shared, self.goal(mode, leak=False), most, 2)

        return self._once(("best", mode), einsum, inside, shared, most, work)

    def front(self, einsum: Einsum, inside: Inside, shared: TileVector, mode: int, most: int) -> Rows:
        """Every unbeaten row of one Einsum inside shared loops, by the columns that count."""

        def work(most: int) -> Rows:
            return self._inside(einsum, inside, shared, self.goal(mode, parts=True), most, self.width)

        return self._once(("front", mode), einsum, inside, shared, most, work)

    def _once(
        self, kind: tuple[str, int], einsum: Einsum, inside: Inside, shared: TileVector, most: int,
        work: Callable[[int], Rows],
    ) -> Rows:  # fmt: skip
        """Rows found before with as much room, or one best row of more room if it fits; else new ones."""
        most = max(1, 1 << (max(1, most).bit_length() - 1))  # so that most groups ask for the same
        key = (kind, einsum.name, inside.seen_by(einsum), shared, most)
        with self.pools.lock(key):
            known = self.pools.rows.setdefault(key, [])
            for had, rows in known:
                if np.array_equal(had, self.room) or (kind[0] != "front" and self._fits_still(rows, had)):
                    return rows
            rows = work(most)
            known.append((self.room, rows))
            return rows

    def _fits_still(self, rows: Rows, had: Floats) -> bool:
        """Whether the one best row of more room is the best here too: it fits."""
        if len(rows.keys) != 1 or np.any(self.room > had):
            return False
        return bool(self.fit(self.whole_rows(rows)[0]))

    def fits(self, point: GroupPoint) -> bool:
        """Whether a group's point fits."""
        return bool(self.fit(self.space.total(point)[0]))

    def _inside(
        self, einsum: Einsum, inside: Inside, shared: TileVector, goal: Goal, most: int, width: int
    ) -> Rows:
        nests = self._nests(einsum, inside, shared)
        archive = nests.archive(width)
        nodes, every = nests.search(archive, goal, most, self.capacity)
        return nests.rows(archive, nodes, every)

    def _nests(
        self, einsum: Einsum, inside: Inside, shared: TileVector,
        menus: Callable[[Entry], list[TileVector]] | None = None,
    ) -> OrderedNests:  # fmt: skip
        """The nests of an Einsum inside shared loops with given tiles."""
        own = inside.seen_by(einsum)
        floors, wide = floors_of(self.space, self.pools, einsum, own, shared, self._shared_tiles(own)[0])
        there = np.flatnonzero(np.isfinite(floors).all(axis=1))
        order = there[np.lexsort(self.keys(floors[there], MODES[self.objective]).T[::-1])]
        return OrderedNests(
            pool=self.pool(einsum, own), floors=floors, order=order, wide=wide,
            menus=menus or (lambda entry: entry.loops.menus(shared)), few=self.few, late=self.late,
        )  # fmt: skip

    def whole_rows(self, rows: Rows) -> Floats:
        """The rows in all columns that count, of keys that have only the objective."""
        found = [self.space.row(self.point(rows, at))[0] for at in range(len(rows.metas))]
        return np.array(found).reshape(-1, self.width)

    def point(self, rows: Rows, at: int) -> NestPoint:
        """The point of one row."""
        meta = rows.metas[at]
        nest = rows.pool.entries[int(meta[0])].nest
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
            every = self._nests(einsum, point.inside, shared)
            archive = every.archive(2)
            key = self.key(rows[at], ENERGY)
            archive.seed([(key[0] * (1 + 1e-12), key[1])])
            every.search(archive, self.goal(ENERGY), TIE_NODES, room)
            if archive.metas[0, 1] >= 0 and archive.metas[0, 0] >= 0:
                found = every.rows(archive, 0, True)
                nests[at] = self.point(found, 0)
        made = msgspec.structs.replace(point, nests=tuple(nests))
        (row, legal), (old, _) = self.space.total(made), self.space.total(point)
        better = legal and bool(self.fit(row)) and self.key(row, ENERGY) < self.key(old, ENERGY)
        return made if better else point

    def figures(self, point: GroupPoint) -> Found:
        """Ticks, joules and bytes of a group's point."""
        ticks, joules, held = map(float, self._sums(self.space.total(point)[0]))
        return Found(ticks=ticks, joules=joules, held=held, groups=(point,))


def usual(inside: Inside) -> bool:
    """Whether a group's surroundings are like most of the best: few loops, all that stays in one memory."""
    return len(inside.shared) <= FEW_LOOPS and len({pin.memory for pin in inside.pins}) < 2
