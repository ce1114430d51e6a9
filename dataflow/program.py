"""The tile program: a lowered mapping with symbolic loops, ready for the evaluators.

A program is a table of loops and a table of operations. Each operation (a load, a store or a compute) runs
once for each iteration of the loops on its path, in order; it starts when the operations it waits for have
reached the right iteration and its engine (a unit, or a memory's port) is free. A one-million-token
attention is a few dozen operations: nothing is unrolled.

Time is counted in ticks, `ticks_per_cycle` of them to a cycle of the machine's clock, chosen so that every
duration is a whole number of ticks: sums are exact and runs repeat bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Literal, NamedTuple

import msgspec

from einsim.dataflow.cut import Cut
from einsim.specs.errors import SpecError

MOST_EACH = 2**20
"""Iterations of a loop that bounds cut each otherwise, listed one by one."""


class ProgramLoop(msgspec.Struct, frozen=True, kw_only=True):
    """A loop over a rank in steps of `tile` inside `extent` points of it.

    Directly nested loops that take single points of several ranks are one loop here: `ranks` names them all.

    `parent` is the loop over the same rank that encloses this one (its tile is then `extent`), or None.
    """

    id: int
    ranks: tuple[str, ...]
    tile: int
    extent: int
    place: tuple[int, ...] = ()
    parent: int | None = None

    @property
    def rank(self) -> str:
        """The rank that it walks; of several, their names with stars between them, which no rank has."""
        return "*".join(self.ranks)

    @property
    def count(self) -> int:
        """Trip count when the loops above are at a full tile and no bound cuts it."""
        return -(-self.extent // self.tile)

    def each(self, first: int, stop: int) -> list[tuple[int, int]]:
        """Iterations that bounds cut each otherwise, as ranges of one. SpecError for more than MOST_EACH."""
        if stop - first > MOST_EACH:
            rule = f"bounds cut {stop - first:,} tiles each otherwise, at most {MOST_EACH:,} are counted"
            raise SpecError(f"mapping.for {self.rank}", rule, got=self.tile, hint="take larger tiles")
        return [(index, index + 1) for index in range(first, stop)]


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where one producer loop must stand: at the index of a consumer's loop, or at its first or last one."""

    kind: str  # "same", "first" or "last"
    loop: int = -1  # consumer's loop, for "same"


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """The waiting operation may start once `producer` has completed the instance described.

    `targets` has one entry for each loop on the producer's path. `lag` iterations are taken off the
    consumer's loop `lag_loop` first; with `borrow` an underflow goes on into the loops outside it (the
    buffer of the previous outer iteration), without it an underflow means that there is nothing to wait for
    (the initial value of an iterative rank). `cause` names the stall: dependency, bandwidth or capacity.
    Where a round of a sequence begins, `ends_round`, it is for the producer's last one in any earlier round.
    """

    producer: int
    targets: tuple[Target, ...]
    cause: str
    lag: int = 0
    lag_loop: int = -1
    borrow: bool = True

    @property
    def ends_round(self) -> bool:
        """Whether a sequence asks for it, which ends an iteration before it begins the next."""
        return bool(self.lag) and self.borrow and self.cause == "dependency"


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that a port moves while the operation runs; the operation ends when both have ended."""

    port: str
    ticks: int


class MemoryAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of one tensor read from or written to one memory by one instance of an operation.

    `run_bytes` of them lie side by side and the next run starts `pitch_bytes` after this one, with the tensor
    stored in the order of its dimensions; both are 0 where all of them do. `steps` are the bits that the tile
    moves on in its tensor for each point of a rank; they are there where DRAM is timed.
    """

    memory: str
    tensor: str
    read_bytes: int = 0
    write_bytes: int = 0
    run_bytes: int = 0
    pitch_bytes: int = 0
    steps: tuple[tuple[str, int], ...] = ()


READ, WRITE = "read", "write"


class Action(NamedTuple):
    """What energy is spent on: an op issued on a lane of a unit, an access of its registers or of a memory.

    `what` is an op as `Unit.cost` takes it, such as "mac" or "mac@16"; else READ or WRITE.
    """

    holder: str  # the unit or memory
    kind: Literal["op", "register", "access"]
    what: str

    @property
    def component(self) -> str:
        """The component of the energy that it counts for."""
        if self.kind == "access":
            return self.holder
        return f"{self.holder} {'registers' if self.kind == 'register' else self.what.partition('@')[0]}"

    @property
    def label(self) -> str:
        """What a reader knows it by: `gb read`, `grid mac`, `grid register write`."""
        return f"{self.holder} {'register ' if self.kind == 'register' else ''}{self.what}"


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one instance of an operation costs for one set of tile extents."""

    ticks: int
    streams: tuple[Stream, ...] = ()
    accesses: tuple[MemoryAccess, ...] = ()
    actions: dict[Action, int] = {}  # ops and register accesses: how often
    setup_ticks: int = 0  # of its DMA engine, before it asks for its port
    points: int = 0
    active_pe_ticks: int = 0  # PEs at work times ticks


class Op(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of the program. `costs` is keyed as `einsim.dataflow.iteration.Path.key` does: by tile
    extents of `key_ranks`, whether it goes on with partial sums, whether it leaves some where those are
    `wide`, and how bounds cut it.
    """

    id: int
    name: str
    kind: str  # "load", "store" or "compute"
    engine: str
    subject: str  # the Einsum computed or the tensor moved
    path: tuple[int, ...]
    when: dict[int, str]  # loop id -> "first" or "last": the only iteration that runs
    place: tuple[int, ...]  # child positions from the root of the tree; loops stand at their own place
    waits: tuple[Wait, ...]
    latency_ticks: int
    key_ranks: tuple[str, ...]
    costs: Mapping[tuple[int, ...], Cost]
    dma: str = ""  # engines of which it takes one, from its descriptor to its last byte
    window: str = ""  # of whose room it takes one, from its first byte until its result is visible
    resumed: tuple[int, ...] = ()  # loops over reduced ranks: later iterations go on with partial sums
    wide: bool = False  # partial sums are wider than results
    cut: Cut | None = None  # what bounds leave of its tiles


class ScheduleNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node of the program's shape, for bounds: `kind` is loop, sequence, pipeline or op."""

    kind: str
    loop: int = -1
    op: int = -1
    children: tuple[ScheduleNode, ...] = ()


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """A unit or a memory port: `kind` is "unit" or "port"; `pes` counts a unit's processing elements."""

    name: str
    kind: str
    pes: int = 1


class Program(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A tile program of `workload` on `accel`. `mapping` is the text form it was lowered from."""

    workload: str
    accel: str
    mapping: str
    clock_hz: float
    ticks_per_cycle: int
    sizes: dict[str, int]
    loops: tuple[ProgramLoop, ...]
    ops: tuple[Op, ...]
    engines: tuple[Engine, ...]
    shape: ScheduleNode
    buffers: dict[str, int]  # memory -> bytes held at most
    dma: dict[str, int] = {}  # DMA engines by the name that operations give
    windows: dict[str, int] = {}  # transfers that may be under way by the name that operations give
    notes: tuple[str, ...] = ()
    outermost: str = ""  # the memory that holds what no keep does
    dispatched: int = 1  # children of its outermost sequence, or the whole
    grouped: tuple[tuple[int, int], ...] = ()  # (heads that share keys, queries of all) of attention
    macs: int | None = None  # multiply-accumulates that the workload asks for, None: not known

    @cached_property
    def chains(self) -> dict[tuple[int, ...], int]:
        """Lengths of its dependent chain that are known, by the units' ticks."""
        return {}
