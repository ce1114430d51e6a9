"""FuseMax (MICRO 2024, arXiv 2406.10491): attention in five configurations, held against its artifact."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from collections.abc import Mapping as MappingType
from functools import cache
from pathlib import Path

import msgspec

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.result import Result
from einsim.dataflow.templates import build_mapping
from einsim.dataflow.templates.flat import FlatChoice, flat
from einsim.sim.engine import simulate
from einsim.specs.errors import SpecError
from einsim.specs.loader import decode, load_yaml
from einsim.specs.near import near
from einsim.validation.row import Row, held
from einsim.workloads import library
from einsim.workloads.cascade import Cascade
from einsim.workloads.recognised import attentions
from einsim.workloads.settings import read_size

SUITE = "papers"
NAME = "fusemax"
QUANTITIES = ("dram_bytes", "latency_s", "energy_j", "util_2d", "util_1d")
SHORTEST, LONGEST = 2**10, 2**20
_HERE = Path(__file__).parent


class Configuration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A machine with overrides, a cascade and a mapping template, as the artifact combines them."""

    accel: str
    passes: int
    template: str
    set: dict[str, str] = {}
    energy_limit: float | None = None
    flat_choices: dict[str, dict[str, FlatChoice]] = {}

    def mapping(self, cascade: Cascade, machine: Machine, length: str) -> Mapping:
        """The template's mapping, with FLAT's published choice where there is one."""
        chosen = self.flat_choices.get(str(cascade.size("e")), {}).get(length)
        if chosen is None:
            return build_mapping(cascade, machine, self.template)
        mapping = flat(cascade, machine, **msgspec.structs.asdict(chosen))
        check(mapping, cascade, machine)
        return mapping


