"""The table of constraints against distances worked out by hand from the standards, one clock to either side."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from einsim.sim.dram.channels import NEVER, new_channels
from einsim.sim.dram.commands import first_legal, issue
from einsim.sim.dram.constraints import ACT, PRE, PREA, RD, REF, REFB, WR, constraints, device
from einsim.sim.dram.standard import BankTree, standard

SAME, GROUP, OTHER, RANK = "same bank", "same group", "other group", "other rank"
PLACES = {SAME: 0, GROUP: 1, OTHER: 4, RANK: 16}  # of two ranks of four groups of four banks
NAMES = {"ACT": ACT, "PRE": PRE, "RD": RD, "WR": WR, "REF": REF, "PREA": PREA, "REFB": REFB}

# DDR4-3200AA, 8 Gb x8, tCK 0.625 ns, by hand from JESD79-4C: CL 22, CWL 16, BL8 is 4 clocks; one command bus,
# one clock a command. A write's data ends CWL + 4 = 20 clocks after it. Two ranks' data lie 2 clocks apart.
DDR4 = """
       in           ACT  PRE   RD   WR  REF PREA
ACT    same bank     74   52   22   22   74   52
ACT    same group     8    1    1    1
ACT    other group    4    1    1    1
ACT    other rank     1    1    1    1    1    1
PRE    same bank     22    1    1    1   22    1
PRE    same group     1    1    1    1
PRE    other group    1    1    1    1
PRE    other rank     1    1    1    1    1    1
RD     same bank      1   12    8   12    1   12
RD     same group     1    1    8   12
RD     other group    1    1    4   12
RD     other rank     1    1    6   12    1    1
WR     same bank      1   44   32    8    1   44
WR     same group     1    1   32    8
WR     other group    1    1   24    4
WR     other rank     1    1    1    6    1    1
REF    same bank    560    1    1    1  560    1
REF    other rank     1    1    1    1    1    1
PREA   same bank     22    1    1    1   22    1
PREA   other rank     1    1    1    1    1    1
"""
# HBM2 at 1 GHz: CL 14, CWL 4, BL4 is 2 clocks; a bus for rows, whose ACT takes two clocks, and one for columns.
HBM2 = """
       in           ACT  PRE   RD   WR  REF PREA
ACT    same bank     48   34   14   14   48   34
ACT    same group     6    2    0    0
ACT    other group    4    2    0    0
PRE    same bank     14    1    0    0   14    1
PRE    other group    1    1    0    0
RD     same bank      0    6    4   14    0    6
RD     same group     0    0    4   14
RD     other group    0    0    2   14
WR     same bank      0   22   14    4    0   22
WR     other group    0    0   12    2
REF    same bank    260    1    0    0  260    1
PREA   same bank     14    1    0    0   14    1
"""
# LPDDR4X-4266, refreshed bank by bank: 299 clocks to the bank, tRRD 16 to the others; no groups.
LPDDR4X = """
       in           ACT  PRE   RD   WR REFB
REFB   same bank    299    2    2    2  299
REFB   same group    16    2    2    2  299
ACT    same bank    129   90   39   39  129
ACT    same group    16    4    4    4   16
PRE    same bank     39    2    2    2   39
PRE    same group     2    2    2    2    2
"""


def cases(name: str, text: str):
    head, *lines = text.strip().splitlines()
    for line in lines:
        command, place, numbers = line[:7].strip(), line[7:18].strip(), line[18:].split()
        for following, cycles in zip(head.split()[1:], numbers, strict=False):
            yield pytest.param(name, command, following, place, int(cycles),
                               id=f"{name} {command} {following} {place}")  # fmt: skip


ALL = [
    *cases("ddr4-3200", DDR4),
    *cases("hbm2", HBM2),
    *cases("lpddr4x-4266", LPDDR4X),
]


def fresh(name: str, refresh: int = REF):
    chosen = standard(name)
    tree = BankTree(4, 4, ranks=2) if name == "ddr4-3200" else chosen.organisation.tree
    clocks = replace(chosen.timing.clocks, t_rtrs=2)
    return new_channels(1, tree, 4, NEVER), device(clocks, tree, refresh)


@pytest.mark.parametrize(("name", "command", "following", "place", "cycles"), ALL)
def test_a_following_command_is_blocked_until_the_clock_before_and_then_ready(
    name, command, following, place, cycles
):
    channels, dram = fresh(name, REFB if "REFB" in (command, following) else REF)
    issue(0, NAMES[command], 0, 1000, channels, dram)
    first = first_legal(NAMES[following], PLACES[place], channels.ready[0], dram)
    assert max(first - 1000, 0) == cycles


@pytest.mark.parametrize(("name", "cycles"), [("ddr4-3200", 34), ("hbm2", 16), ("lpddr4x-4266", 64)])
def test_the_fifth_activate_waits_for_the_window_of_four(name, cycles):
    channels, dram = fresh(name)
    for number, bank in enumerate((0, 4, 8, 12) if dram.node.shape[0] > 8 else (0, 1, 2, 3)):
        assert first_legal(ACT, 5, channels.ready[0], dram) < 1000 + cycles  # four are free to go
        issue(0, ACT, bank, 1000 + number, channels, dram)
    assert first_legal(ACT, 5, channels.ready[0], dram) == 1000 + cycles
    if name == "ddr4-3200":  # the other rank has a window of its own
        assert first_legal(ACT, 16, channels.ready[0], dram) == 1004


def test_every_distance_of_the_table_is_a_number_of_the_standard_and_no_row_is_there_twice():
    t = replace(standard("lpddr4x-4266").timing.clocks, t_rtrs=2)
    rows = [
        (row.scope, command, following, row.window)
        for row in constraints(t, ranks=2)
        for command in row.command
        for following in row.following
    ]
    assert len(rows) == len(set(rows))
    assert all(row.cycles > 0 for row in constraints(t, ranks=2))
    used = {
        name for name in t.__struct_fields__ if constraints(replace(t, **{name: 977}), 2) != constraints(t, 2)
    }
    assert used == set(t.__struct_fields__) - {"t_refi"}  # which is not a distance between commands


def test_the_compiled_rows_are_the_table():
    t = standard("ddr4-3200").timing.clocks
    dram = device(t, BankTree(4, 4))
    for command in range(7):
        mine = dram.rows[dram.first[command] : dram.first[command + 1]]
        told = [
            (following, row.scope, row.cycles, row.window)
            for row in constraints(t)
            if command in row.command
            for following in row.following
            if following != REFB
        ]
        assert sorted(map(tuple, mine.tolist())) == sorted(told)
    assert (np.unique(dram.node) == np.arange(16 + 4 + 1 + 1)).all()
