"""Laws of the channel scheduler: no constraint broken, none waited for longer, equal to a twin."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from einsim.sim.dram.constraints import (
    ACT,
    BANK,
    CHANNEL,
    GROUP,
    OTHER_RANKS,
    PRE,
    PREA,
    RANK,
    RD,
    REF,
    REFB,
    WR,
    constraints,
)
from einsim.sim.dram.controller import BurstStream, Controller, run_channel
from einsim.sim.dram.standard import BankTree, Clocks, names, standard


def rank_of(bank: int, tree: BankTree) -> int:
    """The rank of a bank, or of a command to all banks of a rank (-1 - rank)."""
    return bank // tree.per_rank if bank >= 0 else -1 - bank


def meet(scope: int, one: int, two: int, tree: BankTree) -> bool:
    """Whether commands to these banks share the scope of a constraint."""
    same_rank = rank_of(one, tree) == rank_of(two, tree)
    whole = one < 0 or two < 0
    return {
        CHANNEL: True,
        RANK: same_rank,
        OTHER_RANKS: not same_rank,
        GROUP: same_rank and (whole or one // tree.banks_per_group == two // tree.banks_per_group),
        BANK: same_rank and (whole or one == two),
    }[scope]


def held(t: Clocks, kind: int) -> int:
    """Cycles that a command holds its bus."""
    clocks = {
        ACT: t.activate_clocks,
        PRE: t.precharge_clocks,
        PREA: t.precharge_clocks,
        REF: t.refresh_clocks,
        REFB: t.refresh_clocks,
    }
    return clocks.get(kind, t.column_clocks)


def bus_of(t: Clocks, kind: int) -> int:
    """Which command bus carries a command."""
    return 1 if t.separate_row_bus and kind in (RD, WR) else 0


def violations(log: np.ndarray, t: Clocks, tree: BankTree) -> list[str]:
    """Every broken rule of a command log [n, 5], found without the scheduler's state."""
    cycle, kind, bank = log[:, 0], log[:, 1], log[:, 2]
    found = []
    if (np.diff(cycle) < 0).any():
        found.append("log out of order")
    banks = sorted(set(bank.tolist()))
    together = {
        scope: np.array([[meet(scope, one, two, tree) for two in banks] for one in banks])
        for scope in (BANK, GROUP, RANK, CHANNEL, OTHER_RANKS)
    }
    place = np.searchsorted(banks, bank)
    for row in constraints(t, tree.ranks):
        firsts = np.isin(kind, row.command)
        for j in np.flatnonzero(np.isin(kind, row.following)):
            earlier = cycle[:j][firsts[:j] & together[row.scope][place[:j], place[j]]]
            if len(earlier) >= row.window and cycle[j] - earlier[-row.window] < row.cycles:
                found.append(f"{row} broken at {cycle[j]}")
    for bus in (0, 1):
        mine = [i for i in range(len(log)) if bus_of(t, kind[i]) == bus]
        found += [f"bus at {cycle[j]}" for i, j in pairwise(mine)
                  if cycle[j] - cycle[i] < held(t, kind[i])]  # fmt: skip
    data = sorted(
        (c + (t.cl if k == RD else t.cwl), rank_of(b, tree)) for c, k, b, *_ in log if k in (RD, WR)
    )
    found += [f"data bus at {b[0]}" for a, b in pairwise(data)
              if b[0] - a[0] < t.burst + (t.t_rtrs if a[1] != b[1] else 0)]  # fmt: skip
    rows: dict[int, int] = {}
    for c, k, b, r, _ in log:
        if k == ACT and rows.get(b, -1) >= 0:
            found.append(f"ACT of an open bank at {c}")
        if k in (RD, WR) and rows.get(b, -1) != r:
            found.append(f"column command to a closed row at {c}")
        inside = [b] if b >= 0 else [other for other in rows if rank_of(other, tree) == -1 - b]
        if k in (REF, REFB) and any(rows.get(other, -1) >= 0 for other in inside):
            found.append(f"refresh over an open bank at {c}")
        if k == ACT:
            rows[b] = r
        elif k in (PRE, PREA):
            rows.update(dict.fromkeys(inside, -1))
    return found


