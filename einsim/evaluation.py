"""One evaluation from names to a result: workload, machine, mapping, tile program, figures."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from einsim.accel.gpu.machine import Gpu, is_gpu, load_gpu
from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.dealt import Deal
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Mapping as LoopTree
from einsim.dataflow.mapping_file import load_deal, load_mapping, mapped_cascade
from einsim.dataflow.result import Result
from einsim.dataflow.templates import build_mapping, preferred_passes, template_names
from einsim.evidence import evidence_of, kind_of
from einsim.machine_keys import machine_keys
from einsim.patience import patience, simulated
from einsim.settings import split
from einsim.sim.gpu.case import KernelCase
from einsim.specs.argument import Amount, Count, Setting
from einsim.specs.collecting import collected_seldom
from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workload import PASSES, WorkloadSource, as_it_is, find_workload
from einsim.workloads.cascade import Cascade

if TYPE_CHECKING:
    from einsim.dataflow.effort import Effort
    from einsim.dataflow.mapper.objective import Objective  # at run time it would load numba
    from einsim.finalists import Finalist

TEMPLATE = "template"
AUTO = "auto"
KERNEL_PASSES = "1"  # of attention on a GPU, unless something else is asked for: the fused kernel

Level = Literal["analytical", "sim"]


class Mapped(msgspec.Struct, frozen=True, kw_only=True):
    """How a machine of units computes a cascade: by a LoopTree. `searched` is its analytical result, by which
    a search found it; None where there was none.
    """

    machine: Machine
    mapping: LoopTree
    searched: Result | None = None


class Realised(msgspec.Struct, frozen=True, kw_only=True):
    """How a GPU computes a cascade: by a kernel, or by several in turn."""

    machine: Gpu
    kernels: tuple[KernelCase, ...]


class DealtOut(msgspec.Struct, frozen=True, kw_only=True):
    """How a machine's cores compute a cascade: in blocks that are dealt to them."""

    machine: Machine
    deal: Deal


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """A result with what it was computed from: a cascade, and how its machine computes it."""

    result: Result
    cascade: Cascade
    how: Mapped | Realised | DealtOut

    @property
    def machine(self) -> Machine | Gpu:
        """The machine, `--set` and all."""
        return self.how.machine

    @property
    def mapped(self) -> Mapped:
        """The machine with its mapping, where the machine has units; SpecError for a kernel on a GPU, and for
        blocks that are dealt.
        """
        if isinstance(self.how, DealtOut):
            rule = "is dealt to cores in blocks: only what it costs is known, not a mapping of the whole"
            raise SpecError("mapping", rule, got=self.result.workload)
        if isinstance(self.how, Realised):
            raise SpecError("accel", "is a GPU: a kernel has no mapping or trace", got=self.result.accel)
        return self.how


@collected_seldom
def evaluate(
    workload: str | Path | Cascade,
    machine: str | Path | Machine | Gpu,
    *,
    settings: Mapping[str, Setting] | None = None,
    mapping: str | Path | LoopTree = TEMPLATE,
    level: Level = "sim",
    objective: Objective = "latency",
    within_bytes: Amount = math.inf,
    budget_s: Amount = math.inf,
    workers: Count | None = None,
    effort: Effort = "normal",
    starts: Sequence[LoopTree] = (),
    long: bool = False,
) -> Evaluation:
    """What `workload` costs on `machine`.

    `workload` is a library's or model's name, a cascade's YAML file, a Hugging Face config.json, or a
    Cascade; `machine` a preset's name, a YAML file, or a Machine. `settings` are what `--set` takes, for
    those that are given by name or file. `mapping` is a YAML file, a template's name, a Mapping, "template":
    the one that suits, at once, or "auto": the best of these and of a search of seconds. `level` is "sim",
    cycle by cycle, or "analytical", a lower bound. A simulation that goes through more than 300,000 tiles,
    skipped periods aside, is refused unless it may be `long`.

    With "auto", `objective` (latency, energy, edp or buffer), `within_bytes` held on chip, `budget_s`,
    `workers` (searches at once, one a core), `effort` (quick, normal or proof) and `starts` are those of
    `best_mapping`. What is found is compared with the default and every template at this level: it is no
    worse.

    A workload that exists as several cascades (attention in 3, 2 or 1 passes) is with "auto" the best of
    them, else the one that suits the machine. A GPU has kernels instead of mappings and one model of them
    whatever the level; `mapping` is then a variant's name, or "template" or "auto" for the quickest.

    Raises SpecError for whatever is wrong, EinsimError where no mapping fits.
    """
    source = as_it_is(workload) if isinstance(workload, Cascade) else find_workload(str(workload))
    for_workload, for_machine = split_for(settings or {}, source.keys, machine)
    chip = machine_of(machine, for_machine)
    search = SearchRequest(objective, within_bytes, budget_s, workers, effort, starts)
    found = evaluate_source(
        source, for_workload, chip, mapping=mapping, level=level, search=search, long=long
    )
    evidence = evidence_of(machine, chip, for_machine, kind_of(found.cascade))
    return msgspec.structs.replace(found, result=msgspec.structs.replace(found.result, evidence=evidence))


