"""A whole model on a machine: its parts by phase, equal ones judged once, summed over their steps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from einsim.accel.gpu.machine import Gpu
from einsim.accel.machine import Machine
from einsim.dataflow.combined import combined
from einsim.dataflow.effort import Effort
from einsim.dataflow.result import Result
from einsim.dataflow.templates import template_names
from einsim.evaluation import (
    AUTO,
    TEMPLATE,
    Evaluation,
    Level,
    SearchRequest,
    evaluate_source,
    machine_of,
    run_mapping,
    split_for,
)
from einsim.evidence import evidence_of, kind_of_model
from einsim.models.between import MappedPart, Stays, choose, mapping_beside, with_room
from einsim.models.lengths import weigh
from einsim.models.memory import Held, held, kept_bytes
from einsim.models.outcome import Judgement, ModelResult, PartCost, PhaseCost, PieceCost, size_facts
from einsim.models.started import of_parts, run_s, started, to_edge
from einsim.specs.argument import Setting
from einsim.specs.collecting import collected_seldom
from einsim.specs.errors import EinsimError, SpecError
from einsim.specs.near import near
from einsim.workload import PASSES, WorkloadSource
from einsim.workloads.cascade import Cascade
from einsim.workloads.load import load_model
from einsim.workloads.models.flow import Piece
from einsim.workloads.models.language import ENCODE, PREFILL
from einsim.workloads.models.model import WHOLE, Choices, Model, Phase, chosen, is_whole
from einsim.workloads.models.parts import ModelPart
from einsim.workloads.settings import Settings, read_settings

READS = (ENCODE, PREFILL)
"""Phases that end with a first token."""


@collected_seldom
def evaluate_model(
    model: str | Path | Model,
    machine: str | Path | Machine | Gpu,
    *,
    settings: Mapping[str, Setting] | None = None,
    mapping: str = TEMPLATE,
    level: Level = "sim",
    effort: Effort = "normal",
    long: bool = False,
) -> ModelResult:
    """What a whole model costs on a machine, by phase and part.

    `model` is a model's name, a `config.json` or a Model; `settings`, `mapping`, `level`, `effort` and
    `long` are those of `evaluate`. Each part is mapped for itself; what stays on chip from one to the
    next is chosen by what it gains (`einsim.models.between`), and nothing with the setting `between=dram`.
    Starting a run is counted with a phase's first part. `part` or `layer` among the settings leave only that.
    Raises SpecError for whatever is wrong, EinsimError with the part where no mapping fits.
    """
    found = load_model(model) if isinstance(model, str | Path) else model
    if found is None:
        raise SpecError("model", "is no model: a name of one or a config.json", got=str(model))
    for_model, for_machine = split_for(settings or {}, _keys(found), machine)
    given, machine = machine, machine_of(machine, for_machine)
    if mapping not in (TEMPLATE, AUTO, *template_names()):
        raise SpecError(
            "", "is of one cascade, and a model has several: --set part=layer, or template or auto for all",
            got=mapping, where="--mapping", hint=near(mapping, (TEMPLATE, AUTO, *template_names())),
        )  # fmt: skip
    read = read_settings(found.parameters, for_model, found.name)
    judge = Judge(found, for_model, machine, mapping, level, effort, long=long)
    phases, rows, absent = [], [], []
    for phase in found.phases(read):
        parts = phase.parts(phase.last, {})
        try:
            kept = chosen(parts, read)
        except SpecError as error:  # an encoder's part isn't the decoder's
            absent.append(error)
            continue
        cost, costs = judge.phase(phase, {part.name for part in kept})
        phases.append(cost)
        rows += costs
    if not phases:
        raise absent[0]
    reading = [one.result.latency_s for one in phases if one.phase in READS]
    writes = any(one.phase != ENCODE for one in phases)  # else no token comes
    return ModelResult(
        name=found.name, part=_part(read), machine=machine, size=found.size(read), rows=tuple(rows),
        evidence=evidence_of(given, machine, for_machine, kind_of_model([one.phase for one in phases])),
        phases=tuple(phases), first_token_s=sum(reading) if reading and writes and is_whole(read) else None,
    )  # fmt: skip


def several(model: Model, settings: Mapping[str, Setting], machine: str) -> bool:
    """Whether the settings mean more than one cascade of a model: the whole, or a layer of several parts."""
    read = read_settings(model.parameters, split_for(settings, _keys(model), machine)[0], model.name)
    if is_whole(read):
        return True
    phases = model.phases(read)
    return len(phases) > 1 or len(chosen(phases[0].parts(phases[0].last, {}), read)) > 1


def part_facts(
    model: Model, settings: Mapping[str, Setting], machine: str, result: Result
) -> dict[str, str | int | float | None]:
    """`model` of `run --json` where one part is run, once: what the model weighs, and the part's MACs.
    Whether the whole fits in DRAM is not judged then.
    """
    for_model = split_for(settings, _keys(model), machine)[0]
    if not {"part", "layer"} & for_model.keys():
        for_model["part"] = "layer"
    read = read_settings(model.parameters, for_model, model.name)
    return {**size_facts(model.name, _part(read), model.size(read)), "macs": result.macs, "fits": None}


def _keys(model: Model) -> tuple[str, ...]:
    return tuple(parameter.name for parameter in model.parameters)


def _part(settings: Settings) -> str:
    """What of the model was asked for, in words."""
    if is_whole(settings):
        return WHOLE
    at = f"layer {settings.size('layer')}" if settings.given("layer") else ""
    return " ".join(word for word in (at, settings.text("part")) if word)


def _endless(machine: Machine | Gpu) -> Machine | Gpu:
    """The machine with a DRAM of any size: whether a model fits is a row of its result, no refusal."""
    return machine if isinstance(machine, Gpu) else with_room(machine, {machine.dram.name: None})


def _step(phase: Phase, rows: Sequence[PartCost], at: int) -> float:
    """Seconds of the first (0) or last (-1) step; of requests together the mean over their lengths."""
    wanted = [run[at] for run in phase.lengths]
    if not phase.together:
        wanted = [sorted(wanted)[at]]
    each = (
        piece.count * piece.result.latency_s
        for length in wanted for row in rows for one in row.judged if one.length == length
        for piece in one.pieces
    )  # fmt: skip
    return math.fsum(each) / len(wanted)


class Judge:
    """Judges parts on one machine, equal ones once."""

    def __init__(
        self, model: Model, given: Mapping[str, object], machine: Machine | Gpu, mapping: str, level: Level,
        effort: Effort, *, long: bool,
    ) -> None:  # fmt: skip
        self.model, self.mapping = model, mapping
        self.starts, self.machine = machine, of_parts(_endless(machine))
        self.level, self.search, self.long = level, SearchRequest(effort=effort), long
        self.settings = {PASSES: given[PASSES]} if PASSES in given else {}
        self.open = {one.name for one in model.parameters if one.open}
        self._known: dict[tuple[Cascade, ...], Evaluation] = {}
        self._staying: dict[tuple[Cascade, Stays], Result | None] = {}
        self._pieces: dict[tuple[str, int, bool], tuple[tuple[PieceCost, ...], ...]] = {}

    def phase(self, phase: Phase, kept: Collection[str]) -> tuple[PhaseCost, list[PartCost]]:
        """A phase with the rows of the parts of these names."""
        every = phase.parts(phase.last, {})
        at = [place for place, part in enumerate(every) if part.name in kept]
        whole = len(at) == len(every)
        weighed = weigh(phase, lambda length: sum(
            piece.count * piece.result.latency_s
            for place in at for piece in self.pieces(phase, length, whole=whole)[place]
        ))  # fmt: skip
        rows = []
        for place in at:
            part = every[place]
            judged = tuple(
                Judgement(length=length, steps=steps, pieces=self.pieces(phase, length, whole=whole)[place])
                for length, steps in weighed.steps.items()
            )
            runs = [(piece.result, one.steps * piece.count) for one in judged for piece in one.pieces]
            rows.append(PartCost(
                phase=phase.name, part=part.name, count=part.count, places=part.places, judged=judged,
                result=combined(runs, workload=f"{self.model.name} {part.name}"),
                held=self._held(phase, judged, place), note=part.note,
            ))  # fmt: skip
        steps, start_s = sum(weighed.steps.values()), run_s(self.starts)
        rows[0] = msgspec.structs.replace(rows[0], result=started(rows[0].result, self.starts, steps))
        cost = PhaseCost(
            phase=phase.name, steps=int(steps), tokens=phase.tokens,
            deviation=weighed.deviation, unit=phase.unit, notes=phase.notes,
            first_step_s=start_s + _step(phase, rows, 0), last_step_s=start_s + _step(phase, rows, -1),
            replicas=self.machine.replicas if isinstance(self.machine, Machine) else 1,
            result=combined([(row.result, 1) for row in rows], workload=f"{self.model.name} {phase.name}"),
        )  # fmt: skip
        return cost, rows

    def _held(self, phase: Phase, judged: Sequence[Judgement], place: int) -> Held:
        """At the last length; what prompts leave is that of all requests."""
        dram = self.machine.dram.name if isinstance(self.machine, Machine) else "dram"
        every = [
            held(phase.parts(one.length, {})[place], piece.result, dram) for one in judged
            for piece in one.pieces[:1]
        ]  # fmt: skip
        if phase.together:
            runs = [phase.parts(run[-1], {})[place] for run in phase.lengths]
            kept = sum(kept_bytes(part.cascade) for part in runs) // len(runs)
        else:
            kept = sum(int(one.steps) * each.kept_bytes for one, each in zip(judged, every, strict=True))
        return Held(kept_bytes=kept, activation_bytes=max(each.activation_bytes for each in every))

    def pieces(self, phase: Phase, length: int, *, whole: bool) -> tuple[tuple[PieceCost, ...], ...]:
        """The pieces of each part of a phase at a length, those of which the same stays together; of a model
        that isn't run `whole` nothing stays.
        """
        parts = phase.parts(length, {})
        flow = phase.flow(parts) if whole and phase.flow and isinstance(self.machine, Machine) else ()
        key = phase.name, length, whole
        if key not in self._pieces:
            self._pieces[key] = self._pieces_of(phase, length, parts, flow)
        return self._pieces[key]

    def _pieces_of(
        self, phase: Phase, length: int, parts: Sequence[ModelPart], flow: Sequence[Piece]
    ) -> tuple[tuple[PieceCost, ...], ...]:
        if not flow:
            return tuple(
                (
                    PieceCost(
                        count=part.count,
                        result=to_edge(self.piece(phase, length, place).result, self.machine),
                    ),
                )
                for place, part in enumerate(parts)
            )
        assert isinstance(self.machine, Machine)
        found = [self.piece(phase, length, place) for place in range(len(parts))]
        stays = choose(
            flow,
            self.mapped(phase, length),
            self.machine,
            lambda place, stays: self.staying(found[place], stays),
        )
        kinds = Counter((piece.part, here) for piece, here in zip(flow, stays, strict=True))
        rows: list[list[PieceCost]] = [[] for _ in parts]
        for (place, here), count in kinds.items():
            result = self.staying(found[place], here)
            assert result is not None
            rows[place].append(PieceCost(
                count=count, result=to_edge(result, self.machine), stays=dict(sorted(here)),
                saved_bytes=found[place].result.dram_bytes - result.dram_bytes,
            ))  # fmt: skip
        return tuple(tuple(row) for row in rows)

    def mapped(self, phase: Phase, length: int) -> dict[int, MappedPart]:
        """The parts of a phase at a length, by their places, as they are mapped where all is in DRAM."""
        found = [self.piece(phase, length, place) for place in range(len(phase.parts(length, {})))]
        return {
            place: MappedPart(cascade=one.cascade, mapping=one.mapped.mapping, result=one.result)
            for place, one in enumerate(found)
        }

    def staying(self, found: Evaluation, stays: Stays) -> Result | None:
        """What a part costs where these tensors stay on chip; None where its mapping can't have that."""
        if not stays:
            return found.result
        key = self._key(found.cascade), stays
        if key not in self._staying:
            mapping = mapping_beside(found.cascade, found.mapped, stays)
            self._staying[key] = (
                None if mapping is None
                else run_mapping(mapping, found.cascade, found.mapped.machine, self.level, long=self.long)
            )  # fmt: skip
        return self._staying[key]

    def piece(self, phase: Phase, length: int, place: int) -> Evaluation:
        """One piece of the part at a place of a phase's parts, at a length, all of it through DRAM."""

        def build(choices: Choices) -> Cascade:
            part = phase.parts(length, choices)[place]
            return msgspec.structs.replace(part.cascade, name=f"{self.model.name} {part.name}")

        source = WorkloadSource(
            name=self.model.name, keys=(PASSES,), open=(PASSES,) if PASSES in self.open else (), build=build
        )
        key = tuple(map(self._key, source.every(self.settings)))
        if key not in self._known:
            try:
                self._known[key] = evaluate_source(
                    source, self.settings, self.machine, mapping=self.mapping, level=self.level,
                    search=self.search, long=self.long,
                )  # fmt: skip
            except SpecError:
                raise
            except EinsimError as error:
                raise EinsimError(f"{phase.parts(length, {})[place].name}: {error}") from error
        return self._known[key]

    @staticmethod
    def _key(cascade: Cascade) -> Cascade:
        return msgspec.structs.replace(cascade, name="")
