"""All that decides what a memory's channels do next: rows, timers and queues, and the transfers in flight.

Times are cycles of the command clock, relative to whatever cycle `rebased` was called for last.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from einsim.sim.dram.constraints import COMMANDS, MOST_WINDOW, RD
from einsim.sim.dram.standard import BankTree
from einsim.specs.arrays import Ints
from einsim.specs.compiled import njit

NEVER: Final = 1 << 60
LOG_WIDTH: Final = 5  # cycle, command, bank, row, position of the burst
BANK, ROW, ENTERED, SLOT, POSITION = range(5)  # of a queue entry; BANK is 2 * bank + (1 for a write)
NOW, WAITING, UNIT, DIRECTION, FREED, DUE, TURN = range(7)  # of `Channels.at`
CLOSED: Final = COMMANDS  # of `Channels.counts`: cycles in which a rank had no open row, summed over ranks


class Ways(NamedTuple):
    """How channels are served.

    engines: transfers that take turns; age_cap: cycles until the oldest burst goes first; row_hit_cap:
    column commands after which a row gives way to another one that the oldest burst of its bank waits for.
    """

    engines: int
    age_cap: int
    row_hit_cap: int = NEVER


class Channels(NamedTuple):
    """C channels of B banks in R ranks with a queue of D entries; int64 views of one buffer.

    ready [C, 7, nodes]: the first legal cycle of each command in each bank, group, rank and the channel
    (`CompiledDram.node`). acts [C, R, 4]: the latest ACTs, the last one first, for constraints with a window.
    open_row [C, B]: -1 closed. hits [C, B]: queued bursts of the open row. streak [C, B]: its column
    commands, counted where a row-hit cap stands. opened [C, R]: open rows. closed_since [C, R]: up to where
    `CLOSED` is counted. queue [C, D, 5]: entries, in the order of `place` [C, D]. at [C, 7]: cycle, entries
    waiting, whose refresh is next, direction, cycle in which an entry was freed last, cycle of the next
    refresh, whose turn it is. counts [C, 8]: commands issued, and `CLOSED`.
    """

    ready: Ints
    acts: Ints
    open_row: Ints
    hits: Ints
    streak: Ints
    opened: Ints
    closed_since: Ints
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


def new_channels(channels: int, tree: BankTree, depth: int, due: int) -> Channels:
    """Channels at rest, all banks closed; `due` is the cycle of the first refresh, NEVER for none."""
    nodes = tree.banks + tree.ranks * (tree.groups + 1) + 1
    shapes = {
        "ready": (COMMANDS, nodes), "acts": (tree.ranks, MOST_WINDOW), "opened": (tree.ranks,),
        "closed_since": (tree.ranks,), "queue": (depth, 5), "place": (depth,), "at": (7,),
        "counts": (COMMANDS + 1,),
    }  # fmt: skip
    shapes |= dict.fromkeys(("open_row", "hits", "streak"), (tree.banks,))
    whole = [(channels, *shapes[name]) for name in Channels._fields]
    sizes = [int(np.prod(shape)) for shape in whole]
    parts = np.split(np.zeros(sum(sizes), np.int64), np.cumsum(sizes)[:-1])
    made = Channels(*(part.reshape(shape) for part, shape in zip(parts, whole, strict=True)))
    made.open_row[:] = -1
    made.acts[:] = -NEVER
    made.place[:] = np.arange(depth)
    made.at[:, DIRECTION] = RD
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
def rebase(channels: Channels, transfers: Transfers, cycle: int, window_cycles: int) -> None:
    """Counts time from `cycle` on, up to which all channels have run; equal futures get equal numbers.

    What lies so far back that it decides nothing any more is forgotten, of a window after `window_cycles`;
    queue entries stand in order.
    """
    kept = np.empty_like(channels.queue[0])
    for c in range(channels.at.shape[0]):
        at = channels.at[c]
        channels.ready[c] = np.maximum(channels.ready[c] - cycle, 0)
        channels.acts[c] = np.maximum(channels.acts[c] - cycle, -window_cycles)
        channels.closed_since[c] = np.maximum(channels.closed_since[c] - cycle, 0)
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
