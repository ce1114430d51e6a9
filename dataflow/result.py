"""The result of evaluating a tile program: time, energy, traffic, utilisation and where the time went."""

from __future__ import annotations

from typing import Any

import msgspec


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """One instance of an operation on an engine, in cycles of the machine's clock."""

    engine: str
    name: str
    start_cycle: float
    end_cycle: float


class EinsumCost(msgspec.Struct, frozen=True, kw_only=True):
    """One Einsum's share: issue cycles on its unit, energy of its ops and registers, and points computed."""

    unit: str
    cycles: int
    energy_j: float
    points: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a workload costs on a machine. `level` is "analytical" or "sim".

    `stalls` belong to the bottleneck unit: its busy cycles and its stalls add up to `cycles`.
    `breakdown_by_unit` says of each unit what all its `cycles` went to: "busy", or a cause and what it is
    about, such as "bandwidth:dram" or "dependency:LM"; `einsim.sim.breakdown` puts it in words.
    `bound_by` gives the lower bounds in cycles by what sets them.
    """

    workload: str
    accel: str
    level: str
    mapping: str
    cycles: int
    latency_s: float
    energy_j: float
    dram_bytes: int
    utilization: dict[str, float]
    stalls: dict[str, int]
    stalls_by_unit: dict[str, dict[str, int]]
    energy_by: dict[str, float]
    traffic: dict[str, dict[str, int]]
    bottleneck: str
    bound_by: dict[str, int]
    by_einsum: dict[str, EinsumCost]
    buffers: dict[str, int] = {}
    breakdown_by_unit: dict[str, dict[str, int]] = {}
    timeline: tuple[Slice, ...] = ()
    notes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object of `einsim run --json`, as plain data."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data