def split_for(
    settings: Mapping[str, Setting], workload_keys: Collection[str], machine: str | Path | Machine | Gpu
) -> tuple[dict[str, object], dict[str, object]]:
    """As `split`, with the keys of a machine that is given by name or file; others have none."""
    known = machine_keys(str(machine)) if isinstance(machine, str | Path) else ()
    return split(settings, workload_keys, known)


def machine_of(machine: str | Path | Machine | Gpu, overrides: Mapping[str, object]) -> Machine | Gpu:
    """The machine of a name or file with its settings, or as it is; SpecError where that is given some."""
    if isinstance(machine, str | Path):
        named = str(machine)
        return load_gpu(named, overrides) if is_gpu(named) else load_machine(named, overrides)
    if overrides:
        rule = "is for a machine given by name or file; load_machine takes overrides"
        raise SpecError(f"accel.{next(iter(overrides))}", rule, where="settings")
    return machine


def evaluate_source(
    source: WorkloadSource, for_workload: Mapping[str, object], machine: Machine | Gpu, *,
    mapping: str | Path | LoopTree, level: Level, search: SearchRequest, long: bool = False,
) -> Evaluation:  # fmt: skip
    """As `evaluate`, of a source with its own settings, on a machine."""
    if isinstance(machine, Gpu):
        return on_gpu(source, for_workload, machine, mapping)
    if search.objective == "pareto":
        rule = "has no one best mapping; best_mapping gives its front"
        raise SpecError("objective", rule, got=search.objective)
    if mapping == AUTO:
        found = best_of(source.every(for_workload), machine, search, level, long=long)
        how = Mapped(machine=machine, mapping=found.mapping, searched=found.result)
        return Evaluation(result=found.simulated or found.result, cascade=found.cascade, how=how)
    if search._replace(workers=None, starts=tuple(search.starts)) != SearchRequest():
        rule = "is what the mapper searches by, so it goes with the mapping 'auto'"
        raise SpecError("objective, within_bytes, budget_s, effort or starts", rule)
    cascade = cascade_for(mapping, source, for_workload, machine)
    deal = None
    if not isinstance(mapping, LoopTree) and is_file(mapping) and Path(mapping).is_file():
        deal = load_deal(mapping, cascade, machine)
    if deal is not None:
        from einsim.sim.dealing import deal_out  # simpy is only imported when it is needed

        dealt = deal_out(deal, cascade, machine, level=level)
        return Evaluation(result=dealt, cascade=cascade, how=DealtOut(machine=machine, deal=deal))
    chosen = find_mapping(cascade, machine, mapping)
    result = run_mapping(chosen, cascade, machine, level, long=long)
    return Evaluation(result=result, cascade=cascade, how=Mapped(machine=machine, mapping=chosen))


def run_mapping(
    mapping: LoopTree, cascade: Cascade, machine: Machine, level: Level, *, long: bool = False
) -> Result:
    """What a legal mapping costs; SpecError for a simulation that takes long and may not be `long`."""
    program = lower(mapping, cascade, machine)
    return analyse(program, machine) if level == "analytical" else simulated(program, machine, long=long)


