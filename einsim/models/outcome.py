"""What a model costs: rows by phase and part, and their totals."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any, Final

import msgspec

from einsim.accel.gpu.machine import Gpu
from einsim.accel.machine import Machine
from einsim.dataflow.combined import combined
from einsim.dataflow.result import Result
from einsim.models.memory import Held, Moment
from einsim.specs.argument import Amount, Whole
from einsim.workloads.models.language import DECODE
from einsim.workloads.models.model import ModelSize

_SOME: Final = msgspec.Meta(min_length=1)


class PieceCost(msgspec.Struct, frozen=True, kw_only=True):
    """`count` pieces of a part of which the same tensors stay on chip, each in a memory, and what each costs:
    `saved_bytes` less DRAM traffic than with all of them in DRAM.
    """

    count: int
    result: Result
    stays: Mapping[str, str] = {}
    saved_bytes: int = 0


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A part at one length: what a step of its pieces costs, and how many `steps` it stands for, a share of
    one where requests of different lengths have it together.
    """

    length: int
    steps: Fraction
    pieces: Annotated[tuple[PieceCost, ...], _SOME]

    @property
    def result(self) -> Result:
        """Of one piece, of the kind that there is most of."""
        return max(self.pieces, key=lambda piece: piece.count).result


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

    @property
    def stays(self) -> tuple[Staying, ...]:
        """What stays on chip between parts, at the last length."""
        found: dict[tuple[str, str], int] = {}
        for piece in self.judged[-1].pieces:
            for pair in piece.stays.items():
                found[pair] = found.get(pair, 0) + piece.count
        return tuple(Staying(tensor=name, memory=at, count=many) for (name, at), many in found.items())

    @property
    def saved_bytes(self) -> int:
        """DRAM traffic that this takes from all pieces and steps."""
        return round(sum(
            one.steps * piece.count * piece.saved_bytes for one in self.judged for piece in one.pieces
        ))  # fmt: skip


