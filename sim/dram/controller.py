"""Channels together: a stream on one of them, and a whole memory whose channels run side by side."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from einsim.sim.dram.channels import (
    CLOSED,
    LOG_WIDTH,
    NEVER,
    NOW,
    WAITING,
    Channels,
    Transfers,
    Ways,
    new_channels,
    new_transfers,
)  # fmt: skip
from einsim.sim.dram.constraints import NO_REFRESH, REF, REFB, CompiledDram, device
from einsim.sim.dram.scheduler import serve
from einsim.sim.dram.standard import BankTree, Clocks
from einsim.specs.arrays import Ints
from einsim.specs.compiled import njit
from einsim.specs.errors import RuleError


class Controller(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How each channel is served: queue entries, cycles until a request goes first, refresh on or off.

    per_bank: refreshes go bank by bank. row_hit_cap: column commands after which a row gives way to another
    one that the oldest burst of its bank waits for; 0: never.
    """

    queue_depth: int = 32
    age_cap_cycles: int = 2000
    refresh: bool = True
    per_bank: bool = False
    row_hit_cap: int = 0

    def __post_init__(self) -> None:
        if self.queue_depth < 1:
            raise RuleError("must be >= 1", got=self.queue_depth, at=("queue_depth",))
        for name in ("age_cap_cycles", "row_hit_cap"):
            if getattr(self, name) < 0:
                raise RuleError("must be >= 0", got=getattr(self, name), at=(name,))

    def ways(self, engines: int) -> Ways:
        """As the kernels take it, with so many transfers that take turns."""
        return Ways(engines=engines, age_cap=self.age_cap_cycles, row_hit_cap=self.row_hit_cap or NEVER)

    def device(self, clocks: Clocks, tree: BankTree) -> CompiledDram:
        """The DRAM as the kernels take it. RuleError for per-bank refresh where its time is not stated."""
        if self.per_bank and not clocks.t_rfc_bank:
            raise RuleError("needs timing.t_rfc_bank of the standard", got="not stated", at=("per_bank",))
        return device(clocks, tree, (REFB if self.per_bank else REF) if self.refresh else NO_REFRESH)


class BurstStream(NamedTuple):
    """Bursts of one channel, int64 [n] each, sorted by arrival."""

    bank: Ints
    row: Ints
    write: Ints
    arrival: Ints


class Served(NamedTuple):
    """What became of a stream of n bursts.

    log int64 [commands, 5]: cycle, command, bank (-1 - rank: all of it), row (-1: none), request (-1: none),
    in order of issue. issue int64 [n]: cycle of RD or WR. outcome int64 [n]: see `simulate.DramResult`.
    closed: cycles without an open row, summed over ranks, up to `cycle`; `closed_ranks` go on so from there.
    """

    log: Ints
    issue: Ints
    outcome: Ints
    closed: int
    cycle: int
    closed_ranks: int


def run_channel(stream: BurstStream, clocks: Clocks, tree: BankTree, how: Controller) -> Served:
    """Serves all bursts of a channel that has been at rest."""
    count = len(stream.bank)
    table = how.device(clocks, tree)
    channels = new_channels(1, tree, how.queue_depth, table.refresh_every if how.refresh else NEVER)
    transfers = new_transfers(1, 1, max(1, count), keep=True)
    transfers.bank[0, :count] = 2 * stream.bank + (stream.write != 0)
    transfers.row[0, :count], transfers.arrival[0, :count] = stream.row, stream.arrival
    transfers.stop[0], transfers.left[0], transfers.flying[0] = count, count, 1
    room = np.empty((4 * count + 64, LOG_WIDTH), np.int64)
    log = serve(0, channels, transfers, how.ways(1), table, NEVER, -1, room)
    return Served(
        log=log,
        issue=transfers.issue[0, :count],
        outcome=transfers.outcome[0, :count],
        closed=int(channels.counts[0, CLOSED]),
        cycle=int(channels.at[0, NOW]),
        closed_ranks=int((channels.opened[0] == 0).sum()),
    )


@njit()
def run_all(
    channels: Channels, transfers: Transfers, ways: Ways, device: CompiledDram, until: int, goal: int
) -> None:
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
            serve(c, channels, transfers, ways, device, until, goal, np.empty((0, 5), np.int64))
            continue
        _copy(c, r, channels, transfers)
        channels.counts[c] += channels.counts[r] - before[r]
        for slot in range(ahead.shape[0]):
            taken = ahead[slot, r] - (transfers.stop[slot, r] - transfers.next[slot, r])
            transfers.next[slot, c] += taken


@njit(inner=True)
def _alike(c: int, r: int, channels: Channels, transfers: Transfers) -> bool:
    """Whether two channels have the same future."""
    if not _same(channels.at[c], channels.at[r]) or not _same(channels.open_row[c], channels.open_row[r]):
        return False
    if not _same(channels.ready[c], channels.ready[r]) or not _same(channels.acts[c], channels.acts[r]):
        return False
    if not _same(channels.streak[c], channels.streak[r]):
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


@njit(inner=True)
def _same(one: Ints, two: Ints) -> bool:
    for i in range(one.size):  # noqa: SIM110 - compiled
        if one.flat[i] != two.flat[i]:
            return False
    return True


@njit(inner=True)
def _copy(c: int, r: int, channels: Channels, transfers: Transfers) -> None:
    for part in (channels.open_row, channels.hits, channels.streak, channels.opened, channels.closed_since):
        part[c] = part[r]
    channels.ready[c], channels.acts[c], channels.queue[c] = (
        channels.ready[r],
        channels.acts[r],
        channels.queue[r],
    )
    channels.place[c], channels.at[c] = channels.place[r], channels.at[r]
    transfers.left[:, c], transfers.done[:, c] = transfers.left[:, r], transfers.done[:, r]
