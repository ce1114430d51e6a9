"""What launching work takes, in seconds, whatever the clock: the host's and the front end's time."""

from __future__ import annotations

import math

import msgspec

from einsim.specs.units import Seconds


class LaunchCost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds in which nothing else runs."""

    start_s: float = 0.0
    first_touch_s: float = 0.0
    per_block_s: float = 0.0
    block_start_s: float = 0.0

    def cycles(self, ops: int, clock_hz: float) -> int:
        """Cycles at a clock of a run of so many ops, rounded up; each is one block."""
        blocks_s = self.per_block_s + self.block_start_s
        return _whole((self.start_s + blocks_s) * ops * clock_hz) + self.touch_cycles(clock_hz)

    def start_cycles(self, ops: int, clock_hz: float) -> int:
        """Cycles that starting so many ops takes, apart from their blocks."""
        return _whole(self.start_s * ops * clock_hz)

    def touch_cycles(self, clock_hz: float) -> int:
        """Cycles that the first bytes from DRAM take, once a run."""
        return _whole(self.first_touch_s * clock_hz)


class WrittenLaunch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What launching takes: `{start: 0.86us, first_touch: 0.76us}`."""

    start: Seconds = Seconds(0)
    """For each op, that is each child of a mapping's outermost sequence (the whole, where it has none)."""
    first_touch: Seconds = Seconds(0)
    """Once a run: until the first bytes come from DRAM, beyond what any later ones take."""

    per_block: Seconds = Seconds(0)
    """Between two blocks that are dealt to cores: no more are handed out. An op that isn't is one."""
    block_start: Seconds = Seconds(0)
    """Of each block: until it begins."""

    def launch(self) -> LaunchCost:
        """The machine's."""
        return LaunchCost(
            start_s=float(self.start), first_touch_s=float(self.first_touch),
            per_block_s=float(self.per_block), block_start_s=float(self.block_start),
        )  # fmt: skip


def _whole(cycles: float) -> int:
    """Cycles rounded up, but for what a product of floats has too much."""
    return math.ceil(round(cycles, 6))
