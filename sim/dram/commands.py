"""A command goes: what it does to the rows, and to the timers of all that may follow."""

from __future__ import annotations

from typing import Final

from einsim.sim.dram.channels import BANK, CLOSED, ROW, WAITING, Channels, Ways
from einsim.sim.dram.constraints import (
    ACT,
    CHANNEL,
    CYCLES,
    FOLLOWING,
    GROUP,
    OTHER_RANKS,
    RANK,
    SCOPE,
    WINDOW,
    CompiledDram,
)  # fmt: skip
from einsim.specs.arrays import Ints
from einsim.specs.compiled import njit

GIVES_WAY: Final = 1 << 62  # added to an open row that takes no more hits


@njit(allocates=False)
def first_legal(kind: int, bank: int, ready: Ints, device: CompiledDram) -> int:
    """The first cycle in which no constraint keeps the command back."""
    node = device.node[bank]
    above = max(ready[kind, node[GROUP]], ready[kind, node[RANK]], ready[kind, node[CHANNEL]])
    return int(max(ready[kind, bank], above))


@njit(allocates=False)
def issue(c: int, kind: int, bank: int, now: int, channels: Channels, device: CompiledDram) -> None:
    """The command goes: each of its constraints keeps what follows back."""
    ready, node, rows = channels.ready[c], device.node[bank], device.rows
    own = node[RANK] - device.node[0, RANK]
    channels.counts[c, kind] += 1
    if kind == ACT:
        acts = channels.acts[c, own]
        for i in range(acts.shape[0] - 1, 0, -1):
            acts[i] = acts[i - 1]
        acts[0] = now
    for i in range(device.first[kind], device.first[kind + 1]):
        following, scope, window = rows[i, FOLLOWING], rows[i, SCOPE], rows[i, WINDOW]
        first = rows[i, CYCLES] + (now if window == 1 else channels.acts[c, own, window - 1])
        if scope != OTHER_RANKS:
            ready[following, node[scope]] = max(ready[following, node[scope]], first)
            continue
        for rank in range(device.ranks):
            if rank != own:
                other = device.node[0, RANK] + rank
                ready[following, other] = max(ready[following, other], first)


@njit(allocates=False, inner=True)
def activate(c: int, b: int, row: int, now: int, channels: Channels, device: CompiledDram) -> None:
    """A row is open: bursts that wait for it will hit."""
    rank = device.node[b, RANK] - device.node[0, RANK]
    if channels.opened[c, rank] == 0:
        channels.counts[c, CLOSED] += now - channels.closed_since[c, rank]
    channels.opened[c, rank] += 1
    channels.open_row[c, b], channels.streak[c, b] = row, 0
    hits = 0
    for i in range(channels.at[c, WAITING]):
        other = channels.queue[c, channels.place[c, i]]
        hits += other[BANK] >> 1 == b and other[ROW] == row
    channels.hits[c, b] = hits


@njit(allocates=False, inner=True)
def precharge(c: int, b: int, now: int, channels: Channels, device: CompiledDram) -> None:
    """A row, if one is open, is closed."""
    if channels.open_row[c, b] < 0:
        return
    rank = device.node[b, RANK] - device.node[0, RANK]
    channels.open_row[c, b], channels.hits[c, b] = -1, 0
    channels.opened[c, rank] -= 1
    channels.closed_since[c, rank] = now


@njit(allocates=False, inner=True)
def give_way(c: int, b: int, channels: Channels, ways: Ways) -> None:
    """An open row that has had its share takes no more hits if the bank's oldest burst waits for another."""
    row = channels.open_row[c, b]
    if channels.streak[c, b] < ways.row_hit_cap or not 0 <= row < GIVES_WAY:
        return
    for i in range(channels.at[c, WAITING]):
        entry = channels.queue[c, channels.place[c, i]]
        if entry[BANK] >> 1 == b:
            if entry[ROW] != row:
                channels.open_row[c, b], channels.hits[c, b] = row + GIVES_WAY, 0
            return
