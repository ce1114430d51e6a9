"""The controller of one channel: FR-FCFS over a bounded queue, every command at its first legal cycle.

In each cycle the controller admits arrived requests while the queue has room, then issues on each free
command bus the best command that is legal in this cycle:

    1. the next command of the oldest request, if that waits for longer than the age cap,
    2. a column command to an open row, of the direction (read or write) of the last one, oldest first,
    3. a column command of the other direction, oldest first,
    4. ACT or PRE for the oldest request that needs it; a row that queued requests still hit stays open.

A request over the age cap also keeps the others off its bank and off column commands of the other
direction. When a REF is due (every tREFI) nothing else starts: all banks are closed by one PREA, then REF.
Time jumps from one cycle in which something can happen to the next; the tests hold this against a twin that
walks every cycle and looks every constraint up in the whole history of commands.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from sim.dram.standard import Clocks

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

NEVER: Final = 1 << 60
LOG_WIDTH: Final = 5  # cycle, command, bank, row, request


@njit(cache=True)
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
    t = clocks
    count, banks = bank.shape[0], groups * banks_per_group
    open_row = np.full(banks, -1, np.int64)
    # ok[kind, bank], group_ok[kind, group], all_ok[kind]: the first legal cycle of ACT, PRE, RD, WR.
    ok = np.zeros((4, banks), np.int64)
    group_ok = np.zeros((4, groups), np.int64)
    all_ok = np.zeros(4, np.int64)
    last_acts = np.full(4, -NEVER, np.int64)  # ring of the last four ACTs
    bus = np.zeros(2, np.int64)  # first free cycle of the row and the column command bus
    log = np.empty((4 * count + 64, LOG_WIDTH), np.int64)
    lines = acts = 0
    queue = np.empty(depth, np.int64)
    entered = np.empty(depth, np.int64)
    waiting = taken = served = 0
    hits = np.zeros(banks, np.int64)
    direction = RD
    freed = -1  # the cycle in which a queue entry was freed last; it can be filled from the next
    due = t.t_refi if refresh else NEVER
    now = 0
    while served < count:
        while taken < count and waiting + (freed == now) < depth and arrival[taken] <= now:
            queue[waiting], entered[waiting] = taken, min(now, max(arrival[taken], freed + 1))
            waiting += 1
            taken += 1
        if now >= due:
            start = max(now, bus[0])
            closing = False
            for b in range(banks):
                if open_row[b] >= 0:
                    closing = True
                    start = max(start, ok[PRE, b])
            if lines + 2 > log.shape[0]:
                log = _grown(log)
            if closing:
                log[lines] = (start, PREA, -1, -1, -1)
                lines += 1
                for b in range(banks):
                    if open_row[b] >= 0:
                        open_row[b] = -1
                        ok[ACT, b] = max(ok[ACT, b], start + t.t_rp_all)
                _hold(bus, 0, start + t.precharge_clocks, t)
            start = max(start, bus[0])
            for b in range(banks):
                start = max(start, ok[ACT, b])
            log[lines] = (start, REF, -1, -1, -1)
            lines += 1
            for b in range(banks):
                ok[ACT, b] = start + t.t_rfc
            _hold(bus, 0, start + t.refresh_clocks, t)
            now = start
            due += t.t_refi
            continue
        if waiting == 0:
            now = min(max(arrival[taken], now + 1), due)
            continue
        hits[:] = 0
        for i in range(waiting):
            b = bank[queue[i]]
            if open_row[b] == row[queue[i]]:
                hits[b] += 1
        starving = now - entered[0] > age_cap
        best, best_rank, best_kind = -1, 4, 0
        soon = due
        if taken < count and waiting < depth:
            soon = min(soon, max(arrival[taken], now + 1))
        if not starving:
            soon = min(soon, entered[0] + age_cap + 1)
        for i in range(waiting):
            request = queue[i]
            b = bank[request]
            g = b // banks_per_group
            if starving and i > 0 and b == bank[queue[0]]:
                continue
            if open_row[b] == row[request]:
                kind = WR if write[request] else RD
                if starving and write[request] != write[queue[0]]:
                    continue
                rank = 1 if kind == direction else 2
                first = bus[1]
            elif open_row[b] < 0:
                kind, rank, first = ACT, 3, max(bus[0], last_acts[acts % 4] + t.t_faw)
            else:
                if hits[b] > 0 and not starving:
                    continue
                if hits[b] > 0 and i > 0:
                    continue
                kind, rank, first = PRE, 3, bus[0]
            first = max(first, ok[kind, b], group_ok[kind, g], all_ok[kind])
            if first > now:
                soon = min(soon, first)
                continue
            if starving and i == 0:
                rank = 0
            if rank < best_rank:
                best, best_rank, best_kind = i, rank, kind
        if best < 0:
            now = soon
            continue
        request = queue[best]
        b = bank[request]
        if lines + 1 > log.shape[0]:
            log = _grown(log)
        log[lines] = (now, best_kind, b, row[request] if best_kind != PRE else open_row[b], request)
        lines += 1
        if best_kind == ACT:
            open_row[b] = row[request]
            last_acts[acts % 4] = now
            acts += 1
            outcome[request] = max(outcome[request], MISS)
            _after_act(ok, group_ok, all_ok, b, b // banks_per_group, now, t)
            _hold(bus, 0, now + t.activate_clocks, t)
        elif best_kind == PRE:
            open_row[b] = -1
            outcome[request] = CONFLICT
            ok[ACT, b] = max(ok[ACT, b], now + t.t_rp)
            _hold(bus, 0, now + t.precharge_clocks, t)
        else:
            direction = best_kind
            freed = now
            issue[request] = now
            _after_column(ok, group_ok, all_ok, best_kind, b, b // banks_per_group, now, t)
            _hold(bus, 1, now + t.column_clocks, t)
            served += 1
            waiting -= 1
            for i in range(best, waiting):
                queue[i], entered[i] = queue[i + 1], entered[i + 1]
    return log[:lines].copy()


@njit(cache=True)
def _hold(bus: Ints, which: int, until: int, t: Clocks) -> None:
    """The command holds its bus, or both where row and column commands share one."""
    if t.separate_row_bus:
        bus[which] = until
    else:
        bus[:] = until


@njit(cache=True)
def _after_act(ok: Ints, group_ok: Ints, all_ok: Ints, b: int, g: int, now: int, t: Clocks) -> None:
    ok[ACT, b] = now + t.t_rc
    ok[PRE, b] = now + t.t_ras
    ok[RD, b] = now + t.t_rcd_read
    ok[WR, b] = now + t.t_rcd_write
    group_ok[ACT, g] = now + t.t_rrd_l
    all_ok[ACT] = now + t.t_rrd_s


@njit(cache=True)
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


@njit(cache=True)
def _grown(log: Ints) -> Ints:
    more = np.empty((2 * log.shape[0], LOG_WIDTH), np.int64)
    more[: log.shape[0]] = log
    return more
