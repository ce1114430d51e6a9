"""The nests of one Einsum in the order of what their layouts cost at least, and the search of them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import numpy as np

from einsim.dataflow.mapper.archive import Goal, dominated, keys_of
from einsim.dataflow.mapper.band import views_of
from einsim.dataflow.mapper.kernel import search
from einsim.dataflow.mapper.pools import Entry, Pool, Rows
from einsim.dataflow.mapper.tables import CAPACITY, menu_arrays
from einsim.dataflow.mapper.vectors import TileVector
from einsim.specs.arrays import Floats, Ints

FIRST_ROWS = 16
#: A quick search gives a nest one part in so many of its nodes, or an equal one where that is more.
QUOTA = 64


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


class OrderedNests(msgspec.Struct, frozen=True, kw_only=True):
    """The nests of an Einsum inside shared loops with given tiles: rows [layouts, width] that none of a
    layout is below, those that have any in `order`, and the most loops and tensors of one. `menus`: the tile
    sizes of one's loops; `few`: nodes go to all that may be best in turn.
    """

    pool: Pool
    floors: Floats
    order: Ints
    wide: int
    menus: Callable[[Entry], list[TileVector]]
    few: bool
    late: Callable[[], bool]

    def archive(self, width: int) -> Archive:
        """Room for keys of a width, with what leads back to a nest, its tiles and its choices."""
        return Archive(width, 1 + self.wide)

    def rows(self, archive: Archive, nodes: int, every: bool) -> Rows:
        """What an archive holds, found with so many nodes."""
        keys, metas = archive.keys[: archive.count].copy(), archive.metas[: archive.count].copy()
        return Rows(keys, metas, self.pool, nodes, every)

    def search(self, archive: Archive, goal: Goal, most: int, room: Floats) -> tuple[int, bool]:
        """Search them into an archive, those first whose layouts may cost least, with `room` in each memory
        (a quick search: each with its part of half of the nodes, then those not covered with the rest): the
        nodes, and whether all that may be better than what was found was covered.
        """
        total, waiting = 0, list[int]()
        left = self._in_order(archive, goal, room)
        for number, others in left:
            if total >= most or self.late():
                return total, False
            share = max(1, most // QUOTA, (most // 2 - total) // others) if self.few else most - total
            nodes, whole = self._nest(number, archive, goal, share, room)
            total += nodes
            waiting += () if whole else (number,)
            if self.few and total >= most // 2:
                break
        rest = (number for number, _ in left)
        for number in (*waiting, *rest) if self.few else ():
            if total >= most or self.late():
                return total, False
            nodes, whole = self._nest(number, archive, goal, most - total, room)
            total += nodes
            if not whole:
                return total, False
        return total, self.few or not waiting

    def _in_order(self, archive: Archive, goal: Goal, room: Floats) -> Iterator[tuple[int, int]]:
        """The place of each nest, and how many there may be from it on, of layouts that may be better than
        all that is in the archive by then.
        """
        floors = self.floors[self.order] * (1 - 1e-12)  # they add up in another order than the kernel's
        keys = keys_of(floors, len(room), goal, archive.keys.shape[1])
        held = floors[:, -len(room) :]
        fit = (held <= room).all(axis=1) & (held.sum(axis=1) <= goal.within)
        for turn in np.flatnonzero(fit).tolist():
            if not dominated(archive.keys, archive.count, keys[turn], goal.mode):
                numbers = self.pool.of(int(self.order[turn]))
                left = int(fit[turn:].sum()) * len(numbers)
                yield from ((number, left - at) for at, number in enumerate(numbers))

    def _nest(self, number: int, archive: Archive, goal: Goal, most: int, room: Floats) -> tuple[int, bool]:
        """Search one nest: the nodes, and whether all of it was covered."""
        entry = self.pool.entries[number]
        menus = self.menus(entry)
        if not all(menus):
            return 0, True
        mem, (values, starts) = entry.table.mem.copy(), menu_arrays(menus)
        mem[:, CAPACITY] = room
        archive.keys, archive.metas, archive.count, nodes, whole = search(
            entry.table._replace(mem=mem), views_of(entry.table.band, entry.table.sizes), values, starts,
            entry.twin, number, goal, archive.keys, archive.metas, archive.count, most,
        )  # fmt: skip
        return nodes, bool(whole)