class Suite(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `fusemax.yaml` holds."""

    source: str
    rows: str
    workload: str
    models: dict[str, str]
    lengths: list[str]
    configurations: dict[str, Configuration]
    limits: dict[str, float]
    over_bound: float


class PaperCase(msgspec.Struct, frozen=True, kw_only=True):
    """`fusemax:binding:BERT:4K`."""

    configuration: str
    model: str
    length: str

    def __str__(self) -> str:
        return f"{NAME}:{self.configuration}:{self.model}:{self.length}"


class BothLevels(msgspec.Struct, frozen=True, kw_only=True):
    """Both evaluators' results for one case."""

    cascade: Cascade
    machine: Machine
    analytical: Result
    simulated: Result


@cache
def suite() -> Suite:
    """The suite as it is written in `fusemax.yaml`."""
    return decode(load_yaml(_HERE / "fusemax.yaml"), Suite, "fusemax")


@cache
def references() -> MappingType[PaperCase, MappingType[str, float]]:
    """The artifact's rows by case; energy in J."""
    with (_HERE / suite().rows).open(encoding="utf-8", newline="") as file:
        return {
            PaperCase(configuration=row["config"], model=row["model"], length=row["seq_len"]): {
                "dram_bytes": float(row["dram_bytes"]),
                "latency_s": float(row["latency_s"]),
                "energy_j": float(row["energy_pj"]) * 1e-12,
                "util_2d": float(row["util_2d"]),
                "util_1d": float(row["util_1d"]),
            }
            for row in csv.DictReader(file)
        }


def published(case: str) -> dict[str, float]:
    """What FuseMax's artifact says of a case such as `fusemax:binding:BERT:4K`: by quantity, in s, J, bytes
    and shares 0..1. SpecError for a case that is none, or that nothing is published of.
    """
    found = references().get(read_case(case))
    if found is None:
        raise SpecError("", "nothing is published of this case", got=case)
    return dict(found)


def stored_cases() -> tuple[PaperCase, ...]:
    """Every case that a reference is stored for."""
    return tuple(references())


def read_case(text: str) -> PaperCase:
    """A case from `fusemax:CONFIG:MODEL:SEQ`; SpecError says which part is wrong."""
    parts = text.split(":")
    if len(parts) != 4:
        raise SpecError(
            "", "must be fusemax:CONFIG:MODEL:SEQ such as fusemax:binding:BERT:4K", got=text, where="--case"
        )
    name, configuration, model, length = parts
    for kind, word, known in (
        ("paper", name, [NAME]),
        ("configuration", configuration, suite().configurations),
        ("model", model, suite().models),
    ):
        if word not in known:
            raise SpecError("", f"unknown {kind}", got=word, where="--case", hint=near(word, known))
    size = read_size(length, "SEQ", "--case", least=SHORTEST)
    if size > LONGEST or size & (size - 1):
        raise SpecError("SEQ", "must be a power of two from 1K to 1M", got=length, where="--case")
    return PaperCase(configuration=configuration, model=model, length=spelled(size))


def spelled(size: int) -> str:
    """`4K` for 4096, `1M` for 1048576."""
    return f"{size // 2**20}M" if size % 2**20 == 0 else f"{size // 2**10}K"


def outcome(case: PaperCase) -> BothLevels:
    """Both evaluators on the case's mapping."""
    plan = suite().configurations[case.configuration]
    machine = load_machine(plan.accel, plan.set)
    cascade = library.build(
        suite().workload, model=suite().models[case.model], seq=case.length, passes=str(plan.passes)
    )
    program = lower(plan.mapping(cascade, machine, case.length), cascade, machine)
    return BothLevels(
        cascade=cascade,
        machine=machine,
        analytical=analyse(program, machine),
        simulated=simulate(program, machine),
    )


def measured(result: Result, machine: Machine) -> dict[str, float]:
    """The paper's five quantities of a result; its machines state every energy."""
    assert result.energy_j is not None, result.energy_not_stated
    return {
        "dram_bytes": float(result.dram_bytes),
        "latency_s": result.latency_s,
        "energy_j": result.energy_j,
        "util_2d": result.utilization[machine.matrix_units[0].name],
        "util_1d": result.utilization[machine.vector_units[0].name],
    }


def rows(case: PaperCase) -> Iterator[Row]:
    """The rows of one case: five quantities at both levels, and the simulation against its own bound."""
    plan = suite().configurations[case.configuration]
    found = outcome(case)
    published = references().get(case, {})
    for result in (found.analytical, found.simulated):
        ours = measured(result, found.machine)
        for quantity in QUANTITIES:
            reference = published.get(quantity)
            # Traffic and energy count the same actions at both levels; time, and what follows from it, is
            # limited against the analytical bound below.
            limit = plan.energy_limit if quantity == "energy_j" else suite().limits[quantity]
            if result.level == "sim" and quantity in {"latency_s", "util_2d", "util_1d"}:
                limit = None
            note = explained(found.cascade, result, reference) if quantity == "energy_j" else ""
            yield held(
                suite=SUITE, case=str(case), quantity=quantity, level=result.level, reference=reference,
                ours=ours[quantity], limit=limit, source=suite().source, note=note,
            )  # fmt: skip
    yield held(
        suite=SUITE, case=str(case), quantity="latency_over_bound", level="sim", reference=1.0,
        ours=found.simulated.cycles / found.analytical.cycles, limit=suite().over_bound, never_below=True,
        source="einsim's analytical model, same mapping", note=waits(found.simulated),
    )  # fmt: skip


def explained(cascade: Cascade, result: Result, reference: float | None) -> str:
    """Energy by component, and what the reference holds beyond it for each point of the attention matrix."""
    shares = ", ".join(f"{name} {energy:.4g} J" for name, energy in result.energy_by.items())
    if reference is None:
        return shares
    one = next(one for passes in (1, 3) for one in attentions(cascade, passes))
    points = math.prod(map(cascade.size, one.heads)) * one.size("p") * one.keys
    beyond = (reference - sum(result.energy_by.values())) / points * 1e12
    return f"{shares}; the reference holds {beyond:+.1f} pJ for each point (m, p) beyond these"


def waits(result: Result) -> str:
    """The stall cycles that make the simulation slower than its bound."""
    causes = ", ".join(f"{cause} {cycles}" for cause, cycles in result.stalls.items() if cycles)
    return f"{result.bottleneck} waits for: {causes or 'nothing'}"
