"""Where the tiles of a program lie in DRAM: each operation's first bytes at a position of its loops.

Every tensor starts at row 0 of its own rows, in the bank after the one of the tensor before, and is stored in
the order of its dimensions.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np

from einsim.dataflow.program import MemoryAccess, Program
from einsim.sim.actor import Position
from einsim.sim.dram.bursts import START, TENSOR
from einsim.sim.dram.standard import Standard
from einsim.specs.arrays import Ints


class LoopStride(msgspec.Struct, frozen=True, kw_only=True):
    """How a loop moves an access: bits for each point of its ranks, the innermost last, with their sizes."""

    slot: int
    tile: int
    steps: tuple[int, ...]
    sizes: tuple[int, ...]

    def bits(self, index: int) -> int:
        """Bits from iteration 0 to this one."""
        found, rest = 0, index * self.tile
        for step, size in zip(reversed(self.steps[1:]), reversed(self.sizes[1:]), strict=True):
            rest, inside = divmod(rest, size)
            found += inside * step
        return found + rest * self.steps[0]

    @property
    def even(self) -> int:
        """Iterations after which it has moved by `bits(even)` wherever it stood; 1 for most loops."""
        inner = range(len(self.steps) - 1)
        if all(self.steps[at] == self.steps[at + 1] * self.sizes[at + 1] for at in inner):
            return 1
        return math.prod(self.sizes[1:])


NOTHING: Final = np.empty((0, 6), np.int64), ()
"""What an instance moves that finds everything there."""


class Addresses:
    """The accesses of a program's operations to one memory."""

    def __init__(self, program: Program, memory: str, standard: Standard) -> None:
        org = standard.organisation
        per_row = math.prod(
            size.value for size in (org.ranks, org.bank_groups, org.banks_per_group, org.bursts_per_row)
        )
        #: Bytes after which banks, columns and channels come in the same order again, one row on.
        self.row_set = per_row * standard.channels * standard.burst_bytes
        self._rows_highest = standard.mapping[0] == "row"
        if not self._rows_highest:  # then they come in the same order after the whole memory only
            self.row_set *= org.rows.value
        numbers: dict[str, int] = {}
        self._pieces: dict[tuple[int, tuple[int, ...]], tuple[Ints, tuple[tuple[LoopStride, ...], ...]]] = {}
        self._moves: dict[
            int, set[tuple[int, tuple[LoopStride, ...]]]
        ] = {}  # operation -> tensor's number, its walks
        for op in program.ops:
            for key, cost in op.costs.items():
                rows, walks = [], []
                for access in cost.accesses:
                    if access.memory != memory:
                        continue
                    number = numbers.setdefault(access.tensor, len(numbers) + 1)
                    moves = _walks(access, op.path, program)
                    for size, write in ((access.read_bytes, 0), (access.write_bytes, 1)):
                        if size:
                            rows.append((0, size, access.run_bytes, access.pitch_bytes, write, number))
                            walks.append(moves)
                if rows:
                    self._pieces[op.id, key] = np.array(rows, np.int64), tuple(walks)
                    known = zip((row[TENSOR] for row in rows), walks, strict=True)
                    self._moves.setdefault(op.id, set()).update(known)
        self.tensors = len(numbers)

    def pieces(self, op: int, key: tuple[int, ...], position: Position) -> Ints:
        """What an instance moves, as `sim.dram.bursts.lay` takes it: int64 [pieces, 6]."""
        pieces, walks = self._pieces.get((op, key), NOTHING)
        found = pieces.copy()
        for at, moves in enumerate(walks):
            found[at, START] += sum(walk.bits(position[walk.slot]) for walk in moves) // 8
        return found

    def rows(self, pieces: Ints) -> tuple[Ints, tuple[int, ...]]:
        """The row in which each piece starts, and how far inside its row set."""
        rows, inside = np.divmod(pieces[:, START], self.row_set)
        return rows if self._rows_highest else 0 * rows, tuple(inside.tolist())

    def every(self, op: int, slot: int, most: int) -> int:
        """Iterations of a loop after which all that an operation moves lies whole rows on; 0: over `most`."""
        found, wide = 1, 8 * self.row_set
        for _, walks in self._moves.get(op, ()):
            for walk in walks:
                if walk.slot == slot:
                    step = walk.bits(walk.even)
                    found = math.lcm(found, walk.even * (wide // math.gcd(wide, step)))
                    if found > most:
                        return 0
        return found

    def shift(self, op: int, slot: int, stride: int) -> dict[int, int] | None:
        """Rows by which each tensor moves on in `stride` iterations of a loop; None: not by whole rows."""
        found: dict[int, int] = {}
        for number, walks in self._moves.get(op, ()):
            bits = 0
            for walk in walks:
                if walk.slot == slot:
                    if stride % walk.even:
                        return None
                    bits = walk.bits(stride)
            rows, rest = divmod(bits, 8 * self.row_set)
            rows = rows if self._rows_highest else 0
            if rest or found.setdefault(number, rows) != rows:
                return None
        return found


def _walks(access: MemoryAccess, path: tuple[int, ...], program: Program) -> tuple[LoopStride, ...]:
    steps = dict(access.steps)
    found = []
    for slot, number in enumerate(path):
        loop = program.loops[number]
        mine = tuple(steps.get(rank, 0) for rank in loop.ranks)
        if any(mine):
            sizes = tuple(program.sizes[rank] for rank in loop.ranks)
            found.append(LoopStride(slot=slot, tile=loop.tile, steps=mine, sizes=sizes))
    return tuple(found)
