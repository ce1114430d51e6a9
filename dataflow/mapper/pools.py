"""Nests with their arrays, and what layouts cost at least: each worked out once for all parts of a space."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from einsim.dataflow.holds import roles_of
from einsim.dataflow.mapper.band import views_of
from einsim.dataflow.mapper.kernel import roots
from einsim.dataflow.mapper.nest import Inside, Nest, name_of, operands
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapper.tables import Tables, scales, tables
from einsim.dataflow.mapper.vectors import Loops, TileVector, loops_of
from einsim.dataflow.mapping import Compute
from einsim.specs.arrays import Floats, Ints
from einsim.workloads.cascade import Cascade, Einsum


class Entry(NamedTuple):
    """A nest, its arrays, the loops at which it becomes a copy of another order, and their tile sizes."""

    nest: Nest
    table: Tables
    twin: Ints
    loops: Loops


class Pool:
    """The nests of an Einsum in its surroundings, layout by layout: each is listed when it is asked for,
    since what a layout costs at least leaves most of them out.
    """

    def __init__(self, listed: list[Iterator[Nest]], made: Callable[[Nest], Entry]) -> None:
        self.entries: list[Entry] = []
        self.count = len(listed)
        self._listed, self._made = listed, made
        self._of: dict[int, tuple[int, ...]] = {}
        self._lock = threading.Lock()

    def of(self, layout: int) -> tuple[int, ...]:
        """The places of a layout's nests among the entries."""
        with self._lock:
            if layout not in self._of:
                first = len(self.entries)
                self.entries += map(self._made, self._listed[layout])
                self._of[layout] = tuple(range(first, len(self.entries)))
            return self._of[layout]

    def __iter__(self) -> Iterator[Entry]:
        """Every entry."""
        return (self.entries[at] for layout in range(self.count) for at in self.of(layout))


class Rows(NamedTuple):
    """Keys [n, ...] and metas [n, ...] found in a pool of nests, the nodes it took, and whether it is all."""

    keys: Floats
    metas: Ints
    pool: Pool
    nodes: int
    all: bool


#: A layout's unit and what its operands are to that: by which ports they come hangs on it.
Kind = tuple[object, ...]


class Layouts(NamedTuple):
    """Rows that no point of an Einsum's L layouts inside some loops is below, with each vector of their
    tiles: [L, T, width] of the unit and of each tensor, by its place among the operands, in surroundings;
    `loose`: in homes that may be larger than their memory; and of each its `kind`, as `_kind` has it. A nest
    has so many loops and tensors at most.
    """

    kinds: tuple[Kind, ...]
    wide: int
    unit: Floats
    tensors: dict[tuple[int, Inside], Floats]
    loose: dict[tuple[int, Inside], Floats]


class Frame(NamedTuple):
    """A group's shared loops in one order with vectors of `tiles` [T, loops], and what may stay around the
    pipeline there: I surroundings. Of each Einsum what it sees of them, and which of those it sees in each
    surrounding [I]. `all`: no vector is left out.
    """

    tiles: Ints
    insides: tuple[Inside, ...]
    views: tuple[tuple[tuple[Inside, ...], Ints], ...]
    all: bool


class Pools:
    """Nests with their arrays, and bounds, which all parts of a space share: none looks at capacities."""

    def __init__(self) -> None:
        self.nests: dict[object, Pool] = {}
        self.tiles: dict[object, tuple[Ints, bool]] = {}
        self.leaves: dict[object, Tables] = {}
        self.frames: dict[object, tuple[Frame, ...]] = {}
        self.layouts: dict[object, Layouts] = {}
        self.bounds: dict[object, Floats] = {}
        self.kinds: dict[object, list[Kind]] = {}
        self.wanted: dict[object, dict[tuple[int, Inside], None]] = {}
        self.rows: dict[object, list[tuple[Floats, Rows]]] = {}
        self._lock = threading.Lock()
        self._locks: dict[object, threading.Lock] = {}

    def lock(self, key: object) -> threading.Lock:
        """The lock of one result, so that it is worked out once."""
        with self._lock:
            return self._locks.setdefault(key, threading.Lock())

    def want(self, cascade: Cascade, einsum: Einsum, seen: Iterable[Inside]) -> None:
        """Tell surroundings of an Einsum whose bounds are asked for later, so that they are found at once."""
        for one in seen:
            some = self.wanted.setdefault((einsum.name, one.bare), {})
            for at, operand in enumerate(operands(cascade, einsum)):
                some[at, one.of(operand.tensor)] = None


def table_of(space: MapSpace, pools: Pools, nest: Nest) -> Tables:
    """The arrays of a nest; what hangs on its leaf alone is worked out once."""
    leaf = name_of(nest.node)
    alike = pools.leaves.get(leaf)
    table = tables(space.cascade, space.machine, nest, space.scale, alike)
    pools.leaves[leaf] = alike or table
    return table


