"""Channels together: a stream on one of them, and a whole memory whose channels run side by side."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from einsim.sim.dram.channels import (
    LOG_WIDTH,
    NEVER,
    WAITING,
    Channels,
    Transfers,
    Ways,
    new_channels,
    new_transfers,
)  # fmt: skip
from einsim.sim.dram.scheduler import serve
from einsim.sim.dram.standard import Clocks
from einsim.specs.compiled import njit

Ints = npt.NDArray[np.int64]

NO_LOG = np.empty((0, LOG_WIDTH), np.int64)


def run_channel(
    bank: Ints,
    row: Ints,
    write: Ints,
    arrival: Ints,
    clocks: Clocks,
    groups: int,
    banks_per_group: int,
    depth: int,
    age_cap: int,
    refresh: bool,
    issue: Ints,
    outcome: Ints,
) -> Ints:
    """Serves all requests (sorted by arrival); fills `issue` [n] (cycle of RD or WR) and `outcome` [n].

    Returns the command log, int64 [commands, 5]: cycle, command, bank (-1: all), row (-1: none), request
    (-1: none), in order of issue.
    """
    count = len(bank)
    channels = new_channels(1, groups, banks_per_group, depth, clocks.t_refi if refresh else NEVER)
    transfers = new_transfers(1, 1, max(1, count), keep=True)
    transfers.bank[0, :count], transfers.row[0, :count] = 2 * bank + (write != 0), row
    transfers.arrival[0, :count] = arrival
    transfers.stop[0], transfers.left[0], transfers.flying[0] = count, count, 1
    ways = Ways(banks_per_group=banks_per_group, engines=1, age_cap=age_cap)
    room = np.empty((4 * count + 64, LOG_WIDTH), np.int64)
    log: Ints = serve(0, channels, transfers, ways, clocks, NEVER, -1, room)
    issue[:], outcome[:] = transfers.issue[0, :count], transfers.outcome[0, :count]
    return log


@njit()
def run_all(channels: Channels, transfers: Transfers, ways: Ways, t: Clocks, until: int, goal: int) -> None:
    """Runs every channel up to cycle `until`, or until its bursts of the transfer in slot `goal` are served.

    Channels with the same state and the same bursts to come have the same future; it is computed once.
    """
    count = channels.at.shape[0]
    like = np.arange(count)
    for c in range(1, count):
        for other in (0, like[c - 1]):
            if _alike(c, other, channels, transfers):
                like[c] = other
                break
    ahead, before = transfers.stop - transfers.next, channels.counts.copy()
    for c in range(count):
        r = like[c]
        if r == c:
            serve(c, channels, transfers, ways, t, until, goal, np.empty((0, 5), np.int64))
            continue
        _copy(c, r, channels, transfers)
        channels.counts[c] += channels.counts[r] - before[r]
        for slot in range(ahead.shape[0]):
            taken = ahead[slot, r] - (transfers.stop[slot, r] - transfers.next[slot, r])
            transfers.next[slot, c] += taken


@njit()
def _alike(c: int, r: int, channels: Channels, transfers: Transfers) -> bool:
    """Whether two channels have the same future."""
    if not _same(channels.at[c], channels.at[r]) or not _same(channels.open_row[c], channels.open_row[r]):
        return False
    if not _same(channels.ok[c], channels.ok[r]) or not _same(channels.group_ok[c], channels.group_ok[r]):
        return False
    if not _same(channels.all_ok[c], channels.all_ok[r]) or not _same(channels.acts[c], channels.acts[r]):
        return False
    if not _same(channels.bus[c], channels.bus[r]):
        return False
    for i in range(channels.at[c, WAITING]):
        if not _same(channels.queue[c, channels.place[c, i]], channels.queue[r, channels.place[r, i]]):
            return False
    for i in range(transfers.flying[0]):
        slot = transfers.order[i]
        at, other = transfers.next[slot, c], transfers.next[slot, r]
        count = transfers.stop[slot, c] - at
        if count != transfers.stop[slot, r] - other or transfers.left[slot, c] != transfers.left[slot, r]:
            return False
        if transfers.done[slot, c] != transfers.done[slot, r]:
            return False
        bank, row = transfers.bank[slot], transfers.row[slot]
        for j in range(count):
            if bank[at + j] != bank[other + j] or row[at + j] != row[other + j]:
                return False
    return True


@njit()
def _same(one: Ints, two: Ints) -> bool:
    for i in range(one.size):  # noqa: SIM110 - compiled
        if one.flat[i] != two.flat[i]:
            return False
    return True


@njit()
def _copy(c: int, r: int, channels: Channels, transfers: Transfers) -> None:
    channels.open_row[c], channels.hits[c], channels.at[c] = (
        channels.open_row[r], channels.hits[r], channels.at[r],
    )  # fmt: skip
    channels.ok[c], channels.group_ok[c], channels.all_ok[c] = (
        channels.ok[r], channels.group_ok[r], channels.all_ok[r],
    )  # fmt: skip
    channels.acts[c], channels.bus[c] = channels.acts[r], channels.bus[r]
    channels.queue[c], channels.place[c] = channels.queue[r], channels.place[r]
    transfers.left[:, c], transfers.done[:, c] = transfers.left[:, r], transfers.done[:, r]
