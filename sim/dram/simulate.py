"""`simulate`: a stream of requests through a DRAM standard; finish times, rows, commands and energy."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from einsim.sim.dram.address import places
from einsim.sim.dram.channels import LOG_WIDTH
from einsim.sim.dram.constraints import ACT, RD, REF, REFB, WR
from einsim.sim.dram.controller import BurstStream, Controller, run_channel
from einsim.sim.dram.scheduler import CONFLICT, HIT, MISS
from einsim.sim.dram.standard import Standard
from einsim.specs.arrays import Ints
from einsim.specs.errors import RuleError


class Requests(NamedTuple):
    """One burst each: byte address, whether it writes, and the clock cycle of its arrival."""

    addr: npt.ArrayLike
    is_write: npt.ArrayLike
    arrival: npt.ArrayLike


class Commands(msgspec.Struct, frozen=True, kw_only=True):
    """The command log, int64 arrays of one length, channel by channel and in order of issue in each.

    kind: 0 ACT, 1 PRE, 2 RD, 3 WR, 4 REF, 5 PREA, 6 REFB. row and request are -1 where there is none, bank is
    -1 - rank where it is all of a rank.
    """

    channel: Ints
    cycle: Ints
    kind: Ints
    bank: Ints
    row: Ints
    request: Ints

    def count(self, kind: int) -> int:
        """Commands of one kind."""
        return int((self.kind == kind).sum())


class DramResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream of n requests cost; all times in cycles of the command clock.

    finish int64 [n]: one past the last cycle of the request's data. outcome int64 [n]: 0 row hit, 1 row
    miss (ACT), 2 row conflict (PRE and ACT). energy_j by activate, read, write, refresh, background.
    """

    finish: Ints
    outcome: Ints
    commands: Commands
    energy_j: dict[str, float]
    bytes_moved: int
    clock_hz: float
    peak_bytes_per_s: float

    @property
    def cycles(self) -> int:
        """One past the last data cycle of the whole stream; 0 without requests."""
        return int(self.finish.max()) if self.finish.size else 0

    @property
    def seconds(self) -> float:
        """`cycles` at the standard's clock."""
        return self.cycles / self.clock_hz

    @property
    def efficiency(self) -> float:
        """Bytes moved over what the data buses could have moved until the end, 0..1."""
        return self.bytes_moved / (self.peak_bytes_per_s * self.seconds) if self.cycles else 0.0

    @property
    def rows(self) -> dict[str, int]:
        """Requests that found their row open ("hit"), the bank closed ("miss"), another row ("conflict")."""
        kinds = {"hit": HIT, "miss": MISS, "conflict": CONFLICT}
        return {name: int((self.outcome == kind).sum()) for name, kind in kinds.items()}


def simulate(standard: Standard, requests: Requests, controller: Controller | None = None) -> DramResult:
    """Serves the requests; same input, same output. Requests of one arrival keep their order.

    Raises RuleError for arrays of different lengths, negative arrivals, or addresses outside the memory.
    """
    how = controller or Controller()
    addr, write = np.asarray(requests.addr, np.int64), np.asarray(requests.is_write, np.int64)
    arrival = np.asarray(requests.arrival, np.int64)
    if addr.ndim != 1 or not addr.shape == write.shape == arrival.shape:
        raise RuleError(
            "addr, is_write and arrival must be arrays of one length",
            got=(addr.shape, write.shape, arrival.shape),
        )
    if arrival.size and int(arrival.min()) < 0:
        raise RuleError("must be >= 0", got=int(arrival.min()), at=("arrival",))
    where = places(standard, addr)
    clocks = standard.timing.clocks
    issue, outcome = np.zeros(len(addr), np.int64), np.zeros(len(addr), np.int64)
    order = np.argsort(arrival, kind="stable")
    tree, logs, rests = standard.organisation.tree, [], []
    for channel in range(standard.channels):
        mine = order[where.channel[order] == channel]
        if not mine.size:
            continue
        stream = BurstStream(
            where.bank[mine], where.row[mine], (write[mine] != 0).astype(np.int64), arrival[mine]
        )
        served = run_channel(stream, clocks, tree, how)
        issue[mine], outcome[mine], log = served.issue, served.outcome, served.log
        rests.append((served.closed, served.cycle, served.closed_ranks))
        owner = np.where(log[:, 4] >= 0, mine[log[:, 4]], -1)
        logs.append(np.column_stack([np.full(len(log), channel), log[:, :4], owner]))
    log = np.concatenate(logs) if logs else np.zeros((0, LOG_WIDTH + 1), np.int64)
    finish = issue + np.where(write != 0, clocks.cwl, clocks.cl) + clocks.burst
    commands = Commands(
        channel=log[:, 0], cycle=log[:, 1], kind=log[:, 2], bank=log[:, 3], row=log[:, 4], request=log[:, 5]
    )
    end = int(finish.max()) if finish.size else 0
    rests += [(0, 0, tree.ranks)] * (standard.channels - len(rests))  # nothing was asked of these
    closed = sum(before + ranks * max(0, end - cycle) for before, cycle, ranks in rests)
    closed = max(0, closed - commands.count(REF) * clocks.t_rfc)
    counts = {"activate": commands.count(ACT), "read": commands.count(RD), "write": commands.count(WR)}
    counts["refresh"] = commands.count(REF) + commands.count(REFB)
    clock_hz, refresh_pj = standard.clock_hz.value, standard.refresh_pj(per_bank=how.per_bank)
    return DramResult(
        finish=finish,
        outcome=outcome,
        commands=commands,
        energy_j=standard.energy_j(counts, refresh_pj, end / clock_hz, closed / clock_hz),
        bytes_moved=len(addr) * standard.burst_bytes,
        clock_hz=clock_hz,
        peak_bytes_per_s=standard.peak_bytes_per_s,
    )
