"""The search of a map space: each group of Einsums by branch and bound, the cuts between groups by DP."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import numpy as np

from dataflow.mapper.found import Found, best_of, mode_of, score
from dataflow.mapper.kernel import ENERGY, FRONT, LATENCY, PARTS, join, search
from dataflow.mapper.nest import Inside, Nest
from dataflow.mapper.point import GroupPoint, NestPoint
from dataflow.mapper.space import MapSpace, Tiles
from dataflow.mapper.tables import Floats, Ints, Tables, menu_arrays, tables
from dataflow.mapper.tiles import menu
from workloads.cascade import Einsum

#: Called with how many groups are done, how many there are, and the best objective so far (None: none yet).
Report = Callable[[int, int, Found | None], None]

FIRST_ROWS = 16


class Stop(Exception):  # noqa: N818 - not an error: the time is up
    """The budget is used up."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, best first; `proven`: all of the space was covered; `nodes`: partial mappings seen."""

    found: tuple[Found, ...]
    proven: bool
    nodes: int


class _Archive:
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


class Search:
    """One search. `within` caps the bytes held on chip; `budget_s` the seconds."""

    def __init__(
        self, space: MapSpace, objective: str, *, within: float, budget_s: float, report: Report
    ) -> None:
        self.space = space
        self.objective = objective
        self.within = within
        self.report = report
        self.deadline = time.monotonic() + budget_s
        self.scale = space.scale
        self.leak_j = self.scale.leakage_w * self.scale.tick_s
        self.width = len(self.scale.engines) + 1 + len(self.scale.memories)
        self.capacity = np.array(self.scale.capacity)
        self.nodes = 0
        self.proven = True
        self.contexts = 0
        self._bests: dict[tuple[str, Inside, Tiles], tuple[Floats, Ints, float]] = {}
        self._nests: dict[tuple[str, Inside], list[tuple[Nest, Tables]]] = {}
        self._parts: dict[tuple[str, Inside, Tiles], tuple[Floats, Ints]] = {}
        self.index = {einsum.name: at for at, einsum in enumerate(space.cascade.einsums)}

    def run(self) -> Outcome:
        """Search everything, or until the time is up or Ctrl-C: then what was found stands, unproven."""
        groups = sorted(self.space.fusions(), key=lambda group: (len(group), self.index[group[0].name]))
        size = len(self.space.cascade.einsums)
        table: dict[tuple[int, int], list[Found]] = {}
        try:
            for done, group in enumerate(groups):
                first = self.index[group[0].name]
                limit = self._cover(table, first, first + len(group))
                found = self.group(group, limit)
                if found:
                    table[first, first + len(group)] = found
                whole = self._cover(table, 0, size)
                self.report(done + 1, len(groups), whole[0] if whole else None)
        except (Stop, KeyboardInterrupt):
            self.proven = False
        found = self._cover(table, 0, size)
        return Outcome(
            found=tuple(sorted(found, key=lambda one: score(one, self.objective))), proven=self.proven,
            nodes=self.nodes,
        )  # fmt: skip

    def _cover(self, table: dict[tuple[int, int], list[Found]], first: int, last: int) -> list[Found]:
        """The best ways to cover the Einsums first..last by groups: dynamic programming over the cuts."""
        ways: list[list[Found]] = [[Found(ticks=0, joules=0, held=0)]]
        for end in range(first + 1, last + 1):
            joined = [
                before.then(group)
                for start in range(first, end)
                for group in table.get((start, end), ())
                for before in ways[start - first]
            ]
            ways.append(best_of(joined, self.objective))
        return ways[-1]

    def group(self, group: tuple[Einsum, ...], limit: list[Found]) -> list[Found]:
        """The best of one group; `limit` is what its Einsums cost in smaller groups, which it has to beat."""
        if len(group) == 1:
            return self._alone(group[0])
        mode = mode_of(self.objective, len(group) == len(self.index))
        archive = _Archive(3 if mode == FRONT else 2, 3)
        if limit and mode >= LATENCY:
            limit = [min(limit, key=lambda one: score(one, self.objective))]
            archive.seed([score(limit[0], self.objective)])
        elif limit:
            archive.seed([(one.ticks, one.joules, one.held)[: archive.keys.shape[1]] for one in limit])
        traces: dict[int, _Trace] = {}
        for inside in self.space.insides(group):
            for shared in self.space.shared_tiles(inside):
                self._check_time()
                self._fused(group, inside, shared, mode, archive, traces)
        metas = [meta for meta in archive.metas[: archive.count] if meta[2] > 0]
        points = [traces[int(meta[2])].point(int(meta[0]), int(meta[1])) for meta in metas]
        return best_of([self._figures(point) for point in points], self.objective)

    def _fused(
        self, group: tuple[Einsum, ...], inside: Inside, shared: Tiles, mode: int, archive: _Archive,
        traces: dict[int, _Trace],
    ) -> None:  # fmt: skip
        """Join the Einsums' fronts inside given shared loops; `traces` gets what leads back to new rows."""
        tag = 2 * self.contexts + 1
        self.contexts += 1
        if mode in (LATENCY, ENERGY):
            bests = [self._best(einsum, inside, shared, mode) for einsum in group]
            if any(not len(rows) for rows, _, _ in bests):
                return
            figures = [figure for _, _, figure in bests]
            bound = sum(figures) if mode == ENERGY else max(figures)
            if archive.count and bound >= archive.keys[0, 0]:
                return
            trace = self._join(group, inside, [(rows, metas) for rows, metas, _ in bests], mode, archive, tag)
            if trace is not None:
                traces[tag] = trace
                if mode == ENERGY and not self.leak_j:
                    return  # each Einsum's own best fits beside the others: nothing is better here
        fronts = []
        for einsum in group:
            front = self._front(einsum, inside, shared)
            if not len(front[0]):
                return
            fronts.append(front)
        whole = self._join(group, inside, fronts, mode, archive, tag + 1)
        if whole is not None:
            traces[tag + 1] = whole

    def _best(self, einsum: Einsum, inside: Inside, shared: Tiles, mode: int) -> tuple[Floats, Ints, float]:
        """The best row of one Einsum inside shared loops, by itself: what it costs a group at least."""
        key = (einsum.name, _own_part(einsum, inside), shared)
        if key not in self._bests:
            pool = self._tables(einsum, inside)
            archive = _Archive(2, _meta_width(pool))
            for number, (nest, table) in enumerate(pool):
                self._one(number, table, self.space.menus(nest, shared), mode, archive, leak_j=0.0)
            metas = archive.metas[: archive.count].copy()
            rows = [self.space.row(_nest_point(pool, meta))[0] for meta in metas]
            figure = float(archive.keys[0, 0]) if archive.count else 0.0
            self._bests[key] = (np.array(rows).reshape(-1, self.width), metas, figure)
        return self._bests[key]

    def _join(
        self,
        group: tuple[Einsum, ...],
        inside: Inside,
        fronts: list[tuple[Floats, Ints]],
        mode: int,
        archive: _Archive,
        tag: int,
    ) -> _Trace | None:
        """Sums of the Einsums' rows into the archive; None where nothing new came in."""
        rows = fronts[0][0]
        steps: list[Ints] = []
        for number in range(1, len(fronts)):
            last = number == len(fronts) - 1
            into = archive if last else _Archive(self.width, 3)
            into.keys, into.metas, into.count = join(
                rows, fronts[number][0], len(self.scale.engines), self.capacity, mode if last else PARTS,
                self.leak_j, self.within, tag, into.keys, into.metas, into.count,
            )  # fmt: skip
            if not last:
                rows = into.keys[: into.count].copy()
                steps.append(into.metas[: into.count].copy())
                if not into.count:
                    return None
        if not np.any(archive.metas[: archive.count, 2] == tag):
            return None
        pools = [
            (self._tables(einsum, inside), metas) for einsum, (_, metas) in zip(group, fronts, strict=True)
        ]
        return _Trace(inside, steps, pools)

    def _front(self, einsum: Einsum, inside: Inside, shared: Tiles) -> tuple[Floats, Ints]:
        """Every unbeaten row of one Einsum inside shared loops, with its metas."""
        own = _own_part(einsum, inside)
        key = (einsum.name, own, shared)
        if key not in self._parts:
            pool = self._tables(einsum, inside)
            archive = _Archive(self.width, _meta_width(pool))
            for number, (nest, table) in enumerate(pool):
                self._one(number, table, self.space.menus(nest, shared), PARTS, archive)
            self._parts[key] = (archive.keys[: archive.count].copy(), archive.metas[: archive.count].copy())
        return self._parts[key]

    def _tables(self, einsum: Einsum, inside: Inside) -> list[tuple[Nest, Tables]]:
        own = _own_part(einsum, inside)
        key = (einsum.name, own)
        if key not in self._nests:
            space = self.space
            self._nests[key] = [
                (nest, tables(space.cascade, space.machine, nest, self.scale))
                for nest in space.nests(einsum, own)
            ]
        return self._nests[key]

    def _alone(self, einsum: Einsum) -> list[Found]:
        """The best of one Einsum by itself: a few sizes first, for a bound, then the whole menus."""
        mode = mode_of(self.objective, len(self.index) == 1)
        pool = self._tables(einsum, Inside())
        archive = _Archive(3 if mode == FRONT else 2, _meta_width(pool))
        menus = [self.space.pruned(nest) for nest, _ in pool]
        try:
            for number, (_, table) in enumerate(pool):
                coarse = [
                    tuple(size for size in sizes if size in menu(sizes[-1], "steps", self.space.width))
                    for sizes in menus[number]
                ]
                self._one(number, table, coarse, mode, archive)
            for number, (_, table) in enumerate(pool):
                self._check_time()
                self._one(number, table, menus[number], mode, archive)
        except (Stop, KeyboardInterrupt):
            self.proven = False  # what was found stands; the caller stops at its next look at the clock
        points = [_nest_point(pool, meta) for meta in archive.metas[: archive.count]]
        found = [self._figures(GroupPoint(inside=Inside(), nests=(point,))) for point in points]
        return best_of(found, self.objective)

    def _one(
        self,
        number: int,
        table: Tables,
        menus: list[Tiles],
        mode: int,
        archive: _Archive,
        leak_j: float | None = None,
    ) -> None:
        values, starts = menu_arrays(menus)
        archive.keys, archive.metas, archive.count, nodes = search(
            table, values, starts, number, mode, self.leak_j if leak_j is None else leak_j,
            self.within, archive.keys, archive.metas,
            archive.count,
        )  # fmt: skip
        self.nodes += nodes

    def _figures(self, point: GroupPoint) -> Found:
        total = self.space.total(point)[0]
        engines = len(self.scale.engines)
        ticks = float(np.max(total[:engines]))
        return Found(
            ticks=ticks, joules=float(total[engines]) + self.leak_j * ticks,
            held=float(np.sum(total[engines + 1 :])), groups=(point,),
        )  # fmt: skip

    def _check_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise Stop


