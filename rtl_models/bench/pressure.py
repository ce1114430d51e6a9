"""Back-pressure: waits on a design's streams, and the clocks that a frozen design then takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

PATTERN: Final = 61
"""Cycles of a ready pattern before it repeats; prime, so that it drifts against any tile."""


class Pressure(msgspec.Struct, frozen=True, kw_only=True):
    """About how much of the time sources wait and the sink isn't ready, 0 to below 1, and the seed."""

    source: float = 0.0
    sink: float = 0.0
    seed: int = 0

    def gaps(self, words: int, stream: int) -> list[int]:
        """Waits before each of `words` words of stream number `stream`."""
        if self.source == 0:
            return []
        rng = np.random.default_rng([self.seed, stream])
        return [int(gap) for gap in rng.geometric(1 - self.source, words) - 1]

    def ready(self) -> tuple[int, ...]:
        """The sink's ready by cycle, repeated; always ready at least once."""
        if self.sink == 0:
            return (1,)
        rng = np.random.default_rng([self.seed, 99])
        return (1, *(int(bit) for bit in rng.random(PATTERN - 1) >= self.sink))


NO_WAITS: Final = Pressure()


def clocks(
    cycles: int,
    needs: Mapping[str, Sequence[bool]],
    gives: Sequence[bool],
    gaps: Mapping[str, Sequence[int]],
    ready: Sequence[int],
) -> int:
    """Clocks of `cycles` cycles of a design that freezes whole when a stream it needs has no word.

    needs[stream][cycle], gives[cycle]: whether that cycle takes a word of the stream, gives a result. A
    word is there gaps[stream][i] clocks after the one before it was taken; a result leaves when `ready`,
    by clock and repeated, is 1. The RTL's clocks under any waits are these, exactly.
    """
    there = {stream: iter(gaps.get(stream, ())) for stream in needs}
    wait = {stream: next(source, 0) for stream, source in there.items()}
    clock = 0
    for cycle in range(cycles):
        while True:
            wanted = [stream for stream in needs if needs[stream][cycle]]
            moves = all(wait[stream] == 0 for stream in wanted) and (
                not gives[cycle] or ready[clock % len(ready)] == 1
            )
            clock += 1
            wait = {stream: max(0, left - 1) for stream, left in wait.items()}
            if moves:
                for stream in wanted:
                    wait[stream] = next(there[stream], 0)
                break
    return clock


def hexed(words: Sequence[int]) -> list[str]:
    """Words as jobs store them."""
    return [f"{word:x}" for word in words]
