"""How long a systolic array takes for the tiles of one product, by named convention: the closed forms.

With R x C elements, r x c of them used by a tile, S cycles of streaming, T tiles:

    tile time            output-stationary     weight- and input-stationary (r cycles load the operand)
    scale-sim            R + C + S - 2         2R + C + S - 2
    edge-aware           r + c + S + 3         2r + c + S + 3
    overlapped, first    R + C + S - 2         2R + C + S - 2
    overlapped, others   max(S, R)             max(S, R)

`einsim.sim.arrays.systolic` says where they come from, and the stepped array beside it takes the same cycles.
"""

from __future__ import annotations

from typing import Final

import msgspec

LEAD_CYCLES: Final = (
    3  # edge-aware, before a tile's first operand; split assumed, see `einsim.sim.arrays.systolic`
)
TAIL_CYCLES: Final = 2  # edge-aware, after a tile's last mac; LEAD + TAIL = 5 = (K+r+c+3) - (K+r+c-2)


class Tiles(msgspec.Struct, frozen=True, kw_only=True):
    """A product on an array: `along_rows` x `along_cols` points in space, folded; `stream` cycles a tile."""

    rows: int
    cols: int
    along_rows: int
    along_cols: int
    stream: int
    stationary: bool

    @property
    def row_tiles(self) -> int:
        """Tiles along the rows."""
        return -(-self.along_rows // self.rows)

    @property
    def col_tiles(self) -> int:
        """Tiles along the columns."""
        return -(-self.along_cols // self.cols)

    @property
    def count(self) -> int:
        """Tiles in all."""
        return self.row_tiles * self.col_tiles


def array_time(convention: str, tiles: Tiles) -> int:
    """Cycles from the first operand (or overhead cycle) to the edge that stores the last result."""
    count = tiles.count
    if convention == "edge-aware":
        rows_sum = tiles.along_rows * tiles.col_tiles * (2 if tiles.stationary else 1)
        cols_sum = tiles.along_cols * tiles.row_tiles
        return rows_sum + cols_sum + count * (tiles.stream - 2 + LEAD_CYCLES + TAIL_CYCLES)
    full = tiles.rows + tiles.cols + tiles.stream - 2 + (tiles.rows if tiles.stationary else 0)
    if convention == "scale-sim":
        return count * full
    return full + (count - 1) * max(tiles.stream, tiles.rows)
