"""What it costs to start work: the host's and the sequencer's time before anything moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec

from einsim.specs.errors import RuleError

Cycles = Annotated[int, msgspec.Meta(ge=0, le=10**9)]


class Dispatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cycles of the machine's clock in which nothing else runs."""

    run_cycles: Cycles = 0
    """Once a run: the dispatch of the whole graph."""
    op_cycles: Cycles = 0
    """For each op, that is each child of a mapping's outermost sequence (the whole, where it has none)."""

    group_row_cycles: Annotated[float, msgspec.Meta(ge=0, le=10**6)] = 0.0
    """For each move of rows of queries beside those of other heads that share their keys, before attention,
    and apart after it, in two runs of their own: of as many rows at once as divide a group of heads and
    `tile_rows`.
    """
    tile_rows: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 1
    """Rows of a tile of the layout, in which rows of a group are moved."""

    def __post_init__(self) -> None:
        if self.tile_rows > 1 and not self.group_row_cycles:
            raise RuleError("needs group_row_cycles, whose rows these are", at=("tile_rows",))

    def cycles(self, ops: int, grouped: Sequence[tuple[int, int]] = ()) -> int:
        """Cycles of a run of so many ops, with `grouped` attention: heads that share keys, their queries."""
        found = self.run_cycles + self.op_cycles * ops
        for group, rows in grouped if self.group_row_cycles else ():
            found += 2 * self.run_cycles
            found += math.ceil(rows // math.gcd(group, self.tile_rows) * self.group_row_cycles)
        return found
