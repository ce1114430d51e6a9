"""What an operation does, whatever clocks and rates are: the same for all machines that differ in those only.

A `Volume` counts the cycles of a unit and the bytes that pass a port. Each names the rate that makes ticks of
it: a unit's or a port's name, or `MACHINE` for cycles of the machine's clock. `TileVolumes` are those of all
tiles of one operation, added up once, and `Costs` price them for one machine.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.program import READ, WRITE, Action, Cost, MemoryAccess, Op, Stream

Key = tuple[int, ...]
Rates = Mapping[str, int]

MACHINE = ""
"""Rate of what takes cycles of the machine's clock."""


class PortWork(NamedTuple):
    """So much that a port serves, at a rate."""

    port: str
    rate: str
    amount: int


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """One instance of an operation: what `Cost` has, before it is priced. `own` is (rate, amount) on the
    operation's own engine, `active` the same of its PEs. `overlap`: how far its streams hinder it (`held`).
    """

    own: tuple[tuple[str, int], ...] = ()
    streams: tuple[PortWork, ...] = ()
    accesses: tuple[MemoryAccess, ...] = ()
    actions: dict[Action, int] = {}
    setup_cycles: int = 0
    points: int = 0
    active: tuple[str, int] = (MACHINE, 0)
    overlap: float = 0.0
    rounded: bool = False  # up, where its tile has too many points to visit

    def priced(self, rates: Rates) -> Cost:
        """What it costs where a cycle and a byte take so many ticks."""
        streams: dict[str, int] = {}
        for work in self.streams:
            streams[work.port] = streams.get(work.port, 0) + work.amount * rates[work.rate]
        own = sum(amount * rates[rate] for rate, amount in self.own)
        return Cost(
            ticks=held(own, streams.values(), self.overlap),
            streams=tuple(Stream(port=port, ticks=ticks) for port, ticks in streams.items()),
            accesses=self.accesses,
            actions=self.actions,
            setup_ticks=self.setup_cycles * rates[MACHINE] if self.setup_cycles else 0,
            points=self.points,
            active_pe_ticks=self.active[1] * rates[self.active[0]] if self.active[1] else 0,
        )


def held(own: int, streams: Iterable[int], overlap: float) -> int:
    """Ticks that a tile holds its engine for its own work and what its operands hinder it: a norm of both and
    of the order `overlap` (1: one after the other). Of no order, 0, they overlap wholly.
    """
    moved = [ticks for ticks in streams if ticks]
    if not overlap or not moved or not own:
        return own
    most = max(own, *moved)
    share = math.fsum((ticks / most) ** overlap for ticks in (own, *moved)) ** (1 / overlap)
    return max(own, round(float(most * share)))


class Kind(NamedTuple):
    """The work of one instance, on the operation's own engine and on others: many tiles are of one kind."""

    own: tuple[tuple[str, int], ...]
    streams: tuple[PortWork, ...]
    overlap: float = 0.0

    def ticks(self, engine: str, rates: Rates) -> dict[str, int]:
        """Ticks on the operation's own engine and on the ports that it streams through."""
        streams: dict[str, int] = {}
        for port, rate, amount in self.streams:
            streams[port] = streams.get(port, 0) + amount * rates[rate]
        own = sum(amount * rates[rate] for rate, amount in self.own)
        mine = held(own, streams.values(), self.overlap)
        return {**streams, engine: mine + streams.get(engine, 0)}


