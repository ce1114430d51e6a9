"""The timing constraints of a DRAM standard, one a row, and the rows compiled for the scheduler.

A row says: after a command, a following command comes so many cycles later or more, where the two share a
bank, a bank group, a rank or the channel (`OTHER_RANKS`: where they share the channel and no rank). With a
window n the distance counts from the n-th latest command (tFAW: the fourth latest ACT). The form is that of
Ramulator 2's tables; the clauses that the numbers come from stand beside them in `standards/*.yaml`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from einsim.sim.dram.standard import BankTree, Clocks
from einsim.specs.arrays import Ints

ACT, PRE, RD, WR, REF, PREA, REFB = range(7)  # REF, PREA: all banks of a rank; REFB: refreshes one bank
COMMANDS: Final = 7
NO_REFRESH: Final = -1
BANK, GROUP, RANK, CHANNEL, OTHER_RANKS = range(5)
LEVELS: Final = 4  # what a bank stands in, itself included
FOLLOWING, SCOPE, CYCLES, WINDOW = range(4)  # of a compiled row
MOST_WINDOW: Final = 4


class Constraint(NamedTuple):
    """After any of `command`, any of `following` in the same `scope` waits `cycles`."""

    scope: int
    command: tuple[int, ...]
    following: tuple[int, ...]
    cycles: int
    window: int = 1


class CompiledDram(NamedTuple):
    """A channel's DRAM as kernels take it.

    rows [n, 4]: constraints, those of command k from first[k] to first[k + 1]. node [B, 4]: where a bank, its
    group, its rank and the channel stand in an array of all of them. `refresh` (REF or REFB) of the next
    `refresh_banks` banks is due every `refresh_every` cycles. cl, cwl, burst: see `TimingParameters`.
    """

    first: Ints
    rows: Ints
    node: Ints
    ranks: int
    refresh: int
    refresh_every: int
    refresh_banks: int
    cl: int
    cwl: int
    burst: int


def constraints(t: Clocks, ranks: int = 1) -> tuple[Constraint, ...]:
    """All rows of a standard; a distance of 0 or less says nothing and is left out."""
    written = t.cwl + t.burst  # WR to the end of its data
    one_bus = (ACT, PRE, RD, WR, REF, PREA, REFB)
    row_bus = (ACT, PRE, REF, PREA, REFB) if t.separate_row_bus else one_bus
    column_bus = (RD, WR) if t.separate_row_bus else one_bus
    rows = [
        Constraint(BANK, (ACT,), (ACT, REFB), t.t_rc),
        Constraint(BANK, (ACT,), (RD,), t.t_rcd_read),
        Constraint(BANK, (ACT,), (WR,), t.t_rcd_write),
        Constraint(BANK, (ACT,), (PRE,), t.t_ras),
        Constraint(BANK, (PRE,), (ACT, REFB), t.t_rp),
        Constraint(BANK, (RD,), (PRE,), t.t_rtp),
        Constraint(BANK, (WR,), (PRE,), written + t.t_wr),
        Constraint(BANK, (REFB,), (ACT,), t.t_rfc_bank),
        Constraint(GROUP, (ACT,), (ACT,), t.t_rrd_l),
        Constraint(GROUP, (RD,), (RD,), t.t_ccd_l),
        Constraint(GROUP, (WR,), (WR,), t.t_ccd_l),
        Constraint(GROUP, (WR,), (RD,), written + t.t_wtr_l),
        Constraint(RANK, (ACT,), (ACT, REFB), t.t_rrd_s),
        Constraint(RANK, (REFB,), (ACT,), t.t_rrd_s),
        Constraint(RANK, (ACT,), (ACT,), t.t_faw, 4),
        Constraint(RANK, (RD,), (RD,), t.t_ccd_s),
        Constraint(RANK, (WR,), (WR,), t.t_ccd_s),
        Constraint(RANK, (RD,), (WR,), t.t_rtw),
        Constraint(RANK, (WR,), (RD,), written + t.t_wtr_s),
        Constraint(RANK, (ACT,), (PREA,), t.t_ras),
        Constraint(RANK, (RD,), (PREA,), t.t_rtp),
        Constraint(RANK, (WR,), (PREA,), written + t.t_wr),
        Constraint(RANK, (ACT,), (REF,), t.t_rc),
        Constraint(RANK, (PRE,), (REF,), t.t_rp),
        Constraint(RANK, (PREA,), (ACT, REF), t.t_rp_all),
        Constraint(RANK, (REF,), (ACT, REF), t.t_rfc),
        Constraint(RANK, (REFB,), (REFB,), t.t_rfc_bank),
        Constraint(OTHER_RANKS, (RD,), (RD,), t.burst + t.t_rtrs),
        Constraint(OTHER_RANKS, (WR,), (WR,), t.burst + t.t_rtrs),
        Constraint(OTHER_RANKS, (RD,), (WR,), t.cl + t.burst + t.t_rtrs - t.cwl),
        Constraint(OTHER_RANKS, (WR,), (RD,), written + t.t_rtrs - t.cl),
        Constraint(CHANNEL, (ACT,), row_bus, t.activate_clocks),
        Constraint(CHANNEL, (PRE, PREA), row_bus, t.precharge_clocks),
        Constraint(CHANNEL, (REF, REFB), row_bus, t.refresh_clocks),
        Constraint(CHANNEL, (RD, WR), column_bus, t.column_clocks),
    ]
    return tuple(row for row in rows if row.cycles > 0 and (ranks > 1 or row.scope != OTHER_RANKS))


def device(t: Clocks, tree: BankTree, refresh: int = REF) -> CompiledDram:
    """The rows compiled for a channel of these banks, whose `refresh` is REF, REFB or NO_REFRESH."""
    used = {REF: {REF, PREA}, REFB: {REFB}, NO_REFRESH: set()}[refresh] | {ACT, PRE, RD, WR}
    rows: list[tuple[int, int, int, int]] = []
    first = [0]
    table = constraints(t, tree.ranks)
    for command in range(COMMANDS):
        for row in table:
            if command in row.command:
                assert row.window == 1 or (row.scope, row.command) == (RANK, (ACT,))  # all that is kept
                rows += [(each, row.scope, row.cycles, row.window) for each in row.following if each in used]
        first.append(len(rows))
    number = np.arange(tree.banks)
    group, rank = number // tree.banks_per_group, number // tree.per_rank
    above = tree.banks + tree.ranks * tree.groups
    units = tree.banks if refresh == REFB else tree.ranks
    return CompiledDram(
        first=np.array(first, np.int64),
        rows=np.array(rows, np.int64),
        node=np.stack([number, tree.banks + group, above + rank, 0 * rank + above + tree.ranks], axis=1),
        ranks=tree.ranks,
        refresh=refresh,
        refresh_every=t.t_refi // units,
        refresh_banks=tree.banks // units,
        cl=t.cl,
        cwl=t.cwl,
        burst=t.burst,
    )
