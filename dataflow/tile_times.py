"""Cycles of many tiles of an Einsum at once: what `einsim.dataflow.leaf` says of one, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Final

import msgspec
import numpy as np

from einsim.accel.machine import Unit
from einsim.dataflow.cores import going_round_alike
from einsim.dataflow.feed import LaidTile
from einsim.dataflow.leaf import array_cycles, cycles_per_point, exploited, issued_ops, laid_cycles, skips
from einsim.dataflow.mapping import Compute
from einsim.dataflow.row_stationary import is_row_stationary
from einsim.specs.arrays import Floats
from einsim.specs.remembered import Remembered
from einsim.workloads.cascade import Cascade, Einsum

_KNOWN: Final = Remembered[Floats](4_000_000, len)


class TileTimes:
    """Issue cycles of many tiles of an Einsum on a unit at once, of what sparsity leaves of them."""

    def __init__(self, cascade: Cascade, unit: Unit, einsum: Einsum) -> None:
        self.cascade, self.unit, self.einsum = cascade, unit, einsum
        self.each = max(1, cycles_per_point(unit, issued_ops(cascade, unit, einsum)))
        self._key = msgspec.msgpack.encode((unit, einsum, [cascade.tensor(one) for one in einsum.accesses]))
        self.plain = not unit.convention and not skips(cascade, unit, einsum, cascade.sizes)

    def of(self, node: Compute, extents: Mapping[str, Floats], count: int) -> Floats:
        """The `array_cycles` [count] of tiles with `extents` [count] of each rank in a layout, which are
        counted once.
        """
        tiles = (extents[rank].tobytes() for rank in self.einsum.ranks)
        key = self._key, msgspec.msgpack.encode(node), count, *tiles
        return _KNOWN.get(key, lambda: self._of(node, extents, count))

    def _of(self, node: Compute, extents: Mapping[str, Floats], count: int) -> Floats:
        unit, einsum, found = self.unit, self.einsum, np.empty(count)
        for rows in going_round_alike(node, extents, unit.dims.get("cores", 1), count) if count else ():
            work = {rank: extents[rank][rows] for rank in einsum.ranks}
            box = {rank: (0, int(some[0])) for rank, some in work.items()}
            laid = LaidTile(unit, node, einsum, box, work, None)  # type: ignore[arg-type]
            if self.plain and not laid.mixed and not is_row_stationary(node):
                found[rows] = laid_cycles(unit, laid, self.each)
                continue
            known = cache(partial(self._one, node))
            found[rows] = [known(*map(int, tile)) for tile in zip(*work.values(), strict=True)]
        return found

    def _one(self, node: Compute, *tile: int) -> int:
        extents = dict(zip(self.einsum.ranks, tile, strict=True))
        work = exploited(self.cascade, self.unit, self.einsum, extents)
        return array_cycles(self.cascade, self.unit, self.einsum, node, work)
