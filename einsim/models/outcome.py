"""What a model costs: rows by phase and part, and their totals."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from typing import Any

import msgspec

from einsim.accel.gpu.machine import Gpu
from einsim.accel.machine import Machine
from einsim.dataflow.combined import combined
from einsim.dataflow.result import Result
from einsim.models.memory import Held, Moment
from einsim.workloads.models.model import ModelSize

DECODE = "decode"
"""The phase whose steps find caches as they are; others fill them."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of a part at one length: what a step of it costs, and how many `steps` it stands for, a share
    of one where requests of different lengths have it together.
    """

    length: int
    steps: Fraction
    result: Result


class PartCost(msgspec.Struct, frozen=True, kw_only=True):
    """A part in a phase: `count` equal pieces, judged at few lengths; `result` is of all of them.

    `held` is what a piece holds in DRAM at the last length, of all requests.
    """

    phase: str
    part: str
    count: int
    places: tuple[int, ...]
    judged: tuple[Judgement, ...]
    result: Result
    held: Held
    note: str = ""


class PhaseCost(msgspec.Struct, frozen=True, kw_only=True):
    """A phase: its `steps`, the `tokens` that they read or make, and how far from linear its lengths were."""

    phase: str
    steps: int
    tokens: int
    deviation: float
    result: Result
    unit: str = "tokens"
    notes: tuple[str, ...] = ()

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens read or made a second; None where it takes no time."""
        return self.tokens / self.result.latency_s if self.result.latency_s else None

    @property
    def joules_per_token(self) -> float | None:
        """None where some of the energy isn't stated."""
        return None if self.result.energy_j is None else self.result.energy_j / self.tokens


class ModelResult(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A whole model, or all of one of its parts (`part` says which), on a machine.

    `first_token_s` is the time until the last prompt is read, prompts one after the other; None without one.
    """

    name: str
    part: str
    machine: Machine | Gpu
    size: ModelSize
    rows: tuple[PartCost, ...]
    phases: tuple[PhaseCost, ...]
    first_token_s: float | None

    @cached_property
    def total(self) -> Result:
        """All phases one after the other."""
        return combined([(phase.result, 1) for phase in self.phases], workload=self.name,
                        mapping=self.mapping)  # fmt: skip

    @cached_property
    def moments(self) -> tuple[Moment, ...]:
        """DRAM over time, a moment a part and phase; equal layers, wherever they stand, are one."""
        found, now, kept = [], 0.0, 0.0
        for phase in self.phases:
            grows = phase.phase != DECODE
            kept = kept if grows else sum(row.count * row.held.kept_bytes for row in self._of(phase))
            for row in self._of(phase):
                now += row.result.latency_s
                kept += row.count * row.held.kept_bytes if grows else 0
                found.append(Moment(
                    phase=row.phase, part=row.part, until_s=now, weight_bytes=self.size.weight_bytes,
                    kept_bytes=kept, activation_bytes=row.held.activation_bytes,
                ))  # fmt: skip
        return tuple(found)

    def _of(self, phase: PhaseCost) -> list[PartCost]:
        return [row for row in self.rows if row.phase == phase.phase]

    @property
    def peak(self) -> Moment:
        """When DRAM is fullest."""
        return max(self.moments, key=lambda moment: moment.bytes)

    @property
    def capacity_bytes(self) -> int | None:
        """Of the machine's DRAM; None where it isn't stated."""
        return self.machine.dram.capacity_bytes if isinstance(self.machine, Machine) else None

    @property
    def fits(self) -> bool | None:
        """Whether DRAM holds it at its fullest; None where its capacity isn't stated."""
        return None if self.capacity_bytes is None else self.peak.bytes <= self.capacity_bytes

    @property
    def mapping(self) -> str:
        """The mapping of each part at its last length."""
        return "\n\n".join(
            f"{row.phase}, {row.part} (x {row.count}):\n{row.judged[-1].result.mapping}" for row in self.rows
        )

    def facts(self) -> dict[str, Any]:
        """`model` of `run --json`."""
        size, total = self.size, self.total
        return {
            "name": self.name, "part": self.part, "parameters": size.parameters,
            "active_parameters": size.active_parameters, "layers": size.layers,
            "weight_bytes": size.weight_bytes, "kv_bytes_per_token": size.kv_bytes_per_token,
            "state_bytes": size.state_bytes, "macs": total.macs, "time_to_first_token_s": self.first_token_s,
            "fits": self.fits, "dram_capacity_bytes": self.capacity_bytes, "peak_bytes": self.peak.bytes,
            "peak_at": f"{self.peak.phase}, {self.peak.part}", "peak_kept_bytes": self.peak.kept_bytes,
            "peak_activation_bytes": self.peak.activation_bytes,
        }  # fmt: skip

    def phase_rows(self) -> list[dict[str, Any]]:
        """`phases` of `run --json`."""
        return [
            {
                "phase": one.phase, "steps": one.steps, "tokens": one.tokens, "unit": one.unit,
                "cycles": one.result.cycles,
                "latency_s": one.result.latency_s, "tokens_per_s": one.tokens_per_s,
                "energy_j": one.result.energy_j, "joules_per_token": one.joules_per_token,
                "dram_bytes": one.result.dram_bytes, "bottleneck": one.result.bottleneck,
                "most_from_linear": one.deviation,
            }
            for one in self.phases
        ]  # fmt: skip

    def part_rows(self) -> list[dict[str, Any]]:
        """`parts` of `run --json`: figures are of all pieces and steps, and add up to the totals."""
        return [
            {
                "phase": row.phase, "part": row.part, "count": row.count,
                "steps": int(sum(one.steps for one in row.judged)),
                "lengths": [one.length for one in row.judged],
                "cycles": row.result.cycles, "latency_s": row.result.latency_s,
                "share": row.result.latency_s / self.total.latency_s if self.total.latency_s else 0.0,
                "energy_j": row.result.energy_j, "energy_stated_j": row.result.energy_stated_j,
                "dram_bytes": row.result.dram_bytes, "macs": row.result.macs,
                "utilization": row.result.utilization, "bottleneck": row.result.bottleneck,
                "note": row.note,
            }
            for row in self.rows
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "model": self.facts(), "phases": self.phase_rows(), "parts": self.part_rows(),
            "result": self.total.to_dict(),
        }  # fmt: skip
