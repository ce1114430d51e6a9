"""A job: everything that one run puts into a design and everything that must come out, as plain data."""

from __future__ import annotations

from pathlib import Path

import msgspec

Operands = tuple[tuple[int, ...], tuple[int, ...]]


class Event(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One result: in which cycle, on which lane, what (two's complement), and in words where it was made.

    `cycle` counts from 0, the first in which the design runs, and leaves out frozen cycles; None where the
    cycle is not judged. `operands`: the values of A and of B that the result is made of, when known.
    """

    cycle: int | None
    lane: int
    value: int
    where: str = ""
    operands: Operands | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Words are hexadecimal, lane 0 lowest.

    gaps: for each stream, cycles that its source waits before each word. gaps_while_ready: these pass only
    while the design is ready. out_ready: 1 and 0 by cycle, repeated. active: working elements by cycle.
    cycles: how long the design must run, frozen cycles not counted; clocks: with them.
    """

    name: str
    config: dict[str, int]
    streams: dict[str, list[str]]
    events: list[Event]
    active: list[int]
    cycles: int
    clocks: int
    gaps: dict[str, list[int]] = {}
    gaps_while_ready: bool = False
    out_ready: tuple[int, ...] = (1,)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the design did with a job; `difference` tells the first difference, empty when there is none."""

    name: str
    cycles: int
    clocks: int
    events: int
    differences: int
    difference: str = ""

    @property
    def ok(self) -> bool:
        """Whether cycles and bits were those of the job."""
        return self.differences == 0


def write_jobs(path: Path, jobs: list[Job]) -> None:
    """Store jobs as JSON."""
    path.write_bytes(msgspec.json.encode(jobs))


def read_jobs(path: Path) -> list[Job]:
    """Jobs as `write_jobs` stored them."""
    return msgspec.json.decode(path.read_bytes(), type=list[Job])