@dataclass
class Twin:
    """The controller cycle by cycle: state is the history of commands, nothing is precomputed."""

    t: Clocks
    tree: BankTree
    how: Controller
    log: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    past: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # kind -> (cycle, bank)

    def legal(self, kind: int, bank: int, now: int) -> bool:
        for row in constraints(self.t, self.tree.ranks):
            if kind not in row.following:
                continue
            earlier = sorted(
                cycle
                for first in row.command
                for cycle, other in self.past.get(first, ())
                if now - cycle < row.cycles and meet(row.scope, other, bank, self.tree)
            )
            if len(earlier) >= row.window:
                return False
        return True

    def put(self, now: int, kind: int, bank: int, row: int, request: int) -> None:
        self.log.append((now, kind, bank, row, request))
        self.past.setdefault(kind, []).append((now, bank))

    def run(self, bank, row, write, arrival) -> list[tuple[int, int, int, int, int]]:
        how, tree = self.how, self.tree
        rows: dict[int, int] = {}
        tired: set[int] = set()  # banks whose row takes no more hits
        streak: dict[int, int] = {}
        queue: list[tuple[int, int]] = []  # (request, cycle of entry)
        taken = served = now = unit = 0
        units = tree.banks if how.per_bank else tree.ranks
        size, direction = tree.banks // units, RD
        due = every = self.t.t_refi // units
        while served < len(bank):
            while taken < len(bank) and len(queue) < how.queue_depth and arrival[taken] <= now:
                queue.append((taken, now))
                taken += 1
            held: list[int] = []
            if how.refresh and now >= due:
                held = list(range(unit * size, (unit + 1) * size))
                place = held[0] if how.per_bank else -1 - unit
                opened = [b for b in held if rows.get(b, -1) >= 0]
                close, refresh = (PRE, REFB) if how.per_bank else (PREA, REF)
                if opened and self.legal(close, place, now):
                    self.put(now, close, place, rows[place] if how.per_bank else -1, -1)
                    rows.update(dict.fromkeys(held, -1))
                    continue
                if not opened and self.legal(refresh, place, now):
                    self.put(now, refresh, place, -1, -1)
                    due, unit = due + every, (unit + 1) % units
                    continue
            while queue:
                oldest, entered = queue[0]
                starving = now - entered > how.age_cap_cycles
                choice = None
                for b in set(bank[[q for q, _ in queue]]) if how.row_hit_cap else ():
                    oldest_of_bank = next(q for q, _ in queue if bank[q] == b)
                    other = row[oldest_of_bank] != rows.get(b, -1)
                    if rows.get(b, -1) >= 0 and other and streak[b] >= how.row_hit_cap:
                        tired.add(b)
                for request, _ in queue:
                    b, r = bank[request], row[request]
                    older_first = starving and request != oldest
                    hit = rows.get(b, -1) == r and b not in tired
                    wanted = [q for q, _ in queue if bank[q] == b and rows.get(b, -1) == row[q]]
                    if b in held or (older_first and b == bank[oldest]):
                        continue
                    if hit:
                        kind = WR if write[request] else RD
                        if older_first and write[request] != write[oldest]:
                            continue
                        rank = 1 if kind == direction else 2
                    elif rows.get(b, -1) < 0:
                        kind, rank = ACT, 3
                    elif wanted and b not in tired and not (starving and request == oldest):
                        continue
                    else:
                        kind, rank = PRE, 3
                    if starving and request == oldest:
                        rank = 0
                    if self.legal(kind, b, now) and (choice is None or rank < choice[0]):
                        choice = (rank, kind, request)
                if choice is None:
                    break
                _, kind, request = choice
                b = bank[request]
                self.put(now, kind, b, rows[b] if kind == PRE else row[request], request)
                if kind in (RD, WR):
                    direction = kind
                    served += 1
                    streak[b] += 1
                    queue = [entry for entry in queue if entry[0] != request]
                else:
                    rows[b] = row[request] if kind == ACT else -1
                    streak[b] = 0
                    tired.discard(b)
            now += 1
        return self.log


small = st.integers(1, 7)


@st.composite
def clocks(draw):
    """Any legal set of constraints, small enough that a twin can walk it."""
    pick = {name: draw(small) for name in Clocks.__struct_fields__}
    pick["t_ccd_s"] = max(pick["t_ccd_s"], pick["burst"])
    for long, short in (("t_ccd_l", "t_ccd_s"), ("t_rrd_l", "t_rrd_s"), ("t_wtr_l", "t_wtr_s")):
        pick[long] = max(pick[long], pick[short])
    pick["t_ras"] = draw(st.integers(1, 14))
    pick["t_rc"] = pick["t_ras"] + draw(st.integers(0, 9))
    pick["t_faw"] = draw(st.integers(1, 30))
    pick["t_rtw"] = max(pick["t_rtw"], pick["cl"] + pick["burst"] - pick["cwl"])
    pick["t_rfc"] = draw(st.integers(1, 30))
    pick["t_refi"] = draw(st.integers(80, 200))
    pick["separate_row_bus"] = draw(st.integers(0, 1))
    for name in ("activate_clocks", "precharge_clocks", "column_clocks", "refresh_clocks"):
        pick[name] = draw(st.integers(1, 3))
    return Clocks(**pick)


