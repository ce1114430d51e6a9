"""One evaluation from names to a result: workload, machine, mapping, tile program, figures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from einsim.accel.gpu.machine import Gpu, is_gpu, load_gpu
from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Mapping as LoopTree
from einsim.dataflow.mapping_file import load_mapping
from einsim.dataflow.result import Result
from einsim.dataflow.templates import build_mapping, preferred_passes, template_names
from einsim.machine_keys import machine_keys
from einsim.settings import split
from einsim.sim.gpu.case import KernelCase
from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workload import Source, find_workload
from einsim.workloads.cascade import Cascade

TEMPLATE = "template"
AUTO = "auto"
KERNEL_PASSES = "1"  # of attention on a GPU, unless something else is asked for: the fused kernel

Level = Literal["analytical", "sim"]
LEVELS: tuple[Level, ...] = ("analytical", "sim")


class Mapped(msgspec.Struct, frozen=True, kw_only=True):
    """How a machine of units computes a cascade: by a LoopTree."""

    machine: Machine
    mapping: LoopTree


class Realised(msgspec.Struct, frozen=True, kw_only=True):
    """How a GPU computes a cascade: by a kernel."""

    machine: Gpu
    kernel: KernelCase


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """A result with what it was computed from: a cascade, and how its machine computes it."""

    result: Result
    cascade: Cascade
    how: Mapped | Realised

    @property
    def machine(self) -> Machine | Gpu:
        """The machine, `--set` and all."""
        return self.how.machine

    @property
    def mapped(self) -> Mapped:
        """The machine with its mapping, where the machine has units; SpecError for a kernel on a GPU."""
        if isinstance(self.how, Realised):
            raise SpecError("accel", "is a GPU: a kernel has no mapping or trace", got=self.result.accel)
        return self.how


def evaluate(
    workload: str,
    accel: str,
    *,
    settings: Mapping[str, str] | None = None,
    mapping: str = TEMPLATE,
    level: Level = "sim",
) -> Evaluation:
    """What `workload` costs on `accel`.

    `workload` is a library name, a cascade's YAML file or a Hugging Face config.json; `accel` a preset name
    or a YAML file; `settings` what `--set` takes; `mapping` a YAML file, a template's name, "template": the
    one that suits, at once, or "auto": the fastest that the mapper finds, in seconds. A workload that exists
    as several cascades (attention in 3, 2 or 1 passes) is with "auto" the fastest of them, else the one that
    suits the machine. A GPU has kernels instead of mappings and one model of them whatever the level;
    `mapping` is then a variant's name, or any of these words for the quickest. SpecError for whatever is
    wrong.
    """
    source = find_workload(workload)
    for_workload, for_machine = split(settings or {}, source.keys, machine_keys(accel))
    if is_gpu(accel):
        return on_gpu(source, for_workload, load_gpu(accel, for_machine), mapping)
    machine = load_machine(accel, for_machine)
    if mapping == AUTO:
        cascade, chosen = fastest(source.every(for_workload), machine)
    else:
        if mapping == TEMPLATE and source.leaves_passes_open(for_workload):
            for_workload["passes"] = str(preferred_passes(machine))
        cascade = source.build(for_workload)
        chosen = find_mapping(cascade, machine, mapping)
    program = lower(chosen, cascade, machine)
    if level == "analytical":
        result = analyse(program, machine)
    else:
        from einsim.sim.engine import simulate  # simpy is only imported when it is needed

        result = simulate(program, machine)
    return Evaluation(result=result, cascade=cascade, how=Mapped(machine=machine, mapping=chosen))


def on_gpu(source: Source, settings: Mapping[str, str], gpu: Gpu, variant: str) -> Evaluation:
    """The quickest kernel for a workload on a GPU, or the variant that is named."""
    from einsim.sim.gpu.realise import (
        realise,
    )  # the kernels' descriptions are only imported when needed
    from einsim.sim.gpu.result import choose, result

    chosen = dict(settings)
    if source.leaves_passes_open(chosen):
        chosen["passes"] = KERNEL_PASSES
    cascade = source.build(chosen)
    found = realise(cascade)
    kernel = choose(found.cases, gpu, AUTO if variant == TEMPLATE else variant)
    return Evaluation(
        result=result(kernel, gpu, cascade.name, found.notes),
        cascade=cascade,
        how=Realised(machine=gpu, kernel=kernel.case),
    )


def fastest(cascades: Sequence[Cascade], machine: Machine) -> tuple[Cascade, LoopTree]:
    """The one of several cascades of a function that maps best, with the mapping that the mapper finds."""
    from einsim.dataflow.mapper.best import best_mapping, better  # numba is only imported when it is needed
    from einsim.dataflow.mapper.compare import compare

    found = compare(
        cascades,
        machine,
        lambda cascade: best_mapping(cascade, machine, "latency", workers=os.cpu_count() or 1),
        lambda one, other: better(one, other, "latency"),
        by_latency=True,
    )
    answer = found[0].answer
    assert answer is not None  # the first is never left out
    return found[0].cascade, answer.mapping


def find_mapping(cascade: Cascade, machine: Machine, mapping: str) -> LoopTree:
    """The mapping that a user names: "template", "auto", a YAML file or a template; SpecError if there is
    none.
    """
    path = Path(mapping)
    if path.suffix in {".yaml", ".yml"} or path.name != mapping:
        return load_mapping(path, cascade, machine)
    if mapping == TEMPLATE:
        return build_mapping(cascade, machine)
    if mapping == AUTO:
        return fastest((cascade,), machine)[1]
    if mapping not in template_names():
        rule = "unknown mapping (template, auto, a template's name or a .yaml file)"
        hint = near(mapping, (TEMPLATE, AUTO, *template_names()))
        raise SpecError("", rule, got=mapping, where="--mapping", hint=hint)
    return build_mapping(cascade, machine, mapping)
