"""All that decides what a memory's channels do next: rows, timers and queues, and the transfers in flight.

Times are cycles of the command clock, relative to whatever cycle `rebased` was called for last.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from einsim.specs.compiled import njit

Ints = npt.NDArray[np.int64]

NEVER: Final = 1 << 60
LOG_WIDTH: Final = 5  # cycle, command, bank, row, position of the burst
BANK, ROW, ENTERED, SLOT, POSITION = range(5)  # of a queue entry; BANK is 2 * bank + (1 for a write)
NOW, WAITING, ACTS, DIRECTION, FREED, DUE, TURN = range(7)  # of `Channels.at`
RD_FIRST: Final = 2  # the direction before the first column command: a read's


class Ways(NamedTuple):
    """How channels are served.

    banks_per_group; engines: transfers that take turns; age_cap: cycles until the oldest burst goes first.
    """

    banks_per_group: int
    engines: int
    age_cap: int


class Channels(NamedTuple):
    """C channels of B banks in G groups with a queue of D entries; int64 views of one buffer.

    ok [C, 4, B], group_ok [C, 4, G], all_ok [C, 4]: the first legal cycle of ACT, PRE, RD, WR.
    open_row [C, B]: -1 closed. hits [C, B]: queued bursts of the open row. acts [C, 4]: ring of ACTs.
    bus [C, 2]: first free cycle of the row and the column command bus. queue [C, D, 5]: entries, in the
    order of `place` [C, D]. at [C, 7]: cycle, entries waiting, next in the ring, direction, cycle in which an
    entry was freed last, cycle of the next REF, whose turn it is. counts [C, 6]: commands issued.
    """

    open_row: Ints
    hits: Ints
    ok: Ints
    group_ok: Ints
    all_ok: Ints
    acts: Ints
    bus: Ints
    queue: Ints
    place: Ints
    at: Ints
    counts: Ints


class Transfers(NamedTuple):
    """S transfers in flight, each a list of bursts sorted by channel.

    bank [S, n]: 2 * bank + (1 for a write); row [S, n]; arrival [S, n], or [S, 1] for all of a transfer.
    next, stop [S, C]: the bursts of a channel that are still to be admitted. left [S, C]: not yet served;
    done [S, C]: the end of the latest data. order [S]: oldest first, `flying` [1] of them.
    issue, outcome [S, n]: kept with a command log, else [S, 1].
    """

    bank: Ints
    row: Ints
    arrival: Ints
    next: Ints
    stop: Ints
    left: Ints
    done: Ints
    order: Ints
    flying: Ints
    issue: Ints
    outcome: Ints


def new_channels(channels: int, groups: int, banks_per_group: int, depth: int, due: int) -> Channels:
    """Channels at rest, all banks closed; `due` is the cycle of the first REF, NEVER for none."""
    banks = groups * banks_per_group
    shapes = [
        (banks,), (banks,), (4, banks), (4, groups), (4,), (4,), (2,), (depth, 5), (depth,), (7,), (6,),
    ]  # fmt: skip
    sizes = [channels * int(np.prod(shape)) for shape in shapes]
    whole = np.zeros(sum(sizes), np.int64)
    parts = np.split(whole, np.cumsum(sizes)[:-1])
    made = Channels(*(part.reshape(channels, *shape) for part, shape in zip(parts, shapes, strict=True)))
    made.open_row[:] = -1
    made.acts[:] = -NEVER
    made.place[:] = np.arange(depth)
    made.at[:, DIRECTION] = RD_FIRST
    made.at[:, FREED] = -1
    made.at[:, DUE] = due
    return made


def new_transfers(slots: int, channels: int, bursts: int, *, keep: bool) -> Transfers:
    """Room for transfers of up to `bursts` bursts; `keep` also for what happened to each of them."""
    each = bursts if keep else 1
    sizes = {"bank": (slots, bursts), "row": (slots, bursts), "order": (slots,), "flying": (1,)}
    sizes |= dict.fromkeys(("arrival", "issue", "outcome"), (slots, each))
    sizes |= dict.fromkeys(("next", "stop", "left", "done"), (slots, channels))
    return Transfers(**{name: np.zeros(sizes[name], np.int64) for name in Transfers._fields})


@njit()
def rebase(channels: Channels, transfers: Transfers, cycle: int, t_faw: int) -> None:
    """Counts time from `cycle` on, up to which all channels have run; equal futures get equal numbers.

    What lies so far back that it decides nothing any more is forgotten; queue entries stand in order.
    """
    ring, kept = np.empty(4, np.int64), np.empty_like(channels.queue[0])
    for c in range(channels.at.shape[0]):
        at = channels.at[c]
        channels.ok[c] = np.maximum(channels.ok[c] - cycle, 0)
        channels.group_ok[c] = np.maximum(channels.group_ok[c] - cycle, 0)
        channels.all_ok[c] = np.maximum(channels.all_ok[c] - cycle, 0)
        channels.bus[c] = np.maximum(channels.bus[c] - cycle, 0)
        for i in range(4):
            ring[i] = max(channels.acts[c, (at[ACTS] + i) % 4] - cycle, -t_faw)
        channels.acts[c] = ring
        at[ACTS] = 0
        at[NOW] = max(at[NOW] - cycle, 0)
        at[FREED] = max(at[FREED] - cycle, -1)
        if at[DUE] < NEVER:
            at[DUE] -= cycle
        queue, place = channels.queue[c], channels.place[c]
        for i in range(at[WAITING]):
            kept[i] = queue[place[i]]
            kept[i, ENTERED] -= cycle
        kept[at[WAITING] :] = 0
        queue[:] = kept
        for i in range(place.shape[0]):
            place[i] = i
    for slot in range(transfers.done.shape[0]):
        for c in range(transfers.done.shape[1]):
            transfers.done[slot, c] = max(transfers.done[slot, c] - cycle, 0)
        transfers.arrival[slot, 0] = max(transfers.arrival[slot, 0] - cycle, 0)
