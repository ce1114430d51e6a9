"""Laws of a simulated memory: bandwidth, row outcomes, refresh and energy against closed forms."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from einsim.sim.dram.constraints import ACT, PRE, PREA, RD, REF, REFB, WR
from einsim.sim.dram.controller import Controller
from einsim.sim.dram.simulate import Requests, simulate
from einsim.sim.dram.standard import FOLDER, Figure, names, standard
from einsim.specs.errors import RuleError
from tests.sim.dram.inverse import address_of

STANDARDS = {name: standard(name) for name in names()}
QUIET = Controller(refresh=False)


def stream(chosen, count, *, write=False):
    """Consecutive bursts, all there at cycle 0."""
    return Requests(np.arange(count) * chosen.burst_bytes, np.full(count, write), np.zeros(count))


def cycling(chosen, banks, count):
    """Single bursts on channel 0, each in a new row, visiting the given banks in turn."""
    addr = [
        address_of(chosen, channel=0, bank=banks[i % len(banks)], row=1 + i, column=0) for i in range(count)
    ]
    return Requests(addr, np.zeros(count), np.zeros(count))


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("name", names())
def test_sequential_streams_reach_90_to_97_percent_of_peak(name, write):
    chosen = STANDARDS[name]
    result = simulate(chosen, stream(chosen, 15_000 * chosen.channels, write=write))
    assert 0.90 <= result.efficiency <= 0.97


@pytest.mark.parametrize("name", names())
def test_without_refresh_a_stream_fills_the_data_bus(name):
    chosen = STANDARDS[name]
    count = 5000 * chosen.channels
    result = simulate(chosen, stream(chosen, count), QUIET)
    t = chosen.timing.clocks
    start = t.t_rcd_read + t.cl
    assert result.cycles >= start + 5000 * t.burst
    assert result.cycles <= 1.003 * (start + 5000 * t.burst)


@pytest.mark.parametrize("name", names())
def test_a_row_hit_stream_hits(name):
    chosen = STANDARDS[name]
    per_row = chosen.organisation.bursts_per_row.value
    addr = [address_of(chosen, channel=0, bank=0, row=7, column=i % per_row) for i in range(400)]
    result = simulate(chosen, Requests(addr, np.zeros(400), np.zeros(400)), QUIET)
    assert (result.rows["hit"], result.rows["miss"], result.rows["conflict"]) == (399, 1, 0)
    t = chosen.timing.clocks
    assert result.cycles == t.t_rcd_read + 399 * t.t_ccd_l + t.cl + t.burst  # one bank: tCCD_L apart


@pytest.mark.parametrize("name", names())
def test_single_bursts_of_one_bank_take_trc_each(name):
    chosen = STANDARDS[name]
    t = chosen.timing.clocks
    result = simulate(chosen, cycling(chosen, [0], 200), QUIET)
    assert (result.rows["miss"], result.rows["conflict"]) == (1, 199)
    assert result.cycles == 199 * t.t_rc + t.t_rcd_read + t.cl + t.burst


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("count", [2, 4, 8])
def test_single_bursts_over_banks_take_trc_over_banks_or_the_activation_limits(name, count):
    chosen = STANDARDS[name]
    t = chosen.timing.clocks
    groups, per_group = chosen.organisation.bank_groups.value, chosen.organisation.banks_per_group.value
    banks = [(i % groups) * per_group + i // groups for i in range(count)]  # neighbours in other groups
    activation = t.t_rrd_s if groups > 1 else t.t_rrd_l
    each = max(t.t_rc / count, activation, t.t_faw / 4, t.t_ccd_s)
    result = simulate(chosen, cycling(chosen, banks, 2000), QUIET)
    assert result.cycles == pytest.approx(2000 * each, rel=0.02)


@pytest.mark.parametrize("name", names())
def test_random_single_bursts_stay_below_the_closed_form_and_near_it_with_a_deep_queue(name):
    chosen = STANDARDS[name]
    t = chosen.timing.clocks
    rng = np.random.default_rng(1)
    addr = [
        address_of(chosen, channel=0, bank=int(b), row=int(r), column=0)
        for b, r in zip(rng.integers(0, chosen.banks, 4000), rng.integers(0, 30_000, 4000), strict=True)
    ]
    each = max(t.t_rc / chosen.banks, t.t_rrd_s, t.t_faw / 4, t.t_ccd_s)
    found = {}
    for depth in (1, 16, 256):
        how = Controller(queue_depth=depth, age_cap_cycles=10**9, refresh=False)
        found[depth] = simulate(chosen, Requests(addr, np.zeros(4000), np.zeros(4000)), how).cycles
    assert found[256] >= 0.99 * 4000 * each
    assert found[1] > 1.5 * found[16]
    assert found[16] > 0.95 * found[256]  # the end of a deep queue may wait for one last full bank
    assert found[256] <= 1.15 * 4000 * each
    alone = t.t_rp + t.t_rcd_read  # depth 1 sees one request at a time: PRE, ACT, RD
    assert found[1] >= 0.9 * 4000 * alone


@pytest.mark.parametrize("name", names())
def test_refresh_costs_trfc_in_every_trefi_and_the_closing_and_opening_of_rows(name):
    chosen = STANDARDS[name]
    t = chosen.timing.clocks
    groups = chosen.organisation.bank_groups.value
    requests = stream(chosen, 40_000)
    chosen = msgspec.structs.replace(
        chosen,
        organisation=msgspec.structs.replace(
            chosen.organisation, channels=Figure(value=1, source="one channel is enough here")
        ),
    )
    with_refresh, without = simulate(chosen, requests), simulate(chosen, requests, QUIET)
    share = 1 - without.cycles / with_refresh.cycles
    reopen = t.t_rtp + t.t_rp_all + t.t_rcd_read + 2 * groups * t.t_rrd_l + t.cl
    assert t.t_rfc / t.t_refi <= share * 1.02
    assert share <= (t.t_rfc + reopen) / t.t_refi
    per_channel = with_refresh.commands.count(REF) / chosen.channels
    assert per_channel == pytest.approx(with_refresh.cycles / t.t_refi, abs=1)


def test_alternating_reads_and_writes_pay_the_turnarounds():
    chosen = STANDARDS["ddr4-3200"]
    count = 4000
    t = chosen.timing.clocks
    write = np.arange(count) % 2 == 1
    one_by_one = Controller(queue_depth=1, refresh=False)
    base = stream(chosen, count)
    mixed = simulate(chosen, Requests(base.addr, write, base.arrival), one_by_one)
    turn = t.t_rtw + t.cwl + t.burst + t.t_wtr_s  # a read, a write and back
    assert mixed.cycles == pytest.approx(count / 2 * turn, rel=0.08)
    grouped = simulate(chosen, Requests(base.addr, write, base.arrival), QUIET)
    assert grouped.cycles < 0.6 * mixed.cycles  # the queue gathers one direction at a time


def test_energy_is_commands_times_table_and_background_times_time():
    chosen = without_standby("hbm2")
    rng = np.random.default_rng(0)
    addr = rng.integers(0, chosen.capacity_bytes, 3000)
    result = simulate(chosen, Requests(addr, rng.random(3000) < 0.4, rng.integers(0, 9000, 3000)))
    table, commands = chosen.energy, result.commands
    assert result.energy_j == pytest.approx(
        {
            "activate": (commands.kind == ACT).sum() * table.activate_pj.value * 1e-12,
            "read": (commands.kind == RD).sum() * table.read_pj.value * 1e-12,
            "write": (commands.kind == WR).sum() * table.write_pj.value * 1e-12,
            "refresh": (commands.kind == REF).sum() * table.refresh_pj.value * 1e-12,
            "background": 16 * table.background_w.value * result.cycles / 1e9,
        }
    )
    assert commands.count(RD) + commands.count(WR) == 3000
    assert result.rows["hit"] + result.rows["miss"] + result.rows["conflict"] == 3000


def options(name, *changes):
    """A standard with lines of its file replaced, as a user would write it."""
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mine.yaml")
        path.write_text(text, encoding="utf-8")
        return standard(str(path))


TWO_RANKS = (
    ("mapping: [row,", "mapping: [row, rank,"),
    ("  rows:", '  ranks: {value: 2, source: "two ranks on the DIMM"}\n  rows:'),
    ("  cl:", '  t_rtrs: {value: 2, source: "DRAMsim3 tRTRS, DDR4"}\n  cl:'),
)


def without_standby(name, *changes):
    """The same where nothing is known of what is drawn while all rows are closed."""
    line = next(
        line for line in (FOLDER / f"{name}.yaml").read_text().splitlines() if "precharge_standby_w" in line
    )
    return options(name, (line, ""), *changes)


def test_two_ranks_have_twice_the_rows_open_and_pay_to_switch():
    one, two = STANDARDS["ddr4-3200"], options("ddr4-3200", *TWO_RANKS)
    assert (two.banks, two.capacity_bytes) == (32, 2 * one.capacity_bytes)
    t = two.timing.clocks
    banks = [4 * (i % 4) + i // 4 for i in range(16)]  # neighbours in other groups
    alone = simulate(one, cycling(one, banks, 1600), QUIET)
    both = simulate(two, cycling(two, [b + rank for b in banks for rank in (0, 16)], 1600), QUIET)
    assert 1600 * t.t_faw / 4 <= alone.cycles <= 1.05 * 1600 * t.t_faw / 4  # one window of four activates
    assert 1600 * t.t_faw / 8 <= both.cycles <= 1600 * (t.burst + t.t_rtrs)  # at most a switch a burst
    per_rank = both.commands.bank[both.commands.kind == ACT] // 16
    assert (per_rank == 0).sum() == (per_rank == 1).sum() == 800


def test_ranks_are_refreshed_in_turn_while_the_other_works_on():
    two = options("ddr4-3200", *TWO_RANKS)
    t = two.timing.clocks
    addr = [address_of(two, channel=0, bank=0, row=1, column=i % 128) for i in range(8000)]
    first_rank = simulate(two, Requests(addr, np.zeros(8000), np.zeros(8000)))
    refs = first_rank.commands.bank[first_rank.commands.kind == REF]
    assert refs.tolist() == [-1 if i % 2 == 0 else -2 for i in range(len(refs))]
    without = simulate(two, Requests(addr, np.zeros(8000), np.zeros(8000)), QUIET)
    lost = first_rank.cycles - without.cycles  # to REFs of the own rank only
    own = (refs == -1).sum()
    assert own * t.t_rfc <= lost <= own * (t.t_rfc + t.t_rp_all + t.t_rcd_read + t.t_rtp + t.cl)


def test_refresh_bank_by_bank_leaves_the_others_at_work():
    chosen = options("lpddr4x-4266", ("channels: {value: 4", "channels: {value: 1"))
    t, requests = chosen.timing.clocks, cycling(chosen, range(8), 8000)
    runs = [simulate(chosen, requests, Controller(refresh=on, per_bank=one)) for on, one in
            ((False, False), (True, False), (True, True))]  # fmt: skip
    none, whole, one_by_one = (run.cycles for run in runs)
    assert none < one_by_one < whole
    log = runs[2].commands
    banks, cycles = log.bank[log.kind == REFB], log.cycle[log.kind == REFB]
    assert (banks == np.arange(len(banks)) % 8).all()
    assert len(banks) == pytest.approx(one_by_one / (t.t_refi / 8), abs=1)
    assert not (log.kind == REF).any()
    between = (log.cycle > cycles[8]) & (log.cycle < cycles[8] + t.t_rfc_bank) & (log.kind == RD)
    assert between.sum() >= 0.8 * t.t_rfc_bank / t.t_rc * 7  # of the seven others
    assert runs[2].energy_j["refresh"] == pytest.approx(len(banks) * chosen.energy.refresh_pj.value / 8e12)


def test_a_row_gives_way_after_its_cap_of_hits_where_another_one_is_waited_for():
    chosen = STANDARDS["ddr4-3200"]
    addr = [address_of(chosen, channel=0, bank=0, row=1, column=i % 128) for i in range(1000)]
    addr[5] = address_of(chosen, channel=0, bank=0, row=2, column=0)
    requests = Requests(addr, np.zeros(1000), np.zeros(1000))
    ends = {}
    for cap in (0, 1, 16):
        run = simulate(chosen, requests, Controller(refresh=False, age_cap_cycles=10**9, row_hit_cap=cap))
        before = run.commands.cycle[run.commands.request == 5].min()  # its PRE
        reads = (run.commands.kind == RD) & (run.commands.cycle < before)
        ends[cap] = reads.sum()
    assert ends == {0: 999, 1: 5, 16: 16}  # what is older goes first in any case
    assert run.rows["conflict"] == 2  # the other row, and the first one again


def test_background_is_that_of_closed_banks_while_all_of_a_rank_are_closed():
    """The time without an open row, walked through the command log by hand: a rank each."""
    chosen = options("ddr4-3200", *TWO_RANKS)
    rng = np.random.default_rng(7)
    addr = rng.integers(0, chosen.capacity_bytes, 40)
    result = simulate(chosen, Requests(addr, np.zeros(40), np.sort(rng.integers(0, 200_000, 40))))
    log, t, closed = result.commands, chosen.timing.clocks, 0
    for rank in (0, 1):
        since, opened = 0, set()
        for cycle, kind, bank in zip(log.cycle, log.kind, log.bank, strict=True):
            if bank == -1 - rank and kind == PREA:
                opened, since = set(), cycle
            elif bank >= 0 and bank // 16 == rank and kind == ACT:
                closed += cycle - since if not opened else 0
                opened.add(bank)
            elif bank >= 0 and bank // 16 == rank and kind == PRE:
                opened.discard(bank)
                since = cycle
        closed += result.cycles - since if not opened else 0
    closed -= log.count(REF) * t.t_rfc
    assert closed > 0.2 * 2 * result.cycles
    expected = (0.4992 * result.cycles - (0.4992 - 0.3552) * closed / 2) / 1.6e9
    assert result.energy_j["background"] == pytest.approx(expected)
    always = simulate(without_standby("ddr4-3200", *TWO_RANKS), Requests(addr, np.zeros(40), np.zeros(40)))
    assert always.energy_j["background"] == pytest.approx(0.4992 * always.seconds)


def test_finish_is_the_end_of_the_requests_own_data():
    chosen = STANDARDS["ddr4-3200"]
    t = chosen.timing.clocks
    result = simulate(chosen, Requests([0, 64], [False, True], [10, 500]), QUIET)
    assert result.finish[0] == 10 + t.t_rcd_read + t.cl + t.burst
    assert result.finish[1] == 500 + t.t_rcd_write + t.cwl + t.burst


def test_order_of_the_arrays_does_not_matter_and_runs_repeat():
    chosen = STANDARDS["hbm2e"]
    rng = np.random.default_rng(4)
    addr, write = rng.integers(0, chosen.capacity_bytes, 2000), rng.random(2000) < 0.5
    arrival = rng.permutation(2000)
    mix = rng.permutation(2000)
    one = simulate(chosen, Requests(addr, write, arrival))
    two = simulate(chosen, Requests(addr[mix], write[mix], arrival[mix]))
    again = simulate(chosen, Requests(addr, write, arrival))
    assert (one.finish[mix] == two.finish).all()
    assert (one.finish == again.finish).all()
    assert (one.commands.cycle == again.commands.cycle).all()


def test_nothing_asked_costs_nothing():
    result = simulate(STANDARDS["hbm3"], Requests([], [], []))
    assert (result.cycles, result.efficiency, result.commands.count(ACT)) == (0, 0.0, 0)


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        (Requests([0, 64], [0], [0, 0]), "arrays of one length"),
        (Requests([0], [0], [-1]), "arrival: must be >= 0"),
        (Requests([1 << 60], [0], [0]), "addr: must lie in"),
    ],
)
def test_malformed_requests_are_refused(requests, message):
    with pytest.raises(RuleError, match=message):
        simulate(STANDARDS["hbm2"], requests)


def test_malformed_controllers_are_refused():
    with pytest.raises(RuleError, match="queue_depth: must be >= 1"):
        Controller(queue_depth=0)
    with pytest.raises(RuleError, match="age_cap_cycles: must be >= 0"):
        Controller(age_cap_cycles=-1)
    with pytest.raises(RuleError, match="row_hit_cap: must be >= 0"):
        Controller(row_hit_cap=-1)
    with pytest.raises(RuleError, match=r"per_bank: needs timing\.t_rfc_bank"):
        simulate(STANDARDS["ddr4-3200"], Requests([0], [0], [0]), Controller(per_bank=True))
