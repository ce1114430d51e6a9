"""A DRAM port in the event engine that follows a standard: banks, rows and queues outlive a transfer.

A transfer's bursts go to its channels' controllers (`sim.dram.scheduler`) at the addresses of its tile,
behind those of the transfers before it; it ends with its last data. Up to `SLOTS` transfers are in flight,
and the controllers' queues look past the end of one into the next, so that rows open while data still flows
and what shares a bank contends for it. `bandwidth` stays a limit: a transfer also passes a pipe of that rate.

Time is in cycles of the command clock, whole numbers of ticks. A request that finds the memory at rest starts
the clock anew; others come on its grid, up to one cycle late. Whenever one comes, all channels are run up to
that cycle, and from there on without further requests to see when the transfers in flight will end.

Refresh: "exact" sends every REF when it is due, "per-bank" every REFB. "average" slows the clock by
1 - tRFC / tREFI instead, so that equal work takes equal time and the run can jump.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from fractions import Fraction
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from einsim.accel.memory import Memory
from einsim.sim.actor import Actor
from einsim.sim.dram.bursts import ROW_BITS, TENSOR, lay, most_bursts, radix
from einsim.sim.dram.channels import (
    CLOSED,
    DUE,
    NEVER,
    ROW,
    SLOT,
    WAITING,
    Channels,
    Transfers,
    new_channels,
    new_transfers,
    rebase,
)  # fmt: skip
from einsim.sim.dram.commands import GIVES_WAY
from einsim.sim.dram.constraints import ACT, RD, REF, REFB, WR
from einsim.sim.dram.controller import Controller, run_all
from einsim.sim.dram.standard import BankTree, Standard
from einsim.sim.memory.addresses import Addresses
from einsim.sim.stateful import Base, Period
from einsim.specs.arrays import Ints

Key = tuple[int, ...]  # tile extents of an operation

SLOTS: Final = 8
FIRST_ROOM: Final = 4096  # bursts


class Flight(msgspec.Struct, kw_only=True):
    """A transfer between its request and its last data; times in ticks of the engine's clock."""

    what: tuple[Any, ...]  # operation, extents, first bytes in their row sets
    tensors: Ints
    rows: Ints  # where its pieces of these tensors begin
    piped: int  # when the pipe lets go of it
    ends: float = math.inf  # a number of ticks once it is known: these have no largest one
    over: bool = False  # it has ended, but the channels have not run up to its end yet


class PortMark(NamedTuple):
    """A port at the start of a period: the row of each tensor's latest transfer, and commands by kind."""

    latest: Ints
    counts: Ints