class Tally:
    """Volumes of an operation's tiles, each as often as it occurs, added up."""

    def __init__(self, volumes: Mapping[Key, Volume], counts: Mapping[Key, int]) -> None:
        own: Counter[str] = Counter()
        streams: Counter[tuple[str, str]] = Counter()
        active: Counter[str] = Counter()
        self.actions: Counter[Action] = Counter()
        self.traffic: Counter[tuple[str, str]] = Counter()
        """Bytes by memory and tensor."""
        self._sizes: Counter[tuple[str, str, str, int]] = Counter()
        self._whole: dict[tuple[str, str, str], int] | None = None
        self.points = self.runs = 0
        for key, times in counts.items():
            volume = volumes[key]
            self.runs += times
            self.points += volume.points * times
            active[volume.active[0]] += volume.active[1] * times
            for rate, amount in volume.own:
                own[rate] += amount * times
            for port, rate, amount in volume.streams:
                streams[port, rate] += amount * times
            for action, number in volume.actions.items():
                self.actions[action] += number * times
            for access in volume.accesses:
                at = access.memory, access.tensor
                self.traffic[at] += (access.read_bytes + access.write_bytes) * times
                self._sizes[*at, READ, access.read_bytes] += times
                self._sizes[*at, WRITE, access.write_bytes] += times
        self.own, self.streams, self.active = tuple(own.items()), tuple(streams.items()), active.items()
        kinds: Counter[Kind] = Counter()
        for key, times in counts.items():
            kinds[Kind(volumes[key].own, volumes[key].streams, volumes[key].overlap)] += times
        self.kinds = tuple(kinds.items())

    def engine_ticks(self, engine: str, rates: Rates) -> dict[str, int]:
        """Ticks of all tiles on an operation's own engine and on the ports that it streams through."""
        total: dict[str, int] = {}
        if engine:
            total[engine] = self.own_ticks(rates)
        for (port, rate), amount in self.streams:
            total[port] = total.get(port, 0) + amount * rates[rate]
        return total

    def whole(self, machine: Machine) -> dict[tuple[str, str, str], int]:
        """Whole accesses by memory, tensor, and read or write."""
        if self._whole is None:
            self._whole = {}
            for (name, tensor, what, size), times in self._sizes.items():
                number = machine.memory(name).accesses(size) * times
                self._whole[name, tensor, what] = self._whole.get((name, tensor, what), 0) + number
        return self._whole

    def own_ticks(self, rates: Rates) -> int:
        """Ticks of all tiles on the operation's own engine."""
        if any(kind.overlap for kind, _ in self.kinds):
            return sum(kind.ticks("", rates)[""] * times for kind, times in self.kinds)
        return sum(amount * rates[rate] for rate, amount in self.own)

    def active_ticks(self, rates: Rates) -> int:
        """PEs at work times ticks."""
        return sum(amount * rates[rate] for rate, amount in self.active if amount)


class TileVolumes:
    """Volumes of an operation's kinds of tile, and how often each occurs."""

    def __init__(self, volumes: Mapping[Key, Volume], counts: dict[Key, int]) -> None:
        self.volumes, self.counts = volumes, counts

    @cached_property
    def tally(self) -> Tally:
        """All tiles together."""
        return Tally(self.volumes, self.counts)


class Costs(Mapping[Key, Cost]):
    """Costs of an operation's tiles on a machine, each made when it is looked up."""

    def __init__(self, tiles: TileVolumes, rates: Rates) -> None:
        self.tiles, self.rates = tiles, rates
        self._made: dict[Key, Cost] = {}

    def __getitem__(self, key: Key) -> Cost:
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self.tiles.volumes[key].priced(self.rates)
        return found

    def __iter__(self) -> Iterator[Key]:
        return iter(self.tiles.volumes)

    def __len__(self) -> int:
        return len(self.tiles.volumes)


def costs_of(op: Op) -> Costs:
    """The costs of an operation of a lowered program."""
    assert isinstance(op.costs, Costs)
    return op.costs


def op_at(op: Op, rates: Rates) -> Op:
    """An unpriced operation on a machine of these rates."""
    return msgspec.structs.replace(
        op, costs=Costs(costs_of(op).tiles, rates), latency_ticks=latency_at(op, rates)
    )


def latency_at(op: Op, rates: Rates) -> int:
    """Ticks of an unpriced operation's latency: cycles of its unit, of a transfer those of the machine."""
    return op.latency_ticks and op.latency_ticks * rates[op.engine if op.kind == "compute" else MACHINE]


def finer(op: Op, factor: int) -> Op:
    """A priced operation in ticks of which so many make one of its own."""
    costs = costs_of(op)
    costs = Costs(costs.tiles, {name: ticks * factor for name, ticks in costs.rates.items()})
    return msgspec.structs.replace(op, costs=costs, latency_ticks=op.latency_ticks * factor)


def tally_of(op: Op, counts: Mapping[Key, int]) -> tuple[Tally, Rates]:
    """An operation's tiles added up, and the rates that price them."""
    tiles, rates = costs_of(op).tiles, costs_of(op).rates
    return (tiles.tally if counts is tiles.counts else Tally(tiles.volumes, counts)), rates
