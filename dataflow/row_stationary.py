"""Row-stationary tiles: PEs that keep a row of the kernel and a window of the input in spads of their own.

A *set* of PEs computes a convolution in two dimensions: the ranks along the rows of the unit are the rows
of the kernel, those along its columns the rows of the result, and each PE slides one row of the kernel
along one row of the input. A set that is wider than the unit is folded into pieces below each other. As
many sets as have room work at once. Those that add up to the same results (`stack`) share out what is
reduced, as many of them as the window needs; the others share out the ranks that only weights have
(filters), of which each PE keeps its part.

An operand passes the unit's edge once a tile, a result leaves once: PEs hand inputs on along diagonals,
weights along rows, sums along columns. Chen et al., Eyeriss, ISCA and ISSCC 2016, JSSC 2017: m, n, e are
the loops around a tile, p = `filters`, q of the channels in `window`, r = `stack`, t = `sets` / `stack`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from einsim.accel.machine import Unit
from einsim.dataflow.mapping import Compute
from einsim.workloads.cascade import Access, Cascade, Einsum

ROW_STATIONARY = "row-stationary"


def is_row_stationary(node: Compute) -> bool:
    """Whether a tile is computed so."""
    return node.stationarity == ROW_STATIONARY


def weights_of(node: Compute, einsum: Einsum) -> tuple[Access, ...]:
    """The operands that the columns of a set share: those that move with none of their ranks."""
    along = {*node.spatial.get("cols", ())}
    return tuple(read for read in einsum.reads if not along & {*read.ranks})


class RowSets(NamedTuple):
    """What of a tile each PE has: `window` points that are reduced in it, `filters` results of each of
    `places` in time; `stack` of the sets add up to the same results, and `sets` work at once (0: none has
    room).
    """

    sets: int
    stack: int
    window: int
    filters: int
    places: int
    lanes: int

    @property
    def steps(self) -> int:
        """Cycles of the PE with most: its points, and one for each sum that it takes over from another."""
        return self.filters * self.places * (self.window + 1)


def row_sets(unit: Unit, node: Compute, einsum: Einsum, extents: Mapping[str, int]) -> RowSets:
    """How a tile of so many points of each rank lies on a unit."""
    rows, cols = (node.spatial.get(dim, ()) for dim in ("rows", "cols"))
    high, wide = (math.prod(extents[rank] for rank in ranks) for ranks in (rows, cols))
    pieces = -(-wide // unit.dims["cols"])
    sets = unit.dims["rows"] // (high * pieces) * (unit.dims["cols"] // wide if pieces == 1 else 1)
    mine = {rank for access in weights_of(node, einsum) for rank in access.ranks}
    inside = math.prod(extents[rank] for rank in einsum.reduced if rank not in rows)
    filters = [rank for rank in einsum.output.ranks if rank in mine and rank not in (*rows, *cols)]
    time = [rank for rank in einsum.output.ranks if rank not in {*mine, *rows, *cols}]
    spads = unit.registers.by_role if unit.registers is not None else {}
    room = max(1, spads["inputs"] * 8 // unit.bits[0])
    stack = -(-inside // room)
    if not sets or stack > sets or (stack > 1 and pieces > 1):
        return RowSets(0, 0, 0, 0, 0, 0)
    return RowSets(
        sets=sets, stack=stack, window=-(-inside // stack),
        filters=-(-math.prod(extents[rank] for rank in filters) // (sets // stack)),
        places=math.prod(extents[rank] for rank in time), lanes=sets * high * wide,
    )  # fmt: skip


def rows_refused(cascade: Cascade, unit: Unit, node: Compute, extents: Mapping[str, int]) -> str:
    """Why a unit can't compute tiles of so many points so, or ""."""
    einsum = cascade.einsum(node.einsum)
    rows, cols = (node.spatial.get(dim, ()) for dim in ("rows", "cols"))
    if {*node.spatial} != {"rows", "cols"} or not einsum.sums_products or len(einsum.reads) != 2:
        return "needs a sum of two factors' products, with ranks along rows and along cols"
    if not {*rows} <= {*einsum.reduced} or not {*cols} <= {*einsum.output.ranks}:
        return "needs reduced ranks along the rows, ranks of the result along the cols"
    if len(weights_of(node, einsum)) != 1 or node.chained:
        return "needs one factor that moves with no rank along the cols, and both from a memory"
    if (
        einsum.iterative
        or cascade.bounds
        or any(cascade.tensor(one.tensor).sparsity.rank for one in einsum.reads)
    ):
        return "not modelled: row-stationary tiles of states, under bounds, or of operands with sparse ranks"
    found = row_sets(unit, node, einsum, extents)
    if not found.sets:
        return (
            f"has no room for a set of PEs on {unit.name}: its rows, its columns or its windows are too few"
        )
    spads = unit.registers.by_role if unit.registers is not None else {}
    taken: dict[str, int] = {
        "inputs": found.window,
        "weights": found.window * found.filters,
        "outputs": found.filters,
    }
    for role, values in taken.items():
        if values * unit.bits[0] > spads[role] * 8:
            held = spads[role] * 8 // unit.bits[0]
            return f"has {values} {role} in a PE of {unit.name}, whose spad holds {held}"
    return ""