def bounds_of(
    space: MapSpace, pools: Pools, einsum: Einsum, seen: tuple[Inside, ...], tiles: Ints, *,
    fitting: bool = True,
) -> Floats:  # fmt: skip
    """Rows [K, S, T, width] of which each row of the Einsum inside loops with these tiles is above one of K,
    that of its kind of layout, in all columns, in what it sees of S surroundings; endless where it has none.
    Where it need not be `fitting`, homes may be larger than their memory.
    """
    key = (einsum.name, seen[0].step)
    if key not in pools.kinds:
        pools.kinds[key] = list(
            dict.fromkeys(_kind(space, node) for node in space.leaves(einsum, seen[0].step))
        )
    kinds = pools.kinds[key]
    found = np.stack([_bounds(space, pools, einsum, one, tiles, kinds, fitting) for one in seen], axis=1)
    return found[_undominated(found)] if len(kinds) > 1 else found


def _bounds(
    space: MapSpace, pools: Pools, einsum: Einsum, inside: Inside, tiles: Ints, kinds: list[Kind],
    fitting: bool,
) -> Floats:  # fmt: skip
    """Rows [K, T, width] of an Einsum's kinds of layouts in one surrounding."""
    key = (einsum.name, inside, fitting)
    with pools.lock(("bounds", *key)):
        if key not in pools.bounds:
            of = [inside.of(operand.tensor) for operand in operands(space.cascade, einsum)]
            layouts = _layouts(space, pools, einsum, inside.bare, of, tiles)
            tensors = layouts.tensors if fitting else layouts.loose
            total = sum((tensors[part] for part in enumerate(of)), layouts.unit)
            here = [[one == kind for one in layouts.kinds] for kind in kinds]
            least = [total[some].min(axis=0, initial=math.inf) for some in here]
            pools.bounds[key] = np.array(least).reshape(len(kinds), *total.shape[1:])
        return pools.bounds[key]


def _kind(space: MapSpace, node: Compute) -> Kind:
    """What a layout's bound is told by."""
    unit = space.machine.unit(node.unit)
    return (node.unit, *roles_of(unit, node, space.cascade.einsum(node.einsum)).values())


def _undominated(rows: Floats) -> list[int]:
    """The first [K] of rows [K, ...] of which no other is nowhere above."""
    kept = list[int]()
    for at in sorted(range(len(rows)), key=lambda at: float(np.nan_to_num(rows[at], posinf=1e300).sum())):
        if not any((rows[other] <= rows[at]).all() for other in kept):
            kept.append(at)
    return kept


def floors_of(
    space: MapSpace, pools: Pools, einsum: Einsum, inside: Inside, shared: TileVector, tiles: Ints
) -> tuple[Floats, int]:
    """Rows [layouts, width] that no nest of a layout is below inside loops with the `shared` tiles, one
    vector of `tiles`, endless where it has none; and how many loops and tensors a nest has at most.
    """
    of = [inside.of(operand.tensor) for operand in operands(space.cascade, einsum)]
    layouts = _layouts(space, pools, einsum, inside.bare, of, tiles)
    at = int(np.flatnonzero((tiles == np.array(shared, np.int64)).all(axis=1))[0])
    parts = (layouts.tensors[part][:, at] for part in enumerate(of))
    return sum(parts, layouts.unit[:, at]), layouts.wide


def _layouts(
    space: MapSpace, pools: Pools, einsum: Einsum, bare: Inside, wanted: list[Inside], tiles: Ints
) -> Layouts:
    """The layouts of an Einsum with the `wanted` surroundings of each operand, and those that are known to be
    wanted: all orders of its loops have the same bound, and what a tensor adds to it hangs on its own homes
    only.
    """
    key = (einsum.name, bare)
    with pools.lock(("layouts", *key)):
        known = pools.layouts.get(key)
        had = known.tensors if known else {}
        if known is not None and all(part in had for part in enumerate(wanted)):
            return known
        every = dict.fromkeys((*enumerate(wanted), *pools.wanted.get(key, ())))
        among = [
            [one for place, one in every if place == at and (at, one) not in had] for at in range(len(wanted))
        ]
        nests = list(space.layouts(einsum, bare, among))
        shape = len(nests), len(tiles), space.scale.width
        unit = np.full(shape, math.inf)
        tensors, loose = (
            {(at, one): np.full(shape, math.inf) for at, some in enumerate(among) for one in some}
            for _ in range(2)
        )
        for number, (nest, counts) in enumerate(nests):
            loops = loops_of(space.tiles, nest)
            allowed = loops.allow(tiles)
            rows = np.zeros((allowed.sum(), space.scale.width))
            parts = np.zeros((len(rows), sum(map(sum, counts)), space.scale.width))
            table = table_of(space, pools, nest)
            views = views_of(table.band, table.sizes)
            roots(table, views, loops.roots(tiles[allowed]), tiles.shape[1], rows, parts)
            unit[number, allowed] = rows
            held, begin = parts[..., len(space.scale.engines) + 1 :], 0
            large = np.any(held > scales(space.machine).capacity, axis=-1)  # whatever is resident
            fitting = np.where(large[..., None], math.inf, parts)
            for part, count in zip(tensors, itertools.chain(*counts), strict=True):
                if count:
                    loose[part][number, allowed] = parts[:, begin : begin + count].min(axis=1)
                    tensors[part][number, allowed] = fitting[:, begin : begin + count].min(axis=1)
                begin += count
        kinds = tuple(_kind(space, nest.node) for nest, _ in nests)
        wide = max((len(nest.loops) + len(nest.tensors) for nest, _ in nests), default=0)
        loose.update(known.loose if known else {})
        pools.layouts[key] = Layouts(kinds, wide, unit, {**had, **tensors}, loose)
        return pools.layouts[key]