class DramPort:
    """State of one port. Times that come in and go out are ticks since the engine started."""

    def __init__(
        self, memory: Memory, standard: Standard, ticks_per_clock: int, where: Addresses, engines: int = 1
    ) -> None:
        self.name = memory.name
        self.standard = standard
        self.ticks_per_clock = ticks_per_clock
        self.where = where
        self.exact = memory.refresh != "average"
        tree = standard.organisation.tree
        how = Controller(
            refresh=self.exact, per_bank=memory.refresh == "per-bank", row_hit_cap=memory.row_hit_cap
        )
        self.clocks = standard.timing.clocks
        self.radix = radix(standard)
        self.ways = how.ways(engines)
        self.device = how.device(self.clocks, tree)
        due = self.device.refresh_every if self.exact else NEVER
        self.live = Buffers(standard.channels, tree, how.queue_depth, due)
        self.ahead = Buffers(standard.channels, tree, how.queue_depth, due)
        self.origin = 0  # cycle 0 of `live` and `ahead`
        self.seen = 0  # cycle up to which `ahead` has run, as if nothing more came
        self.pipe_end = 0
        self.flights: dict[int, Flight] = {}
        self.rest_since = 0  # end of the latest transfer
        self.latest = np.zeros(where.tensors + 1, np.int64)  # row of each tensor's latest transfer
        self.skipped_ticks = 0
        self.skipped = np.zeros_like(
            self.live.channels.counts[0]
        )  # commands in periods that were jumped over

    def submit(self, actor: Actor, key: Key, now: int, ideal: int) -> int:
        """A transfer begins, which takes the pipe `ideal` ticks; its slot. `upcoming` may change."""
        self._catch_up(now)
        transfers = self.live.transfers
        slot = next(slot for slot in range(SLOTS) if slot not in self.flights)
        pieces = self.where.pieces(actor.op.id, key, actor.position)
        self.live.make_room(most_bursts(pieces, self.radix.burst_bytes))
        transfers = self.live.transfers
        lay(slot, transfers, pieces, self.radix)  # `ahead` shares what it writes here
        transfers.arrival[slot, 0] = 0
        transfers.order[transfers.flying[0]] = slot
        transfers.flying[0] += 1
        rows, phases = self.where.rows(pieces)
        self.latest[pieces[:, TENSOR]] = rows
        self.pipe_end = max(self.pipe_end, now) + ideal
        self.flights[slot] = Flight(
            what=(actor.op.id, key, phases), tensors=pieces[:, TENSOR], rows=rows, piped=self.pipe_end
        )
        self.ahead.take(self.live)
        self.seen = 0
        for flight in self.flights.values():
            flight.ends = math.inf  # what was seen ahead no longer holds
        return slot

    def upcoming(self) -> int:
        """When the next transfer ends, if no other comes; -1 with none in flight."""
        left, done = self.ahead.transfers.left, self.ahead.transfers.done
        soonest: float = math.inf
        served = self.origin
        flying = [slot for slot in self._order() if not self.flights[slot].over]
        for slot in flying:
            if left[slot].any() and served < soonest:  # whatever is not served yet may end from here on
                self._run(self.ahead, NEVER, slot)
                self.seen = int(done[slot].max())
                self._run(self.ahead, self.seen, -1)
                served = self.origin + self.seen * self.ticks_per_clock
            for each in flying:
                if not left[each].any():
                    ends = self.origin + int(done[each].max()) * self.ticks_per_clock
                    self.flights[each].ends = max(ends, self.flights[each].piped)
                    soonest = min(soonest, self.flights[each].ends)
        return int(soonest) if flying else -1

    def ended(self, now: int) -> list[int]:
        """Slots of the transfers that end now, oldest first."""
        found = [
            slot for slot in self._order() if not self.flights[slot].over and self.flights[slot].ends <= now
        ]
        for slot in found:
            self.flights[slot].over = True
            self.rest_since = now
        return found

    def _order(self) -> list[int]:
        transfers = self.live.transfers
        return [int(slot) for slot in transfers.order[: transfers.flying[0]]]

    def _catch_up(self, now: int) -> None:
        """Run the channels up to `now`, which becomes their cycle 0, and forget what has ended."""
        live, late = self.live, now - self.origin
        rest = all(flight.over for flight in self.flights.values())
        cycle = late // self.ticks_per_clock if rest else max(0, -(-late // self.ticks_per_clock))
        if cycle >= self.seen:
            live.take(self.ahead)
        self._run(live, cycle, -1)
        self.origin = now if rest else self.origin + cycle * self.ticks_per_clock
        transfers = live.transfers
        kept = [slot for slot in self._order() if not self.flights[slot].over]
        self.flights = {slot: self.flights[slot] for slot in kept}
        transfers.order[:] = 0
        transfers.order[: len(kept)] = kept
        transfers.flying[0] = len(kept)
        rebase(live.channels, transfers, cycle, self.clocks.t_faw)
        if self.exact:  # REFs keep to the engine's clock, however often the grid starts anew
            nth = live.channels.counts[:, self.device.refresh] + 1
            live.channels.at[:, DUE] = nth * self.device.refresh_every - self.origin // self.ticks_per_clock

    def _run(self, buffers: Buffers, until: int, goal: int) -> None:
        run_all(buffers.channels, buffers.transfers, self.ways, self.device, until, goal)

    def state(self, base: Base) -> Hashable:
        """What decides all later transfers, relative in time and rows."""
        now = base.now
        order, transfers = self._order(), self.live.transfers
        rank = np.zeros(SLOTS, np.int64)
        rank[order] = np.arange(len(order))
        channels = Channels(*(part.copy() for part in self.live.channels))
        _relative(channels.open_row, self.latest)
        _relative(channels.queue[..., ROW], self.latest)
        used = np.arange(channels.place.shape[1]) < channels.at[:, WAITING, None]
        channels.queue[..., SLOT] = np.where(used, rank[channels.queue[..., SLOT]], 0)
        rest = 0
        if all(flight.over for flight in self.flights.values()):
            rest = now - self.rest_since
        longest = sum(msgspec.structs.astuple(self.clocks))  # no constraint looks back further
        forgotten = longest * self.ticks_per_clock
        return (
            tuple(part.tobytes() for part in channels[:-1]),
            tuple(
                part[order].tobytes()
                for part in (transfers.left, transfers.stop - transfers.next, transfers.done)
            ),
            tuple(self._flight(self.flights[slot], now) for slot in order),
            self.origin - now
            if self.exact or not rest
            else (self.origin - self.rest_since, min(rest, forgotten)),
            max(0, self.pipe_end - now),
        )

    def _flight(self, flight: Flight, now: int) -> tuple[Any, ...]:
        rows = tuple((flight.rows - self.latest[flight.tensors]).tolist())
        return (*flight.what, rows, flight.over, 0 if flight.over else flight.piped - now)

    def mark(self) -> PortMark:
        """Where each tensor has got to, and the commands so far; both grow alike in every period."""
        return PortMark(latest=self.latest.copy(), counts=self.live.channels.counts.sum(axis=0))

    def alike(self, mark: PortMark, period: Period) -> bool:
        """Whether tensors have moved on by whole rows, all tiles of one by as many, the others not at all."""
        moved = self.latest - mark.latest
        touched: set[int] = set()
        for number, at in period.movers.items():
            shift = self.where.shift(number, at, period.strides[number])
            if shift is None or any(moved[tensor] != rows for tensor, rows in shift.items()):
                return False
            touched |= shift.keys()
        return not moved[[tensor for tensor in range(len(moved)) if tensor not in touched]].any()

    def shift(self, mark: PortMark, period: Period, times: int) -> None:
        """Rows that are open or waited for move on with their tensors."""
        ahead = (self.latest - mark.latest) * times
        self.skipped_ticks += period.ticks * times
        self.skipped += (self.live.channels.counts.sum(axis=0) - mark.counts) * times
        self.latest += ahead
        for flight in self.flights.values():
            flight.rows = flight.rows + ahead[flight.tensors]
        for each in (self.live, self.ahead):
            _moved(each.channels.open_row, ahead)
            _moved(each.channels.queue[..., ROW], ahead)
        for slot in self._order():
            _moved(self.live.transfers.row[slot], ahead)

    def commands(self, seconds: float) -> dict[str, int]:
        """Commands of a run that took so long and has ended: activate, read, write, and refresh as due."""
        self._run(self.ahead, NEVER, -1)
        whole = self.ahead.channels.counts.sum(axis=0) + self.skipped
        clocks = seconds * self.standard.clock_hz.value
        refreshes = int(clocks / self.device.refresh_every) * self.standard.channels
        named = {"activate": ACT, "read": RD, "write": WR}
        return {**{name: int(whole[kind]) for name, kind in named.items()}, "refresh": refreshes}

    def energy_j(self, seconds: float) -> dict[str, float]:
        """Energy of such a run by command, and what the channels draw all the time."""
        refresh_pj = self.standard.refresh_pj(per_bank=self.device.refresh == REFB)
        return self.standard.energy_j(self.commands(seconds), refresh_pj, seconds, self._closed_s(seconds))

    def _closed_s(self, seconds: float) -> float:
        """Seconds without an open row, summed over ranks; 0 where the standard doesn't ask."""
        if self.standard.energy.precharge_standby_w is None:
            return 0.0
        clock_hz = self.standard.clock_hz.value * float(slowed(self.standard, exact=self.exact))
        self._run(self.ahead, NEVER, -1)
        self._run(
            self.ahead,
            int(seconds * clock_hz - (self.origin + self.skipped_ticks) / self.ticks_per_clock),
            -1,
        )
        counts = self.ahead.channels.counts.sum(axis=0) + self.skipped
        closed = counts[CLOSED] - counts[REF] * self.clocks.t_rfc
        return max(0, int(closed)) / self.standard.clock_hz.value

    def note(self, seconds: float) -> str:
        """What a reader of the result wants to know of the memory, in one line."""
        done = self.commands(seconds)
        bursts = done["read"] + done["write"]
        hits = f"{1 - min(done['activate'], bursts) / bursts:.1%} row hits" if bursts else "no bursts"
        table = self.standard.energy
        named = {"activate": table.activate_pj, "read": table.read_pj, "write": table.write_pj}
        each = "; ".join(f"{name} {figure.value:g} pJ [{figure.source}]" for name, figure in named.items())
        return (
            f"{self.name} by {self.standard.name}: {bursts:,} bursts, {hits}, "
            f"{done['activate']:,} activates, {done['refresh']:,} refreshes; {each}"
        )

    def assumed(self) -> tuple[str, ...]:
        """The standard's figures that no source at hand confirmed, by their paths in its file."""
        unused = {"timing.t_rfc_bank"} if self.device.refresh != REFB else set()
        return tuple(f"{self.standard.name}.{name}" for name in self.standard.assumed if name not in unused)


