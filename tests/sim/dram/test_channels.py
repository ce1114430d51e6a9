"""A run that stops and goes on is one run; channels that are alike may be computed once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.sim.dram.channels import LOG_WIDTH, NEVER, Ways, new_channels, new_transfers, rebase
from einsim.sim.dram.constraints import NO_REFRESH, PREA, RD, REF, WR, device
from einsim.sim.dram.controller import BurstStream, Controller, run_all, run_channel
from einsim.sim.dram.scheduler import serve
from einsim.sim.dram.standard import BankTree, names, standard
from tests.sim.dram.test_scheduler import clocks

TREE = BankTree(groups=2, banks_per_group=2)


def drawn(rng, count, banks=TREE.banks):
    bank, row, write = rng.integers(0, banks, count), rng.integers(0, 3, count), rng.integers(0, 2, count)
    return [np.asarray(x, np.int64) for x in (bank, row, write)]


def put(transfers, slot, channel, bank, row, write, first=0):
    """A transfer's bursts on one channel, from `first` on in its list."""
    end = first + len(bank)
    transfers.bank[slot, first:end], transfers.row[slot, first:end] = 2 * bank + write, row
    transfers.next[slot, channel], transfers.stop[slot, channel] = first, end
    transfers.left[slot, channel] = len(bank)


@settings(max_examples=24, deadline=None)
@given(
    t=clocks(), seed=st.integers(0, 10**6), stops=st.lists(st.integers(1, 90), max_size=12), data=st.data()
)
def test_stopping_counting_anew_and_going_on_gives_the_commands_of_one_run(t, seed, stops, data):
    rng = np.random.default_rng(seed)
    count, depth, cap = 24, data.draw(st.integers(1, 6)), data.draw(st.sampled_from([0, 30, 2000]))
    refresh = data.draw(st.booleans())
    bank, row, write = drawn(rng, count)
    how = Controller(queue_depth=depth, age_cap_cycles=cap, refresh=refresh)
    whole = run_channel(BurstStream(bank, row, write, np.zeros(count, np.int64)), t, TREE, how).log
    channels = new_channels(1, TREE, depth, t.t_refi if refresh else NEVER)
    transfers = new_transfers(1, 1, count, keep=True)
    put(transfers, 0, 0, bank, row, write)
    transfers.flying[0] = 1
    ways, dram = how.ways(1), how.device(t, TREE)
    base, found = 0, []
    for until in [*stops, NEVER]:
        log = serve(0, channels, transfers, ways, dram, until, -1, np.empty((8, LOG_WIDTH), np.int64))
        log[:, 0] += base
        found.append(log)
        if until < NEVER:
            rebase(channels, transfers, until, t.t_faw)
            base += until
    joined = np.concatenate(found)
    assert (joined[: len(whole)] == whole).all()
    assert set(joined[len(whole) :, 1]) <= {REF, PREA}  # while it waited for the last stop


@settings(max_examples=16, deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(names()), until=st.sampled_from([200, 1500, NEVER]))
def test_alike_channels_computed_once_are_the_channels_computed_each(seed, name, until):
    rng = np.random.default_rng(seed)
    chosen = standard(name)
    t, count = chosen.timing.clocks, 60
    ways, dram = Ways(engines=2, age_cap=500), device(t, TREE)
    made = []
    streams = [[drawn(rng, count) for _ in range(2)] for _ in range(3)]  # for 3 channels of 2 transfers
    streams[2] = streams[0]
    for _ in range(2):
        channels = new_channels(3, TREE, 8, t.t_refi)
        transfers = new_transfers(2, 3, 3 * count, keep=False)
        for c, both in enumerate(streams):
            for slot, stream in enumerate(both):
                put(transfers, slot, c, *stream, first=c * count)
        transfers.order[:], transfers.flying[0] = [0, 1], 2
        made.append((channels, transfers))
    run_all(*made[0], ways, dram, until, -1)
    for c in range(3):
        serve(c, *made[1], ways, dram, until, -1, np.empty((0, LOG_WIDTH), np.int64))
    for one, two in zip((*made[0][0], *made[0][1]), (*made[1][0], *made[1][1]), strict=True):
        assert (one == two).all()


def test_transfers_take_turns_or_follow_each_other():
    """Two transfers of hits in banks of their own: with two engines both end late, with one the first is first."""
    t = standard("ddr4-3200").timing.clocks
    ends = {}
    for engines in (1, 2):
        channels, transfers = new_channels(1, TREE, 8, NEVER), new_transfers(2, 1, 200, keep=False)
        for slot in (0, 1):
            put(transfers, slot, 0, np.full(200, 2 * slot), np.zeros(200, np.int64), 0)
        transfers.order[:2], transfers.flying[0] = [0, 1], 2
        run_all(channels, transfers, Ways(engines, 10**9), device(t, TREE, NO_REFRESH), NEVER, -1)
        ends[engines] = transfers.done[:, 0].tolist()
    assert ends[2][0] == pytest.approx(ends[2][1], rel=0.05)
    assert ends[1][0] < 0.8 * ends[1][1]
    assert max(ends[2]) <= 1.01 * max(ends[1])


def test_a_long_rest_has_every_refresh_in_it():
    t = standard("hbm2e").timing.clocks
    tree = BankTree(groups=4, banks_per_group=4)
    channels, transfers = new_channels(2, tree, 32, t.t_refi), new_transfers(1, 2, 1, keep=False)
    run_all(channels, transfers, Ways(1, 2000), device(t, tree), 1000 * t.t_refi + 5, -1)
    assert channels.counts[:, REF].tolist() == [1000, 1000]
    assert channels.at[:, 5].tolist() == [1001 * t.t_refi] * 2
    assert channels.counts[:, [RD, WR]].sum() == 0