def run(t, groups, per_group, depth, cap, refresh, bank, row, write, arrival, *, ranks=1, **options):
    how = Controller(queue_depth=depth, age_cap_cycles=cap, refresh=bool(refresh), **options)
    stream = BurstStream(*(np.asarray(x, np.int64) for x in (bank, row, write, arrival)))
    return run_channel(stream, t, BankTree(groups, per_group, ranks), how)[:3]  # log, issue, outcome


OPTIONS = {
    "": {},
    "ranks": {"ranks": 2},
    "per-bank refresh": {"per_bank": True},
    "row-hit cap": {"row_hit_cap": 2},
    "all": {"ranks": 3, "per_bank": True, "row_hit_cap": 1},
}


@pytest.mark.parametrize("option", OPTIONS)
@settings(max_examples=20, deadline=None)
@given(t=clocks(), data=st.data())
def test_scheduler_equals_a_twin_that_walks_every_cycle(option, t, data):
    groups, per_group = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    options = dict(OPTIONS[option])
    tree = BankTree(groups, per_group, options.get("ranks", 1))
    count, depth, cap = (
        data.draw(st.integers(1, 24)),
        data.draw(st.integers(1, 6)),
        data.draw(st.integers(0, 90)),
    )
    t = replace(t, t_refi=t.t_refi * (tree.banks if options.get("per_bank") else 1))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    bank, row = rng.integers(0, tree.banks, count), rng.integers(0, 3, count)
    write = rng.integers(0, 2, count)
    arrival = np.sort(rng.integers(0, data.draw(st.sampled_from([1, 60, 400])), count))
    refresh = data.draw(st.booleans())
    log, issue, _ = run(t, groups, per_group, depth, cap, refresh, bank, row, write, arrival, **options)
    options.pop("ranks", None)
    how = Controller(queue_depth=depth, age_cap_cycles=cap, refresh=refresh, **options)
    twin = Twin(t, tree, how).run(bank, row, write, arrival)
    assert [tuple(line) for line in log.tolist()] == twin
    assert violations(log, t, tree) == []
    assert (issue >= arrival).all()


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("depth", [1, 8, 32])
def test_no_standard_is_ever_broken_by_random_traffic(name, depth):
    chosen = standard(name)
    t, per_group = chosen.timing.clocks, chosen.organisation.banks_per_group.value
    groups = chosen.organisation.bank_groups.value
    rng = np.random.default_rng(depth)
    for rows, gap in ((2, 1), (40, 3), (40, 400)):
        count = 250
        bank, row = rng.integers(0, groups * per_group, count), rng.integers(0, rows, count)
        write, arrival = rng.integers(0, 2, count), np.cumsum(rng.integers(0, gap, count))
        log, issue, _ = run(t, groups, per_group, depth, 500, True, bank, row, write, arrival)
        assert violations(log, t, BankTree(groups, per_group)) == []
        assert (issue >= arrival).all()
        served = log[(log[:, 1] == RD) | (log[:, 1] == WR)]
        assert sorted(served[:, 4]) == list(range(count))  # each request once
        assert (served[np.argsort(served[:, 4]), 1] == np.where(write == 1, WR, RD)).all()
        refreshes = log[log[:, 1] == REF, 0]
        late = refreshes - t.t_refi * np.arange(1, len(refreshes) + 1)
        assert (late >= 0).all()
        assert (late <= t.t_ras + t.cwl + t.burst + t.t_wr + t.t_rp_all + t.t_rc + t.refresh_clocks).all()