def on_gpu(
    source: WorkloadSource, settings: Mapping[str, object], gpu: Gpu, variant: str | Path | LoopTree
) -> Evaluation:
    """The quickest kernel for a workload on a GPU, or the variant that is named; a workload that no kernel
    computes alone is computed by several.
    """
    # The kernels' descriptions are only imported when they are needed.
    from einsim.sim.gpu.joined import joined
    from einsim.sim.gpu.parts import parts
    from einsim.sim.gpu.realise import realise
    from einsim.sim.gpu.result import choose, result

    if isinstance(variant, LoopTree):
        raise SpecError("mapping", "a GPU runs kernels, which have no mapping", got=gpu.name)
    chosen = dict(settings)
    if source.leaves_passes_open(chosen):
        chosen["passes"] = KERNEL_PASSES
    cascade = source.build(chosen)
    try:
        found = realise(cascade)
    except SpecError:
        several = parts(cascade) if variant in (AUTO, TEMPLATE) else ()
        if len(several) < 2:
            raise
        whole = joined(several, gpu, cascade)
        how = Realised(machine=gpu, kernels=whole.kernels)
        return Evaluation(result=whole.result, cascade=cascade, how=how)
    kernel = choose(found.cases, gpu, AUTO if variant == TEMPLATE else str(variant))
    return Evaluation(
        result=result(kernel, gpu, cascade, found.notes),
        cascade=cascade,
        how=Realised(machine=gpu, kernels=(kernel.case,)),
    )


class SearchRequest(NamedTuple):
    """What `best_mapping` is asked for."""

    objective: Objective = "latency"
    within_bytes: float = math.inf
    budget_s: float = math.inf
    workers: int | None = None
    effort: Effort = "normal"
    starts: Sequence[LoopTree] = ()


def best_of(
    cascades: Sequence[Cascade], machine: Machine, search: SearchRequest, level: Level, *, long: bool = False
) -> Finalist:
    """The best mapping of several cascades of a function that the mapper, the default or a template gives: as
    simulated, or by the analytical model where that is the level.
    """
    # numba and simpy are only imported when they are needed
    from einsim.dataflow.mapper.best import best_mapping
    from einsim.finalists import TILES, compare

    objective, within_bytes, budget_s, workers, effort, starts = search
    return compare(
        cascades,
        machine,
        lambda cascade, beat: best_mapping(
            cascade, machine, objective, within_bytes=within_bytes, budget_s=budget_s,
            workers=workers or os.cpu_count() or 1, effort=effort, beat=beat,
            starts=[start for start in starts if start.cascade == cascade.name],
        ),
        objective,
        TILES[effort] if level == "sim" else 0,
        whole=patience(long=long),
        once=effort == "quick",
    ).best  # fmt: skip


def cascade_for(
    mapping: str | Path | LoopTree, source: WorkloadSource, settings: Mapping[str, object], machine: Machine
) -> Cascade:
    """The cascade of a workload that exists as several: the one that a mapping names, the one that suits the
    machine for "template", else the workload's own.
    """
    if not source.leaves_passes_open(settings):
        return source.build(settings)
    if mapping == TEMPLATE:
        return source.build({**settings, PASSES: preferred_passes(machine)})
    named = ""
    if isinstance(mapping, LoopTree):
        named = mapping.cascade
    elif is_file(mapping) and Path(mapping).is_file():  # a pipe is read once
        named = mapped_cascade(mapping)
    known = {cascade.name: cascade for cascade in source.every(settings)} if named else {}
    return known[named] if named in known else source.build(settings)


def is_file(mapping: str | Path) -> bool:
    """Whether a mapping is given by a file, not by a name."""
    path = Path(mapping)
    return path.suffix in {".yaml", ".yml"} or path.name != mapping


def find_mapping(cascade: Cascade, machine: Machine, mapping: str | Path | LoopTree) -> LoopTree:
    """The mapping that a user gives: "template", "auto", a YAML file, a template or a LoopTree; SpecError if
    there is none, or it is not legal.
    """
    if isinstance(mapping, LoopTree):
        check(mapping, cascade, machine)
        return mapping
    if is_file(mapping):
        return load_mapping(mapping, cascade, machine)
    if mapping == TEMPLATE:
        return build_mapping(cascade, machine)
    if mapping == AUTO:
        return best_of((cascade,), machine, SearchRequest(), "sim").mapping
    if mapping not in template_names():
        rule = "unknown mapping (template, auto, a template's name or a .yaml file)"
        hint = near(mapping, (TEMPLATE, AUTO, *template_names()))
        raise SpecError("", rule, got=mapping, where="--mapping", hint=hint)
    return build_mapping(cascade, machine, mapping)
