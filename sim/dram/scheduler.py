"""The controller of one channel: FR-FCFS over a bounded queue, every command at its first legal cycle.

In each cycle the controller admits arrived bursts while the queue has room, then issues on each free
command bus the best command that is legal in this cycle:

    1. the next command of the oldest burst, if that waits for longer than the age cap,
    2. a column command to an open row, of the direction (read or write) of the last one, oldest first,
    3. a column command of the other direction, oldest first,
    4. ACT or PRE for the oldest burst that needs it; a row that queued bursts still hit stays open.

A burst over the age cap also keeps the others off its bank and off column commands of the other
direction. When a refresh is due nothing else starts in its banks: of a rank they are closed by one PREA, then
REF; a single one by PRE, then REFB. With a row-hit cap, a row that has had as many column commands gives way
once the oldest burst of its bank waits for another row: it takes no more hits.
Time jumps from one cycle in which something can happen to the next; the tests hold this against a twin that
walks every cycle and looks every constraint up in the whole history of commands.

Everything that decides what happens next stands in `Channels` and `Transfers` (`sim.dram.channels`), so a run
may stop at any cycle and go on when more has arrived: the commands are those of one run that knew it all.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from einsim.sim.dram.channels import (
    BANK,
    CLOSED,
    DIRECTION,
    DUE,
    ENTERED,
    FREED,
    LOG_WIDTH,
    NEVER,
    NOW,
    POSITION,
    ROW,
    SLOT,
    TURN,
    UNIT,
    WAITING,
    Channels,
    Transfers,
    Ways,
)  # fmt: skip
from einsim.sim.dram.commands import GIVES_WAY, activate, first_legal, give_way, issue, precharge
from einsim.sim.dram.constraints import ACT, CHANNEL, PRE, PREA, RANK, RD, REFB, WR, CompiledDram
from einsim.specs.arrays import Ints
from einsim.specs.compiled import njit

HIT: Final = 0  # the row was open
MISS: Final = 1  # an ACT was issued for the request
CONFLICT: Final = 2  # a PRE and an ACT were issued for it


@njit()
def serve(
    c: int, channels: Channels, transfers: Transfers, ways: Ways, device: CompiledDram, until: int,
    goal: int, log: Ints,
) -> Ints:  # fmt: skip
    """Runs channel `c` up to the cycle `until`, or until it has nothing left to do.

    With a `goal` it also stops once it has served all bursts of the transfer in this slot (-1: none).

    Returns the command log, int64 [commands, 5]: cycle, command, bank (-1 - rank: all of a rank), row (-1:
    none), position of the burst in its transfer (-1: none), in order of issue; none is kept if `log` has no
    lines.
    """
    at, rows, ready = channels.at[c], channels.open_row[c], channels.ready[c]
    keep, lines = log.shape[0] > 0, 0
    now = at[NOW]
    while now < until and (goal < 0 or transfers.left[goal, c] > 0):
        pending = _admit(c, channels, transfers, ways, now, keep)
        if at[WAITING] == 0 and pending == NEVER and until == NEVER:
            break
        soon = min(at[DUE], until)
        first_held, held = 0, 0  # banks that a refresh which is due keeps to itself
        if now >= at[DUE]:
            first_held, held = at[UNIT] * device.refresh_banks, device.refresh_banks
            kind = _refresh_step(rows, first_held, device)
            first = first_legal(kind, first_held, ready, device)
            if first <= now:
                if keep:
                    bank = first_held if device.refresh == REFB else -1 - first_held // held
                    row = rows[first_held] & ~GIVES_WAY if kind == PRE else -1
                    log = _noted(log, lines, (now, kind, bank, row, -1))
                    lines += 1
                issue(c, kind, first_held, now, channels, device)
                if kind == device.refresh:
                    _refreshed(c, channels, device, until if pending == NEVER else 0)
                else:
                    for b in range(first_held, first_held + held):
                        precharge(c, b, now, channels, device)
                continue
            soon = min(first, until)
        if pending < NEVER and at[WAITING] < channels.place.shape[1]:
            soon = min(soon, max(pending, now + 1))
        best, kind, soon = _choose(c, channels, ways, device, now, soon, first_held, held)
        if best < 0:
            now = soon
            continue
        entry = channels.queue[c, channels.place[c, best]]
        b = entry[BANK] >> 1
        if keep:
            row = entry[ROW] if kind != PRE else rows[b] & ~GIVES_WAY
            log = _noted(log, lines, (now, kind, b, row, entry[POSITION]))
            lines += 1
        issue(c, kind, b, now, channels, device)
        if kind == ACT:
            activate(c, b, entry[ROW], now, channels, device)
            if keep:
                told = transfers.outcome[entry[SLOT]]
                told[entry[POSITION]] = max(told[entry[POSITION]], MISS)
        elif kind == PRE:
            precharge(c, b, now, channels, device)
            if keep:
                transfers.outcome[entry[SLOT], entry[POSITION]] = CONFLICT
        else:
            starving = now - channels.queue[c, channels.place[c, 0], ENTERED] > ways.age_cap
            if keep:
                transfers.issue[entry[SLOT], entry[POSITION]] = now
            ends = now + device.burst + (device.cl if kind == RD else device.cwl)
            _served(c, best, kind, now, ends, channels, transfers, ways)
            if not starving and _hits_only(c, channels, transfers, ways.engines):
                now = max(now, min(_next_column(c, channels, ways, device), at[DUE], until))
    at[NOW] = now
    for r in range(device.ranks):
        if channels.opened[c, r] == 0:
            channels.counts[c, CLOSED] += now - channels.closed_since[c, r]
        channels.closed_since[c, r] = now
    return log[:lines].copy()


@njit(allocates=False, inner=True)
def _admit(c: int, channels: Channels, transfers: Transfers, ways: Ways, now: int, keep: bool) -> int:
    """Lets arrived bursts into the queue; when the next one that is not in it arrives, NEVER for none."""
    at, open_row, hits = channels.at[c], channels.open_row[c], channels.hits[c]
    queue, place = channels.queue[c], channels.place[c]
    while True:
        slot = _source(c, transfers, ways.engines, at[TURN])
        if slot < 0:
            return NEVER
        position = transfers.next[slot, c]
        arrives = transfers.arrival[slot, position if keep else 0]
        if arrives > now or at[WAITING] + (at[FREED] == now) >= place.shape[0]:
            return int(arrives)
        entry = queue[place[at[WAITING]]]
        entry[BANK], entry[ROW] = transfers.bank[slot, position], transfers.row[slot, position]
        entry[ENTERED] = min(now, max(arrives, at[FREED] + 1))
        entry[SLOT], entry[POSITION] = slot, position if keep else 0
        b = entry[BANK] >> 1
        if open_row[b] == entry[ROW]:
            hits[b] += 1
        transfers.next[slot, c] += 1
        at[TURN] = (at[TURN] + 1) % ways.engines
        at[WAITING] += 1
        if ways.row_hit_cap < NEVER:
            give_way(c, b, channels, ways)


@njit(allocates=False, inner=True)
def _source(c: int, transfers: Transfers, engines: int, turn: int) -> int:
    """The transfer whose burst goes next: the oldest `engines` of those that have any left take turns."""
    found, first = 0, -1
    for i in range(transfers.flying[0]):
        slot = transfers.order[i]
        if transfers.next[slot, c] < transfers.stop[slot, c]:
            if found == turn:
                return int(slot)
            if first < 0:
                first = int(slot)
            found += 1
            if found == engines:
                break
    return first


@njit(allocates=False, inner=True)
def _choose(
    c: int, channels: Channels, ways: Ways, device: CompiledDram, now: int, soon: int, first_held: int,
    held: int,
) -> tuple[int, int, int]:  # fmt: skip
    """The queue entry whose command goes now, -1 for none, and the command; else when to look again."""
    queue, place, at = channels.queue[c], channels.place[c], channels.at[c]
    open_row, hits, ready = channels.open_row[c], channels.hits[c], channels.ready[c]
    waiting = at[WAITING]
    if waiting == 0:
        return -1, 0, soon
    oldest = queue[place[0]]
    starving = now - oldest[ENTERED] > ways.age_cap
    if not starving:
        soon = min(soon, oldest[ENTERED] + ways.age_cap + 1)
    best, best_rank, best_kind = -1, 4, 0
    for i in range(waiting):
        b, write = queue[place[i], BANK] >> 1, queue[place[i], BANK] & 1
        if first_held <= b < first_held + held:
            continue
        if starving and i > 0 and b == oldest[BANK] >> 1:
            continue
        if open_row[b] == queue[place[i], ROW]:
            kind = WR if write else RD
            if starving and write != oldest[BANK] & 1:
                continue
            rank = 1 if kind == at[DIRECTION] else 2
        elif open_row[b] < 0:
            kind, rank = ACT, 3
        elif hits[b] > 0 and not (starving and i == 0):
            continue
        else:
            kind, rank = PRE, 3
        if rank >= best_rank:
            continue
        first = first_legal(kind, b, ready, device)
        if first > now:
            soon = min(soon, first)
            continue
        if starving and i == 0:
            rank = 0
        best, best_rank, best_kind = i, rank, kind
        if rank <= 1:
            break
    return best, best_kind, soon


@njit(allocates=False, inner=True)
def _served(
    c: int, at_place: int, kind: int, now: int, ends: int, channels: Channels, transfers: Transfers,
    ways: Ways,
) -> None:  # fmt: skip
    """A column command serves a burst, whose data ends then; it leaves the queue."""
    at, place, queue = channels.at[c], channels.place[c], channels.queue[c]
    gone = place[at_place]
    b, slot = queue[gone, BANK] >> 1, queue[gone, SLOT]
    at[DIRECTION], at[FREED] = kind, now
    channels.hits[c, b] -= 1
    transfers.left[slot, c] -= 1
    transfers.done[slot, c] = max(transfers.done[slot, c], ends)
    at[WAITING] -= 1
    for i in range(at_place, at[WAITING]):
        place[i] = place[i + 1]
    place[at[WAITING]] = gone
    if ways.row_hit_cap < NEVER:
        channels.streak[c, b] = min(channels.streak[c, b] + 1, ways.row_hit_cap)
        give_way(c, b, channels, ways)


@njit(allocates=False, inner=True)
def _refresh_step(open_row: Ints, first_held: int, device: CompiledDram) -> int:
    """What a refresh that is due needs next: its banks closed, or itself."""
    for b in range(first_held, first_held + device.refresh_banks):
        if open_row[b] >= 0:
            return PRE if device.refresh == REFB else PREA
    return device.refresh


@njit(allocates=False, inner=True)
def _refreshed(c: int, channels: Channels, device: CompiledDram, until: int) -> None:
    """The next refresh is of the next banks; at rest up to `until`, refreshes that are alike pass at once."""
    at = channels.at[c]
    units = channels.open_row.shape[1] // device.refresh_banks
    passed = 1
    if (
        at[WAITING] == 0 and until < NEVER and channels.opened[c].sum() == 0
    ):  # the last ones decide what follows
        idle = max(0, (until - at[DUE]) // device.refresh_every - 1 - units)
        channels.counts[c, device.refresh] += idle
        passed += idle
    at[DUE] += passed * device.refresh_every
    at[UNIT] = (at[UNIT] + passed) % units


@njit(allocates=False, inner=True)
def _hits_only(c: int, channels: Channels, transfers: Transfers, engines: int) -> bool:
    """Whether all queued bursts hit their rows, and so does the one that may join before the next goes."""
    waiting = channels.at[c, WAITING]
    if channels.hits[c].sum() < waiting:
        return False
    slot = _source(c, transfers, engines, channels.at[c, TURN])
    if slot < 0:
        return True
    position = transfers.next[slot, c]
    opened = channels.open_row[c, transfers.bank[slot, position] >> 1]
    return bool(waiting == channels.place.shape[1] - 1 and opened == transfers.row[slot, position])


@njit(allocates=False, inner=True)
def _next_column(c: int, channels: Channels, ways: Ways, device: CompiledDram) -> int:
    """A cycle before which no column command goes: a shorter way to where the whole queue would lead."""
    ready, node = channels.ready[c], device.node[0]
    soon = NEVER
    for rank in range(node[RANK], node[RANK] + device.ranks):
        soon = min(soon, ready[RD, rank], ready[WR, rank])
    soon = max(soon, min(ready[RD, node[CHANNEL]], ready[WR, node[CHANNEL]]))
    if channels.at[c, WAITING]:
        soon = min(soon, channels.queue[c, channels.place[c, 0], ENTERED] + ways.age_cap + 1)
    return int(soon)


@njit(inner=True)
def _noted(log: Ints, lines: int, line: tuple[int, int, int, int, int]) -> Ints:
    """The log with one more line, in twice the room where it was full."""
    if lines == log.shape[0]:
        old, log = log, np.empty((2 * lines, LOG_WIDTH), np.int64)
        log[:lines] = old
    log[lines] = line
    return log