def late_refreshes(log: np.ndarray, t: Clocks) -> list[str]:
    """Every REF that comes before its tREFI, or later than what may still be under way then, or not at all."""
    closing = t.t_ras + t.cwl + t.burst + t.t_wr + t.t_rp_all + t.t_rc + t.refresh_clocks
    found = []
    refreshes = log[log[:, 1] == REF, 0]
    for number in range(1, int(log[-1, 0]) // t.t_refi + 1):
        due = number * t.t_refi
        at = refreshes[number - 1] if number <= len(refreshes) else log[-1, 0] + 1
        if not due <= at <= due + closing:
            found.append(f"REF {number} at {at}, due at {due}")
    return found


@pytest.mark.parametrize("name", names())
def test_a_scheduler_that_is_one_cycle_too_fast_in_any_constraint_is_caught(name):
    """The scheduler gets every constraint of a standard one shorter in turn; the checker, which knows the standard,
    must see it on random traffic. tRC is hidden where it is tRAS + tRP, and so is what another one covers.
    """
    chosen = standard(name)
    t, org = chosen.timing.clocks, chosen.organisation
    per_group, groups = org.banks_per_group.value, org.bank_groups.value
    rng = np.random.default_rng(1)
    count = 600
    bank, row = rng.integers(0, per_group * groups, count), rng.integers(0, 4, count)
    write = np.repeat(rng.integers(0, 2, count // 5), 5)
    gaps = rng.integers(0, 2, count) * rng.integers(0, 60, count) + (rng.random(count) < 0.02) * t.t_refi
    order = np.repeat(np.arange(count // 2), 2)  # pairs of hits, so that columns follow each other
    bank, row, arrival = bank[order], row[order], np.cumsum(gaps)

    def broken(clocks, per_bank=False):
        log, _, _ = run(
            clocks, groups, per_group, 16, 500, True, bank, row, write, arrival, per_bank=per_bank
        )
        return violations(log, t, BankTree(groups, per_group)) + ([] if per_bank else late_refreshes(log, t))

    assert broken(t) == []
    if t.t_rfc_bank:
        assert broken(t, per_bank=True) == []
        assert broken(replace(t, t_rfc_bank=t.t_rfc_bank - 1), per_bank=True)
    hidden = {"t_refi", "t_rfc_bank"} | ({"t_rc"} if t.t_rc == t.t_ras + t.t_rp else set())
    for short in ("t_rrd_s", "t_ccd_s", "t_wtr_s"):
        long = f"{short[:-1]}l"
        if groups == 1:
            hidden |= {short} | ({long} if getattr(t, short) == getattr(t, long) else set())
    if t.t_faw <= 4 * t.t_rrd_s:
        hidden |= {"t_faw"}
    wanted = [name for name in Clocks.__struct_fields__ if name.startswith("t_") and getattr(t, name) > 1]
    for each in sorted(set(wanted) - hidden):
        assert broken(replace(t, **{each: getattr(t, each) - 1})), each
    slack = 2 * (t.t_rc + t.cwl + t.t_wr + t.t_ras + t.t_rp_all)
    assert broken(replace(t, t_refi=t.t_refi + slack))
    assert broken(replace(t, t_refi=t.t_refi - slack))


def test_the_checker_sees_a_command_moved_by_one_cycle():
    t = standard("ddr4-3200").timing.clocks
    rng = np.random.default_rng(3)
    bank, row, write = rng.integers(0, 16, 60), rng.integers(0, 4, 60), rng.integers(0, 2, 60)
    log, _, _ = run(t, 4, 4, 16, 2000, True, bank, row, write, np.zeros(60))
    seen = 0
    for line in range(1, len(log)):
        moved = log.copy()
        moved[line, 0] -= 1
        seen += violations(moved, t, BankTree(4, 4)) != []
    assert violations(log, t, BankTree(4, 4)) == []
    assert seen >= 0.9 * (len(log) - 1)  # nearly every command stands at the first cycle that its rules allow


LATER = 900  # long after the first requests have settled
BASE = Clocks(
    cl=4, cwl=3, burst=1, t_rcd_read=1, t_rcd_write=1, t_rp=1, t_rp_all=1, t_ras=1, t_rc=1, t_rrd_s=1,
    t_rrd_l=1, t_faw=1, t_ccd_s=1, t_ccd_l=1, t_wr=1, t_rtp=1, t_wtr_s=1, t_wtr_l=1, t_rtw=4, t_refi=5000,
    t_rfc=1, activate_clocks=1, precharge_clocks=1, column_clocks=1, refresh_clocks=1, separate_row_bus=0,
)  # fmt: skip

# constraint: other constraints it drags along, requests (bank, row, write, arrival), the pair of commands
# (kind, nth of its kind) whose distance it sets, and what that distance holds besides it. Banks 0, 1 are
# group 0; banks 2, 3 group 1; 4, 5 group 2.
TIGHT = {
    "t_rcd_read": ([], [(0, 0, 0, 0)], (ACT, 0), (RD, 0), 0),
    "t_rcd_write": ([], [(0, 0, 1, 0)], (ACT, 0), (WR, 0), 0),
    "t_rp": ([], [(0, 0, 0, 0), (0, 1, 0, LATER)], (PRE, 0), (ACT, 1), 0),
    "t_ras": (["t_rc"], [(0, 0, 0, 0), (0, 1, 0, 0)], (ACT, 0), (PRE, 0), 0),
    "t_rc": ([], [(0, 0, 0, 0), (0, 1, 0, 0)], (ACT, 0), (ACT, 1), 0),
    "t_rrd_s": (["t_rrd_l"], [(0, 0, 0, 0), (2, 0, 0, 0)], (ACT, 0), (ACT, 1), 0),
    "t_rrd_l": ([], [(0, 0, 0, 0), (1, 0, 0, 0)], (ACT, 0), (ACT, 1), 0),
    "t_faw": ([], [(b, 0, 0, 0) for b in (0, 2, 4, 1, 3)], (ACT, 0), (ACT, 4), 0),
    "t_ccd_s": (
        ["t_ccd_l"], [(0, 0, 0, 0), (2, 0, 0, 0), (0, 0, 0, LATER), (2, 0, 0, LATER)], (RD, 2), (RD, 3), 0,
    ),
    "t_ccd_l": ([], [(0, 0, 0, 0), (0, 0, 0, LATER), (0, 0, 0, LATER)], (RD, 1), (RD, 2), 0),
    "t_wr": ([], [(0, 0, 1, 0), (0, 1, 0, 0)], (WR, 0), (PRE, 0), BASE.cwl + BASE.burst),
    "t_rtp": ([], [(0, 0, 0, 0), (0, 1, 0, 0)], (RD, 0), (PRE, 0), 0),
    "t_wtr_s": (
        ["t_wtr_l"], [(2, 0, 0, 0), (0, 0, 1, 300), (0, 0, 1, LATER), (2, 0, 0, LATER)], (WR, 1), (RD, 1), 4,
    ),
    "t_wtr_l": ([], [(1, 0, 0, 0), (0, 0, 1, 300), (0, 0, 1, LATER), (1, 0, 0, LATER)], (WR, 1), (RD, 1), 4),
    "t_rtw": ([], [(0, 0, 0, 0), (0, 0, 0, LATER), (0, 0, 1, LATER)], (RD, 1), (WR, 0), 0),
    "t_rfc": ([], [(0, 0, 0, 5000)], (REF, 0), (ACT, 0), 0),
    "t_rp_all": ([], [(0, 0, 0, 0), (0, 0, 0, 5000)], (PREA, 0), (REF, 0), 0),
    "activate_clocks": ([], [(0, 0, 0, 0)], (ACT, 0), (RD, 0), 0),
    "precharge_clocks": ([], [(0, 0, 0, 0), (0, 1, 0, LATER)], (PRE, 0), (ACT, 1), 0),
    "column_clocks": ([], [(0, 0, 0, 0), (0, 0, 0, LATER), (0, 0, 0, LATER)], (RD, 1), (RD, 2), 0),
    "refresh_clocks": ([], [(0, 0, 0, 5000)], (REF, 0), (ACT, 0), 0),
}  # fmt: skip


@pytest.mark.parametrize("name", TIGHT)
@pytest.mark.parametrize("limit", [41, 42])
def test_each_constraint_blocks_until_its_last_cycle_and_not_one_longer(name, limit):
    dragged, requests, (kind, at), (then, after), more = TIGHT[name]
    t = replace(BASE, **dict.fromkeys([name, *dragged], limit))
    log, _, _ = run(t, 3, 2, 16, 2000, True, *zip(*requests, strict=True))
    cycles = {k: log[log[:, 1] == k, 0] for k in range(6)}
    assert cycles[then][after] - cycles[kind][at] == limit + more


def test_an_idle_memory_refreshes_every_trefi_on_the_cycle():
    log, _, _ = run(BASE, 3, 2, 16, 2000, True, [0], [0], [0], [26_000])
    assert log[log[:, 1] == REF, 0].tolist() == [5000, 10_000, 15_000, 20_000, 25_000]


def test_a_read_behind_a_stream_of_hits_is_served_once_it_is_older_than_the_cap():
    t = standard("ddr4-3200").timing.clocks
    count = 3000
    bank, row, write = np.zeros(count, int), np.zeros(count, int), np.zeros(count, int)
    row[5] = 1  # a conflict in the bank that everyone else hits
    waits = []
    for cap in (100, 1000):
        _, issue, _ = run(t, 4, 4, 16, cap, False, bank, row, write, np.arange(count) * 4)
        waits.append(issue[5] - 20)
    slack = t.t_ras + t.t_rp + t.t_rcd_read + t.t_rtp + 1
    assert 100 < waits[0] <= 100 + slack
    assert 1000 < waits[1] <= 1000 + slack
