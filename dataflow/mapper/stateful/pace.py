"""How fast tiles of a stateful group can follow each other: the interval that its chains and buffers allow.

Einsums of a tile wait for each other; a state's next step waits for the one before; and with `flight` buffers
for a value, a tile's writer waits until the readers of the tile `flight` tiles before are done. The interval
is the largest mean time of a closed chain of such waits, as in modulo scheduling (Rau, MICRO 1994).
"""

from __future__ import annotations

import msgspec

from einsim.dataflow.mapper.stateful.group import Group
from einsim.dataflow.schedule import Delay, least_interval
from einsim.workloads.cascade import Einsum


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """An Einsum's tile: `ticks` on `unit`, its result visible `latency` ticks after."""

    einsum: Einsum
    unit: str
    ticks: int
    latency: int


def pace(group: Group, stages: list[Stage], inner: int, flight: int, least: int) -> int:
    """Ticks from a tile to the next one: at least `least`, and what chains and buffers make it."""
    return least_interval(len(stages), _delays(group, stages, inner, flight), least)


def _delays(group: Group, stages: list[Stage], inner: int, flight: int) -> list[Delay]:
    at = {stage.einsum.name: number for number, stage in enumerate(stages)}
    found = []
    for number, stage in enumerate(stages):
        for access in stage.einsum.reads:
            if access.tensor not in at:
                continue
            maker = stages[at[access.tensor]]
            distance = inner if _is_old(access.tensor, stage.einsum, maker.einsum) else 0
            found.append((at[access.tensor], number, maker.ticks + maker.latency, distance))
            if access.tensor not in group.state:
                found.append((number, at[access.tensor], stage.ticks, flight))
    return found


def _is_old(tensor: str, reader: Einsum, maker: Einsum) -> bool:
    """Whether the Einsum reads only what the step before left."""
    reads = [access for access in reader.reads if access.tensor == tensor]
    return all(
        any(
            read.terms == made.terms and read.offset < made.offset
            for read, made in zip(access.indices, maker.output.indices, strict=True)
        )
        for access in reads
    )


def drain(body: list[Stage], tail: list[Stage], interval: int) -> int:
    """Ticks from the start of the last tile to its last result, less the interval that it has anyway."""
    ends: dict[str, int] = {}
    for stage in (*body, *tail):
        start = max((ends.get(access.tensor, 0) for access in stage.einsum.reads), default=0)
        ends[stage.einsum.name] = start + stage.ticks + stage.latency
    return max(0, max(ends.values()) - interval)
