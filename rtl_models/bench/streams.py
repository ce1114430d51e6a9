"""Valid/ready drivers and monitors for cocotb, with waits injected where a test wants them.

A word crosses in a clock cycle in which valid and ready are both high. Handles are passed one by one, so
any naming fits: `Source(dut.clk, valid=dut.s_tvalid, ready=dut.s_tready, data=dut.s_tdata)`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import cycle, repeat
from typing import Any

from cocotb.triggers import RisingEdge


def is_high(handle: Any) -> bool:
    """Whether a one-bit signal is 1; unknown counts as low."""
    return str(handle.value) == "1"


def random_gaps(seed: int, share: float) -> Iterator[int]:
    """Endless waits in cycles, such that about `share` of the cycles are waits (0 <= share < 1)."""
    rng = random.Random(seed)  # noqa: S311 - a repeatable test, no secret
    while True:
        gap = 0
        while rng.random() < share:
            gap += 1
        yield gap


class Source:
    """Drives words into a stream. `gaps`: cycles that valid stays low before each word (default none).

    `while_ready`: those cycles count only while ready is high. `taken` is how many words crossed.
    """

    def __init__(
        self, clk: Any, *, valid: Any, ready: Any, data: Any, gaps: Iterable[int] = (),
        while_ready: bool = False,
    ) -> None:  # fmt: skip
        self.clk, self.valid, self.ready, self.data = clk, valid, ready, data
        self.gaps, self.while_ready, self.taken = iter(gaps), while_ready, 0
        valid.value = 0

    async def send(self, words: Iterable[int]) -> None:
        """Drive all words, in order; returns after the edge that takes the last one."""
        edge = RisingEdge(self.clk)
        for word in words:
            gap = next(self.gaps, 0)
            if gap:
                self.valid.value = 0
            while gap > 0:
                await edge
                gap -= not self.while_ready or is_high(self.ready)
            self.drive(word)
            self.valid.value = 1
            await edge
            while not is_high(self.ready):
                await edge
            self.taken += 1
        self.valid.value = 0

    def drive(self, word: int) -> None:
        """Put a word on the wires."""
        self.data.value = word


class Sink:
    """Takes words from a stream; `pattern` of ready, 1 or 0 by cycle (default always ready).

    `words` holds (cycle, word) of everything that crossed; cycle 0 is the first after `receive` began.
    """

    def __init__(
        self, clk: Any, *, valid: Any, data: Any, ready: Any = None, pattern: Iterable[int] = ()
    ) -> None:
        self.clk, self.valid, self.data, self.ready = clk, valid, data, ready
        given = list(pattern)
        self.pattern = cycle(given) if given else repeat(1)
        self.words: list[tuple[int, int]] = []

    async def receive(self, count: int) -> list[tuple[int, int]]:
        """Wait until `count` words have crossed, counted over all calls."""
        edge, now = RisingEdge(self.clk), 0
        while len(self.words) < count:
            open_now = next(self.pattern)
            if self.ready is not None:
                self.ready.value = open_now
            await edge
            if is_high(self.valid) and (self.ready is None or open_now):
                self.words.append((now, int(self.data.value)))
            now += 1
        if self.ready is not None:
            self.ready.value = 0
        return self.words


class Monitor:
    """Watches a stream that others drive; `words` holds (cycle, word) of everything that crossed.

    Start it with `cocotb.start_soon(monitor.watch())`; cycle 0 is the first after that. Without `ready` every
    valid word crosses.
    """

    def __init__(self, clk: Any, *, valid: Any, data: Any, ready: Any = None) -> None:
        self.clk, self.valid, self.data, self.ready = clk, valid, data, ready
        self.words: list[tuple[int, int]] = []

    async def watch(self) -> None:
        """Watch until cancelled, or until the test ends."""
        edge, now = RisingEdge(self.clk), 0
        while True:
            await edge
            if is_high(self.valid) and (self.ready is None or is_high(self.ready)):
                self.took(now)
            now += 1

    def took(self, now: int) -> None:
        """A word crosses in this cycle."""
        self.words.append((now, int(self.data.value)))


async def reset(clk: Any, rst: Any, *, active_low: bool = False, clocks: int = 3) -> None:
    """Hold reset for some clocks; returns just after the edge that ends it."""
    rst.value = 0 if active_low else 1
    for _ in range(clocks):
        await RisingEdge(clk)
    rst.value = 1 if active_low else 0
    await RisingEdge(clk)
