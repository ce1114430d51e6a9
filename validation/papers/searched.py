"""The mapper held against FuseMax's published rows: what it finds without being told a mapping.

`mapper:flat:MODEL:SEQ` searches what the template `flat` leaves open on FLAT's machine: the mapping found
must be at least as fast as the published one. `mapper:binding:MODEL:SEQ` searches the cascade with state on
FuseMax's machine, no template taking part: both arrays must be used as FuseMax uses them, at no more time.
"""

from __future__ import annotations

from collections.abc import Iterator

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.best import Answer, best_mapping, template_mapping
from einsim.dataflow.mapping_text import mapping_text
from einsim.sim.engine import simulate
from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.validation.papers.fusemax import SUITE, PaperCase, measured, read_case, references, suite, waits
from einsim.validation.row import Row, held
from einsim.workloads import library
from einsim.workloads.cascade import Cascade

NAME = "mapper"
KINDS = ("flat", "binding")
#: Rounding of the published figures (8 digits or more) and of sums.
EXACT = 1e-9
#: The bar for FuseMax: both utilisations and the time within 1 %.
WITHIN = 0.01
#: Filling and draining, which published figures leave out, may cost a simulated FLAT mapping this much.
FILL = 0.001
BUDGET_S = 60.0


def stored() -> tuple[PaperCase, ...]:
    """Every case that a reference is stored for."""
    return tuple(case for case in references() if case.configuration in KINDS)


def read(text: str) -> PaperCase:
    """A case from `mapper:KIND:MODEL:SEQ`; SpecError says which part is wrong."""
    parts = text.split(":")
    if len(parts) == 4 and parts[1] not in KINDS:
        raise SpecError("", "unknown search", got=parts[1], where="--case", hint=near(parts[1], KINDS))
    return read_case(":".join(("fusemax", *parts[1:])))


def shown(case: PaperCase) -> str:
    """`mapper:flat:BERT:4K`."""
    return str(case).replace("fusemax", NAME, 1)


def search(case: PaperCase) -> tuple[Cascade, Machine, Answer]:
    """The answer for a case; templates take no part."""
    plan = suite().configurations[case.configuration]
    machine = load_machine(plan.accel, plan.set)
    model = suite().models[case.model]
    work = library.build(suite().workload, model=model, seq=case.length, passes=str(plan.passes))
    if case.configuration == "flat":
        return work, machine, template_mapping("flat", work, machine)
    return work, machine, best_mapping(work, machine, "latency", budget_s=BUDGET_S, templates=False)


def rows(case: PaperCase) -> Iterator[Row]:
    """The rows of one case, at both levels."""
    work, machine, answer = search(case)
    plan = suite().configurations[case.configuration]
    run = simulate(lower(answer.mapping, work, machine), machine)
    template = lower(plan.mapping(work, machine, case.length), work, machine)
    published = references().get(case, {})
    flat = case.configuration == "flat"
    for result in (answer.result, run):
        level = result.level
        limit = WITHIN if not flat else FILL if level == "sim" else EXACT
        yield _row(case, "latency_s", level, published.get("latency_s"), result.latency_s, limit,
                   never_above=True, note=_mapping(answer) if result is answer.result else "")  # fmt: skip
        for name in () if flat else ("util_2d", "util_1d"):
            yield _row(case, name, level, published.get(name), measured(result, machine)[name], WITHIN)
    own = "einsim's evaluation of the published mapping"
    theirs = analyse(template, machine)
    yield _row(case, "latency_of_template", "analytical", theirs.latency_s, answer.result.latency_s,
               EXACT if flat else WITHIN, never_above=True, source=own)  # fmt: skip
    if not flat:
        theirs = simulate(template, machine)
        yield _row(case, "latency_of_template", "sim", theirs.latency_s, run.latency_s, WITHIN,
                   never_above=True, source=own)  # fmt: skip
    if flat:
        yield _row(case, "proven", "analytical", 1.0, float(answer.proven), 0.0, source="the mapper")
    yield _row(
        case, "dram_bytes", "sim", float(answer.result.dram_bytes), float(run.dram_bytes), 0.0,
        source="einsim's analytical model, same mapping",
    )  # fmt: skip
    yield held(
        suite=SUITE, case=shown(case), quantity="latency_over_bound", level="sim", reference=1.0,
        ours=run.cycles / answer.result.cycles, limit=suite().over_bound, never_below=True,
        source="einsim's analytical model, same mapping", note=waits(run),
    )  # fmt: skip


def _row(
    case: PaperCase, quantity: str, level: str, reference: float | None, ours: float, limit: float, *,
    never_above: bool = False, source: str = "", note: str = "",
) -> Row:  # fmt: skip
    return held(
        suite=SUITE, case=shown(case), quantity=quantity, level=level, reference=reference, ours=ours,
        limit=limit, source=source or suite().source, only_above=never_above, note=note,
    )  # fmt: skip


def _mapping(answer: Answer) -> str:
    """The mapping found in one line, and what bounds it."""
    lines = [line.strip() for line in mapping_text(answer.mapping).splitlines()[1:]]
    return f"bound by {answer.result.bottleneck}: {'; '.join(lines)}"