class _Trace:
    """How the rows of one join lead back to points: `steps` are the metas of the joins before the last."""

    def __init__(
        self, inside: Inside, steps: list[Ints], pools: list[tuple[list[tuple[Nest, Tables]], Ints]]
    ) -> None:
        self.inside = inside
        self.steps = steps
        self.pools = pools

    def point(self, first: int, last: int) -> GroupPoint:
        """The point of one row of the last join."""
        rows = [last]
        for metas in reversed(self.steps):
            rows.append(int(metas[first, 1]))
            first = int(metas[first, 0])
        rows.append(first)
        nests = tuple(
            _nest_point(pool, metas[row])
            for (pool, metas), row in zip(self.pools, reversed(rows), strict=True)
        )
        return GroupPoint(inside=self.inside, nests=nests)


def _nest_point(pool: list[tuple[Nest, Tables]], meta: Ints) -> NestPoint:
    nest = pool[int(meta[0])][0]
    depth, tensors = len(nest.loops), len(nest.tensors)
    numbers = [int(value) for value in meta[1 : 1 + depth + tensors]]
    return NestPoint(nest=nest, tiles=tuple(numbers[:depth]), chosen=tuple(numbers[depth:]))


def _meta_width(pool: list[tuple[Nest, Tables]]) -> int:
    return 1 + max((len(nest.loops) + len(nest.tensors) for nest, _ in pool), default=0)


def _own_part(einsum: Einsum, inside: Inside) -> Inside:
    """The surroundings as one Einsum sees them, so that groups can use each other's fronts."""
    mine = frozenset({einsum.name, *(access.tensor for access in einsum.reads)})
    return Inside(
        shared=inside.shared, fused=inside.fused & mine, memory=inside.memory,
        leaving=inside.leaving & mine, common=inside.common & mine,
    )  # fmt: skip
