"""How long a tile keeps a DRAM's data buses busy: its bursts, run through the standard's scheduler.

A tile's runs of bytes become bursts at the addresses at which the tensor lies. Copies of the tile, one
after the other as a loop would fetch them, go through FR-FCFS with a full queue; the time from the first data
to the last, divided by the copies, is the tile's service time. Rows opened, bank conflicts and half-used
bursts are in it. Refresh is its average: the time is divided by 1 - tRFC / tREFI.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from sim.dram.simulate import Controller, Requests, simulate
from sim.dram.standard import Figure, Standard, standard

WARM_BURSTS: Final = 4096  # bursts that a measurement has at least, so that its beginning does not count
MOST_BURSTS: Final = 32768  # of a tile; a larger one is measured by its first bursts


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How a tile lies in DRAM: `size_bytes` in runs of `run_bytes`, one every `pitch_bytes` (0: one run)."""

    size_bytes: int
    run_bytes: int
    pitch_bytes: int
    write: bool


@lru_cache(maxsize=64)
def dram(name: str, channels: int) -> Standard:
    """A standard by name or file with that many channels, 0 for its own; SpecError for an unknown one."""
    found = standard(name)
    if not channels:
        return found
    count = Figure(value=channels, source="the machine's own number of channels")
    organisation = msgspec.structs.replace(found.organisation, channels=count)
    return msgspec.structs.replace(found, organisation=organisation)


@lru_cache(maxsize=4096)
def service_clocks(name: str, channels: int, shape: Shape) -> Fraction:
    """Clocks of the standard that the tile keeps the data buses for, in the steady state."""
    standard_ = dram(name, channels)
    burst = standard_.burst_bytes
    one = _bursts(shape, burst, 0)
    used = one[:MOST_BURSTS]
    copies = -(-WARM_BURSTS // len(used))
    blocks = [_bursts(shape, burst, copy)[: len(used)] for copy in range(copies)]
    numbers = np.concatenate(blocks) % (standard_.capacity_bytes // burst)
    flags = np.full(len(numbers), shape.write)
    result = simulate(
        standard_, Requests(numbers * burst, flags, np.zeros(len(numbers))), Controller(refresh=False)
    )
    data = result.cycles - lead_clocks(standard_, write=shape.write)
    clocks = standard_.timing.clocks
    awake = 1 - Fraction(clocks.t_rfc, clocks.t_refi)
    return Fraction(data * len(one), len(numbers)) / awake


def lead_clocks(found: Standard, *, write: bool) -> int:
    """Clocks from a request to a closed row to its first data."""
    clocks = found.timing.clocks
    return clocks.t_rcd_write + clocks.cwl if write else clocks.t_rcd_read + clocks.cl


def turn_clocks(found: Standard, *, write: bool) -> int:
    """Clocks that the data bus stands still before a write after reads, or a read after writes."""
    clocks = found.timing.clocks
    if write:
        return clocks.t_rtw + clocks.cwl - clocks.cl - clocks.burst
    return clocks.t_wtr_s + clocks.cl


def _bursts(shape: Shape, burst: int, copy: int) -> npt.NDArray[np.int64]:
    """Numbers of the bursts that the copy'th tile touches, in the order of its bytes."""
    if not shape.pitch_bytes or shape.run_bytes >= shape.size_bytes:
        first = copy * shape.size_bytes // burst
        return np.arange(first, -(-(copy + 1) * shape.size_bytes // burst), dtype=np.int64)
    rows = -(-shape.size_bytes // shape.run_bytes)
    across = max(1, shape.pitch_bytes // shape.run_bytes)
    down, right = divmod(copy, across)
    starts = (np.arange(rows, dtype=np.int64) + down * rows) * shape.pitch_bytes + right * shape.run_bytes
    firsts, lasts = starts // burst, (starts + shape.run_bytes - 1) // burst
    width = int((lasts - firsts).max()) + 1
    grid = firsts[:, None] + np.arange(width)
    return grid[grid <= lasts[:, None]]
