"""The controller of one channel: FR-FCFS over a bounded queue, every command at its first legal cycle.

In each cycle the controller admits arrived bursts while the queue has room, then issues on each free
command bus the best command that is legal in this cycle:

    1. the next command of the oldest burst, if that waits for longer than the age cap,
    2. a column command to an open row, of the direction (read or write) of the last one, oldest first,
    3. a column command of the other direction, oldest first,
    4. ACT or PRE for the oldest burst that needs it; a row that queued bursts still hit stays open.

A burst over the age cap also keeps the others off its bank and off column commands of the other
direction. When a REF is due (every tREFI) nothing else starts: all banks are closed by one PREA, then REF.
Time jumps from one cycle in which something can happen to the next; the tests hold this against a twin that
walks every cycle and looks every constraint up in the whole history of commands.

Everything that decides what happens next stands in `Channels` and `Transfers` (`sim.dram.channels`), so a run
may stop at any cycle and go on when more has arrived: the commands are those of one run that knew it all.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from einsim.sim.dram.channels import (
    ACTS,
    BANK,
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
    WAITING,
    Channels,
    Transfers,
    Ways,
)  # fmt: skip
from einsim.sim.dram.standard import Clocks
from einsim.specs.compiled import njit

Ints = npt.NDArray[np.int64]

ACT: Final = 0
PRE: Final = 1
RD: Final = 2
WR: Final = 3
REF: Final = 4
PREA: Final = 5

HIT: Final = 0  # the row was open
MISS: Final = 1  # an ACT was issued for the request
CONFLICT: Final = 2  # a PRE and an ACT were issued for it


@njit()
def serve(
    c: int,
    channels: Channels,
    transfers: Transfers,
    ways: Ways,
    t: Clocks,
    until: int,
    goal: int,
    log: Ints,
) -> Ints:
    """Runs channel `c` up to the cycle `until`, or until it has nothing left to do.

    With a `goal` it also stops once it has served all bursts of the transfer in this slot (-1: none).

    Returns the command log, int64 [commands, 5]: cycle, command, bank (-1: all), row (-1: none), position of
    the burst in its transfer (-1: none), in order of issue; none is kept if `log` has no lines.
    """
    open_row, hits, at, place = channels.open_row[c], channels.hits[c], channels.at[c], channels.place[c]
    ok, group_ok, all_ok = channels.ok[c], channels.group_ok[c], channels.all_ok[c]
    last_acts, bus, queue, counts = channels.acts[c], channels.bus[c], channels.queue[c], channels.counts[c]
    banks, depth = open_row.shape[0], place.shape[0]
    keep, lines = log.shape[0] > 0, 0
    now, waiting, freed, due = at[NOW], at[WAITING], at[FREED], at[DUE]
    while now < until and (goal < 0 or transfers.left[goal, c] > 0):
        pending = NEVER  # arrival of the next burst that is not in the queue
        while True:
            slot = _source(c, transfers, ways.engines, at[TURN])
            if slot < 0:
                break
            position = transfers.next[slot, c]
            arrives = transfers.arrival[slot, position if keep else 0]
            if arrives > now or waiting + (freed == now) >= depth:
                pending = arrives
                break
            entry = queue[place[waiting]]
            entry[BANK], entry[ROW] = transfers.bank[slot, position], transfers.row[slot, position]
            entry[ENTERED] = min(now, max(arrives, freed + 1))
            entry[SLOT], entry[POSITION] = slot, position if keep else 0
            if open_row[entry[BANK] >> 1] == entry[ROW]:
                hits[entry[BANK] >> 1] += 1
            transfers.next[slot, c] += 1
            at[TURN] = (at[TURN] + 1) % ways.engines
            waiting += 1
        if now >= due:
            start = max(now, bus[0])
            closing = False
            for b in range(banks):
                if open_row[b] >= 0:
                    closing = True
                    start = max(start, ok[PRE, b])
            if keep and lines + 2 > log.shape[0]:
                log = _grown(log)
            if closing:
                if keep:
                    log[lines] = (start, PREA, -1, -1, -1)
                    lines += 1
                counts[PREA] += 1
                for b in range(banks):
                    if open_row[b] >= 0:
                        open_row[b], hits[b] = -1, 0
                        ok[ACT, b] = max(ok[ACT, b], start + t.t_rp_all)
                _hold(bus, 0, start + t.precharge_clocks, t)
            start = max(start, bus[0])
            for b in range(banks):
                start = max(start, ok[ACT, b])
            if keep:
                log[lines] = (start, REF, -1, -1, -1)
                lines += 1
            counts[REF] += 1
            for b in range(banks):
                ok[ACT, b] = start + t.t_rfc
            _hold(bus, 0, start + t.refresh_clocks, t)
            now = start
            due += t.t_refi
            if waiting == 0 and pending == NEVER and until < NEVER and due + t.t_refi < until:
                idle = (until - due) // t.t_refi - 1  # alike, and the last ones of them decide what follows
                due += idle * t.t_refi
                counts[REF] += idle
            continue
        if waiting == 0:
            if pending < NEVER:
                now = min(max(pending, now + 1), due, until)
                continue
            if until == NEVER:
                break
            now = min(due, until)
            continue
        oldest = place[0]
        starving = now - queue[oldest, ENTERED] > ways.age_cap
        best, best_rank, best_kind = -1, 4, 0
        soon = min(due, until)
        if pending < NEVER and waiting < depth:
            soon = min(soon, max(pending, now + 1))
        if not starving:
            soon = min(soon, queue[oldest, ENTERED] + ways.age_cap + 1)
        for i in range(waiting):
            b, write = queue[place[i], BANK] >> 1, queue[place[i], BANK] & 1
            if starving and i > 0 and b == queue[oldest, BANK] >> 1:
                continue
            if open_row[b] == queue[place[i], ROW]:
                kind = WR if write else RD
                if starving and write != queue[oldest, BANK] & 1:
                    continue
                rank = 1 if kind == at[DIRECTION] else 2
                first = bus[1]
            elif open_row[b] < 0:
                kind, rank, first = ACT, 3, max(bus[0], last_acts[at[ACTS]] + t.t_faw)
            else:
                if hits[b] > 0 and not (starving and i == 0):
                    continue
                kind, rank, first = PRE, 3, bus[0]
            if rank >= best_rank:
                continue
            first = max(first, ok[kind, b], group_ok[kind, b // ways.banks_per_group], all_ok[kind])
            if first > now:
                soon = min(soon, first)
                continue
            if starving and i == 0:
                rank = 0
            if rank < best_rank:
                best, best_rank, best_kind = i, rank, kind
                if rank <= 1:
                    break
        if best < 0:
            now = soon
            continue
        entry = queue[place[best]]
        b, g = entry[BANK] >> 1, (entry[BANK] >> 1) // ways.banks_per_group
        if keep:
            if lines + 1 > log.shape[0]:
                log = _grown(log)
            row = entry[ROW] if best_kind != PRE else open_row[b]
            log[lines] = (now, best_kind, b, row, entry[POSITION])
            lines += 1
        counts[best_kind] += 1
        if best_kind == ACT:
            open_row[b] = entry[ROW]
            hits[b] = 0
            for i in range(waiting):
                other = place[i]
                hits[b] += queue[other, BANK] >> 1 == b and queue[other, ROW] == entry[ROW]
            last_acts[at[ACTS]] = now
            at[ACTS] = (at[ACTS] + 1) % 4
            if keep:
                told = transfers.outcome[entry[SLOT]]
                told[entry[POSITION]] = max(told[entry[POSITION]], MISS)
            ok[ACT, b] = now + t.t_rc
            ok[PRE, b] = now + t.t_ras
            ok[RD, b] = now + t.t_rcd_read
            ok[WR, b] = now + t.t_rcd_write
            group_ok[ACT, g] = now + t.t_rrd_l
            all_ok[ACT] = now + t.t_rrd_s
            _hold(bus, 0, now + t.activate_clocks, t)
        elif best_kind == PRE:
            open_row[b], hits[b] = -1, 0
            if keep:
                transfers.outcome[entry[SLOT], entry[POSITION]] = CONFLICT
            ok[ACT, b] = max(ok[ACT, b], now + t.t_rp)
            _hold(bus, 0, now + t.precharge_clocks, t)
        else:
            at[DIRECTION] = best_kind
            freed = now
            hits[b] -= 1
            slot = entry[SLOT]
            if keep:
                transfers.issue[slot, entry[POSITION]] = now
            transfers.left[slot, c] -= 1
            ends = now + t.burst + (t.cl if best_kind == RD else t.cwl)
            transfers.done[slot, c] = max(transfers.done[slot, c], ends)
            _after_column(ok, group_ok, all_ok, best_kind, b, g, now, t)
            _hold(bus, 1, now + t.column_clocks, t)
            waiting -= 1
            gone = place[best]
            for i in range(best, waiting):
                place[i] = place[i + 1]
            place[waiting] = gone
            if not starving and _hits_only(c, channels, transfers, ways.engines, waiting):
                soon = max(bus[1], min(all_ok[RD], all_ok[WR]))  # a shorter way to the same cycle
                if waiting:
                    soon = min(soon, queue[place[0], ENTERED] + ways.age_cap + 1)
                now = max(now, min(soon, due, until))
    at[NOW], at[WAITING], at[FREED], at[DUE] = now, waiting, freed, due
    return log[:lines].copy()


@njit()
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


@njit()
def _hits_only(c: int, channels: Channels, transfers: Transfers, engines: int, waiting: int) -> bool:
    """Whether all queued bursts hit their rows, and so does the one that may join before the next goes."""
    if channels.hits[c].sum() < waiting:
        return False
    slot = _source(c, transfers, engines, channels.at[c, TURN])
    if slot < 0:
        return True
    position = transfers.next[slot, c]
    opened = channels.open_row[c, transfers.bank[slot, position] >> 1]
    return bool(waiting == channels.place.shape[1] - 1 and opened == transfers.row[slot, position])


@njit()
def _hold(bus: Ints, which: int, until: int, t: Clocks) -> None:
    """The command holds its bus, or both where row and column commands share one."""
    if t.separate_row_bus:
        bus[which] = until
    else:
        bus[:] = until


@njit()
def _after_column(
    ok: Ints, group_ok: Ints, all_ok: Ints, kind: int, b: int, g: int, now: int, t: Clocks
) -> None:
    if kind == RD:
        ok[PRE, b] = max(ok[PRE, b], now + t.t_rtp)
        group_ok[RD, g] = now + t.t_ccd_l
        all_ok[RD] = now + t.t_ccd_s
        all_ok[WR] = max(all_ok[WR], now + t.t_rtw)
    else:
        end = now + t.cwl + t.burst
        ok[PRE, b] = max(ok[PRE, b], end + t.t_wr)
        group_ok[WR, g] = now + t.t_ccd_l
        all_ok[WR] = now + t.t_ccd_s
        group_ok[RD, g] = max(group_ok[RD, g], end + t.t_wtr_l)
        all_ok[RD] = max(all_ok[RD], end + t.t_wtr_s)


@njit()
def _grown(log: Ints) -> Ints:
    more = np.empty((2 * log.shape[0], LOG_WIDTH), np.int64)
    more[: log.shape[0]] = log
    return more
