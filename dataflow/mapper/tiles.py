"""Menus of tile sizes for a rank, and which of them can be left out because another is never worse."""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import lru_cache
from typing import Literal

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.templates.sizes import divisors
from einsim.specs.errors import SpecError

Menu = Literal["all", "perfect", "steps"]
MENUS: tuple[Menu, ...] = ("all", "perfect", "steps")
MOST_SIZES = 2**20
"""Points of a rank up to which a menu lists all its sizes."""


@lru_cache(maxsize=4096)
def menu(size: int, kind: Menu, width: int = 16, cores: int = 1, group: int = 1) -> tuple[int, ...]:
    """Tile sizes of a rank of `size` points, in whole groups, ascending; the last one is the whole rank.

    "all": every size, so imperfect tiles too; "perfect": divisors; "steps": 1, one point a core, and the
    rank in 2, 4, 8 ... equal parts, each rounded up to a multiple of `width`, the narrowest dimension of the
    machine's arrays.
    """
    if kind == "all":
        if size > MOST_SIZES:
            rule = f"all sizes are listed of ranks of up to {MOST_SIZES:,} points"
            raise SpecError("tiles", rule, got=size, hint="steps are few of any")
        return (*range(group, size, group), size)
    if kind == "perfect":
        return tuple(tile for tile in divisors(size) if tile % group == 0 or tile == size)
    found = {1, min(cores, size), size}
    part = size
    while part > width >= 2:
        part = -(-part // 2)
        found.add(-(-part // width) * width)
    return tuple(sorted({min(size, -(-tile // group) * group) for tile in found}))


def narrowest(machine: Machine) -> int:
    """The narrowest dimension of a machine's units, cores aside."""
    return min((size for unit in machine.units for d, size in unit.dims.items() if d != "cores"), default=16)


@lru_cache(maxsize=4096)
def menu_from(least: int, size: int, kind: Menu, width: int, cores: int, group: int) -> tuple[int, ...]:
    """The sizes of a menu that are at least `least`."""
    sizes = menu(size, kind, width, cores, group)
    return sizes[bisect_left(sizes, least) :]


def coarse_sizes(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Up to four sizes of a menu, the whole among them."""
    if len(sizes) <= 4:
        return sizes
    last = len(sizes) - 1
    return tuple(sizes[at] for at in sorted({last // 3, 2 * last // 3, max(0, last - 1), last}))


def thinned(menus: tuple[tuple[int, ...], ...], most: int) -> tuple[tuple[int, ...], ...]:
    """Menus with at most so many vectors: of the longest every other size is left out, never its largest."""
    found = [*menus]
    while math.prod(map(len, found)) > most:
        longest = max(range(len(found)), key=lambda at: len(found[at]))
        found[longest] = found[longest][::-2][::-1]
    return tuple(found)


class RankUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a nest does with one rank that a single loop walks.

    `dim` is the width of the unit's dimension that it lies along alone (0: it is walked in time); `refetch`
    whether some tensor lacks the rank; `gathers` whether it is reduced in time, through registers.
    """

    size: int
    dim: int
    refetch: bool
    gathers: bool


@lru_cache(maxsize=4096)
def undominated(sizes: tuple[int, ...], use: RankUse) -> tuple[int, ...]:
    """The tile sizes of which none is dominated: an optimum over `sizes` is among them.

    A tile size acts through four numbers only: its bytes, its trips (how often tensors without the rank are
    fetched again), its folds over the unit, and the trips of a single point (no register is needed there).
    A size no larger, with no more trips and folds and no fewer single points, is at least as good in each.
    Where no tensor lacks the rank, trips cost nothing; but the first split of a nest doubles its buffers.
    """
    rows = []
    for tile in sizes:
        full, rest = divmod(use.size, tile)
        trips = full + (rest > 0)
        folds = full * -(-tile // use.dim) + -(-rest // use.dim) if use.dim else 0
        single = (full if tile == 1 else 0) + (1 if rest == 1 and tile != 1 else 0)
        rows.append((tile, trips, folds, -single if use.gathers else 0))
    kept: list[tuple[int, int, int, int]] = []
    for row in rows:  # ascending, so only earlier rows can dominate
        if not any(_dominates(other, row, use.refetch) for other in kept):
            kept.append(row)
    return tuple(row[0] for row in kept)


def _dominates(one: tuple[int, int, int, int], two: tuple[int, int, int, int], refetch: bool) -> bool:
    if one[2] > two[2] or one[3] > two[3]:
        return False
    if refetch:
        return one[1] <= two[1]
    return two[1] > 1 or 2 * one[0] <= two[0]