class Buffers:
    """Channels and transfers in flight that can be copied in one go."""

    def __init__(self, channels: int, tree: BankTree, depth: int, due: int) -> None:
        self.channels: Channels = new_channels(channels, tree, depth, due)
        self.transfers: Transfers = new_transfers(SLOTS, channels, FIRST_ROOM, keep=False)

    def take(self, other: Buffers) -> None:
        """Become equal to the other; the bursts themselves, which never change, are shared."""
        for mine, theirs in zip(self.channels, other.channels, strict=True):
            np.copyto(mine, theirs)
        for name in ("arrival", "next", "stop", "left", "done", "order", "flying"):
            np.copyto(getattr(self.transfers, name), getattr(other.transfers, name))
        self.transfers = self.transfers._replace(bank=other.transfers.bank, row=other.transfers.row)

    def make_room(self, bursts: int) -> None:
        """Room for transfers of so many bursts."""
        old = self.transfers
        have = old.bank.shape[1]
        if bursts > have:
            more = ((0, 0), (0, max(bursts, 2 * have) - have))
            self.transfers = old._replace(bank=np.pad(old.bank, more), row=np.pad(old.row, more))


def slowed(standard: Standard, *, exact: bool) -> Fraction:
    """Share of the clock that is left for transfers: all of it, or what refresh leaves on average."""
    clocks = standard.timing.clocks
    return Fraction(1) if exact else 1 - Fraction(clocks.t_rfc, clocks.t_refi)


def _relative(rows: Ints, latest: Ints) -> None:
    """Count rows from their tensor's latest transfer on; what is no row stays."""
    _moved(rows, -latest)


def _moved(rows: Ints, ahead: Ints) -> None:
    """Rows of tensors that have moved on."""
    real = rows >> ROW_BITS > 0
    rows[real] += ahead[(rows[real] & ~GIVES_WAY) >> ROW_BITS]
