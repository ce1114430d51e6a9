"""Tile streams for cocotb: a tile is a matrix, a beat is one of its rows, a lane is one of its values.

A source drives whole tiles, with `last` high in a tile's last beat where a stream has it; a sink takes tiles
of a known number of rows; a monitor watches a stream with `last` and says in which cycles a tile crossed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from einsim.rtl_models.bench.scoreboard import lanes, pack
from einsim.rtl_models.bench.streams import Monitor, Sink, Source, is_high
from einsim.specs.arrays import AnyInts


class Tile(msgspec.Struct, frozen=True):
    """Values int64 [rows, lanes], and the cycle in which each row crossed."""

    values: npt.NDArray[np.int64]
    cycles: tuple[int, ...]


class TileSource(Source):
    """Drives tiles into a stream, lane 0 lowest, `bits` a lane; waits as in `Source`."""

    def __init__(
        self, clk: Any, *, valid: Any, ready: Any, data: Any, bits: int, last: Any = None,
        gaps: Iterable[int] = (), while_ready: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(clk, valid=valid, ready=ready, data=data, gaps=gaps, while_ready=while_ready)
        self.bits, self.last = bits, last
        self.ends: list[bool] = []  # of the beats that were not driven yet
        if last is not None:
            last.value = 0

    async def send_tiles(self, tiles: Iterable[AnyInts]) -> None:
        """Drive all tiles [rows, lanes], in order; returns after the edge that takes the last beat."""
        for tile in tiles:
            self.ends = [row == len(tile) - 1 for row in range(len(tile))]
            await self.send([pack(row, self.bits) for row in np.asarray(tile).tolist()])

    def drive(self, word: int) -> None:
        """A beat, with `last` in a tile's last one."""
        super().drive(word)
        end = self.ends.pop(0) if self.ends else False
        if self.last is not None:
            self.last.value = int(end)


class TileSink(Sink):
    """Takes tiles of `count` lanes of `bits` from a stream; `pattern` of ready as in `Sink`."""

    def __init__(
        self, clk: Any, *, valid: Any, data: Any, bits: int, count: int, ready: Any = None,
        pattern: Iterable[int] = (),
    ) -> None:  # fmt: skip
        super().__init__(clk, valid=valid, data=data, ready=ready, pattern=pattern)
        self.bits, self.count = bits, count

    async def receive_tile(self, rows: int) -> Tile:
        """Wait for the next `rows` beats."""
        begun = len(self.words)
        await self.receive(begun + rows)
        return tile_of(self.words[begun:], self.bits, self.count)


class TileMonitor(Monitor):
    """Watches a stream whose tiles end with `last`; `tiles` holds those that have ended."""

    def __init__(
        self, clk: Any, *, valid: Any, data: Any, last: Any, bits: int, count: int, ready: Any = None
    ) -> None:
        super().__init__(clk, valid=valid, data=data, ready=ready)
        self.last, self.bits, self.count = last, bits, count
        self.tiles: list[Tile] = []
        self.begun = 0  # words of the tiles before

    def took(self, now: int) -> None:
        """A beat crosses; with `last` its tile is whole."""
        super().took(now)
        if is_high(self.last):
            self.tiles.append(tile_of(self.words[self.begun :], self.bits, self.count))
            self.begun = len(self.words)


def tile_of(words: list[tuple[int, int]], bits: int, count: int) -> Tile:
    """The tile of these (cycle, word) beats, lanes as two's complement."""
    values = np.array([lanes(word, bits, count) for _, word in words], np.int64)
    return Tile(values=values, cycles=tuple(cycle for cycle, _ in words))