class Staying(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tensor of a part that stays in a memory between parts, in `count` of its pieces."""

    tensor: str
    memory: str
    count: Whole


class PhaseCost(msgspec.Struct, frozen=True, kw_only=True):
    """A phase: its `steps`, the `tokens` that they read or make, and how far from linear their time was.
    As many `replicas` of the machine do the same at a time.

    `first_step_s` and `last_step_s` are those at the least and the largest length, of all requests that a
    step takes: in decode, times from token to token.
    """

    phase: str
    steps: int
    tokens: int
    deviation: float
    result: Result
    first_step_s: float
    last_step_s: float
    unit: str = "tokens"
    notes: tuple[str, ...] = ()
    replicas: int = 1

    @property
    def mean_step_s(self) -> float:
        """Of all steps."""
        return self.result.latency_s / self.steps if self.steps else 0.0

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens read or made a second by all replicas; None where it takes no time."""
        return self.replicas * self.tokens / self.result.latency_s if self.result.latency_s else None

    @property
    def joules_per_token(self) -> float | None:
        """None where some of the energy isn't stated."""
        return None if self.result.energy_j is None else self.result.energy_j / self.tokens


class PhaseLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A phase in `phases` of `run --json`; `most_from_linear` is the deviation of `einsim.models.lengths`,
    of time.
    """

    phase: str
    steps: Whole
    tokens: Whole
    unit: str
    cycles: Whole
    latency_s: Amount
    tokens_per_s: Amount | None
    energy_j: Amount | None
    joules_per_token: Amount | None
    dram_bytes: Whole
    bottleneck: str
    most_from_linear: Amount
    first_step_s: Amount
    mean_step_s: Amount
    last_step_s: Amount


class PartLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part in a phase in `parts` of `run --json`: all its pieces and steps, judged at `lengths`."""

    phase: str
    part: str
    count: Whole
    steps: Whole
    lengths: tuple[Whole, ...]
    cycles: Whole
    latency_s: Amount
    share: Amount
    energy_j: Amount | None
    energy_stated_j: Amount | None
    dram_bytes: Whole
    macs: Whole | None
    utilization: dict[str, Amount]
    bottleneck: str
    note: str = ""
    stays: tuple[Staying, ...] = ()
    saved_bytes: Whole = 0

    @property
    def busiest(self) -> tuple[str, float]:
        """The unit that is used most, and how much."""
        return busiest(self.utilization)


def busiest(utilization: Mapping[str, float]) -> tuple[str, float]:
    """The unit that is used most, "-" where there is none, and how much of the time."""
    unit = max(utilization, key=lambda name: utilization[name], default="-")
    return unit, utilization.get(unit, 0.0)


def size_facts(name: str, part: str, size: ModelSize) -> dict[str, Any]:
    """What `model` of `run --json` says of a model before anything is run."""
    return {
        "name": name, "part": part, "parameters": size.parameters,
        "active_parameters": size.active_parameters, "layers": size.layers, "batch": size.batch,
        "weight_bytes": size.weight_bytes, "kv_bytes_per_token": size.kv_bytes_per_token,
        "state_bytes": size.state_bytes,
    }  # fmt: skip


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`model` of `run --json`: what the model weighs, as `ModelSize` says, and what it asks of the machine.

    `fits` and `dram_capacity_bytes` are None where the machine states no capacity of its DRAM.
    """

    name: str
    part: str
    parameters: Whole
    active_parameters: Whole
    layers: Whole
    batch: Whole
    weight_bytes: Amount
    kv_bytes_per_token: Amount
    state_bytes: Amount
    macs: Whole | None
    time_to_first_token_s: Amount | None
    fits: bool | None
    dram_capacity_bytes: Amount | None
    peak_bytes: Amount
    peak_at: str
    peak_kept_bytes: Amount
    peak_activation_bytes: Amount
    stays_saved_bytes: Whole = 0
    counts: str = "layers"


class ModelTables(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's result has beside the figures of any: the part, facts, lines and DRAM over time."""

    part: str
    model: ModelFacts
    phases: Annotated[tuple[PhaseLine, ...], _SOME]
    parts: Annotated[tuple[PartLine, ...], _SOME]
    memory: Annotated[tuple[Moment, ...], _SOME]


class ModelResult(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A whole model, or all of one of its parts (`part` says which), on a machine.

    `first_token_s` is the time until the last prompt is read, prompts one after the other; None without one.
    `evidence` is that of `Result`.
    """

    name: str
    part: str
    machine: Machine | Gpu
    size: ModelSize
    rows: tuple[PartCost, ...]
    phases: tuple[PhaseCost, ...]
    first_token_s: float | None
    evidence: tuple[str, ...] = ()

    @cached_property
    def total(self) -> Result:
        """All phases one after the other; what is to be known of a phase stands before other notes."""
        whole = combined([(phase.result, 1) for phase in self.phases], workload=self.name,
                         mapping=self.mapping)  # fmt: skip
        notes = [note for phase in self.phases for note in phase.notes]
        notes = list(dict.fromkeys([*notes, *whole.notes]))
        return msgspec.structs.replace(whole, notes=tuple(notes), evidence=self.evidence)

    @cached_property
    def moments(self) -> tuple[Moment, ...]:
        """DRAM over time, a moment a part and phase; equal layers, wherever they stand, are one."""
        found, now, kept = [], 0.0, 0.0
        for phase in self.phases:
            grows = phase.phase != DECODE  # decode steps find caches as they are
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

    def facts(self) -> ModelFacts:
        """`model` of `run --json`."""
        return ModelFacts(
            **size_facts(self.name, self.part, self.size), macs=self.total.macs,
            time_to_first_token_s=self.first_token_s, fits=self.fits,
            dram_capacity_bytes=self.capacity_bytes, peak_bytes=self.peak.bytes,
            peak_at=f"{self.peak.phase}, {self.peak.part}", peak_kept_bytes=self.peak.kept_bytes,
            peak_activation_bytes=self.peak.activation_bytes,
            stays_saved_bytes=sum(row.saved_bytes for row in self.rows), counts=self.size.counts,
        )  # fmt: skip

    @property
    def tables(self) -> ModelTables:
        """What `run --json` has of a model beside the figures of any result."""
        return ModelTables(
            part=self.part, model=self.facts(), phases=self.phase_lines(), parts=self.part_lines(),
            memory=self.moments,
        )  # fmt: skip

    def phase_lines(self) -> tuple[PhaseLine, ...]:
        """A line a phase."""
        return tuple(
            PhaseLine(
                phase=one.phase, steps=one.steps, tokens=one.tokens, unit=one.unit, cycles=one.result.cycles,
                latency_s=one.result.latency_s, tokens_per_s=one.tokens_per_s,
                energy_j=one.result.energy_j, joules_per_token=one.joules_per_token,
                dram_bytes=one.result.dram_bytes, bottleneck=one.result.bottleneck,
                most_from_linear=one.deviation, first_step_s=one.first_step_s, mean_step_s=one.mean_step_s,
                last_step_s=one.last_step_s,
            )
            for one in self.phases
        )  # fmt: skip

    def part_lines(self) -> tuple[PartLine, ...]:
        """A line a part and phase: figures are of all pieces and steps, and add up to the totals."""
        whole = self.total.latency_s
        return tuple(
            PartLine(
                phase=row.phase, part=row.part, count=row.count, note=row.note,
                steps=int(sum(one.steps for one in row.judged)),
                lengths=tuple(one.length for one in row.judged),
                cycles=row.result.cycles, latency_s=row.result.latency_s,
                share=row.result.latency_s / whole if whole else 0.0,
                energy_j=row.result.energy_j, energy_stated_j=row.result.energy_stated_j,
                dram_bytes=row.result.dram_bytes, macs=row.result.macs,
                utilization=row.result.utilization, bottleneck=row.result.bottleneck,
                stays=row.stays, saved_bytes=row.saved_bytes,
            )
            for row in self.rows
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data: the figures of any result, and the tables."""
        tables: dict[str, Any] = msgspec.to_builtins(self.tables)
        return {**self.total.to_dict(), **tables}
