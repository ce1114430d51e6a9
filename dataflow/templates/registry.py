"""The templates by name, and which one suits."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.legality import check
from einsim.dataflow.mapping import Mapping as LoopTree
from einsim.dataflow.templates import flat, fusemax
from einsim.dataflow.templates.attention import does_softmax
from einsim.dataflow.templates.layerwise import resident, unfused
from einsim.dataflow.templates.rowwise import rowwise
from einsim.dataflow.templates.staged import staged
from einsim.specs.errors import EinsimError, SpecError
from einsim.specs.near import near
from einsim.specs.registry import Registry
from einsim.workloads.cascade import Cascade

Menus = Mapping[str, Sequence[Hashable]]


def nothing(cascade: Cascade, machine: Machine) -> Menus:
    """The menus of a template that leaves nothing open."""
    return {}


class Template(msgspec.Struct, frozen=True):
    """A builder of mappings, one line on what it builds, and `menus` of what it leaves open.

    `build(cascade, machine, name=value, ...)` is the mapping of a choice; what is not said is the template's
    own rule's. Both raise EinsimError where the template can't apply.
    """

    build: Callable[..., LoopTree]
    summary: str
    menus: Callable[[Cascade, Machine], Menus] = nothing


TEMPLATES: Final = Registry(
    "template",
    {
        "unfused": Template(unfused, "each contraction and each softmax or norm on its own, through DRAM"),
        "resident": Template(resident, "like unfused, but intermediates that fit stay on chip"),
        "staged": Template(staged, "an op at a time, operands brought whole into the near memory (XLA)"),
        "row-stationary": Template(rowwise, "a convolution on PEs that keep its rows (Eyeriss)"),
        "flat": Template(flat.flat, "3-pass attention fused over row blocks (FLAT)", flat.menus),
        "fusemax-interleaved": Template(
            fusemax.interleaved, "1-pass attention, tiles software-pipelined over both arrays (FuseMax)"
        ),
        "fusemax-stalled": Template(
            fusemax.stalled, "1-pass attention, one tile at a time (FuseMax without interleaving)"
        ),
        "fusemax-on-flat": Template(fusemax.on_flat, "1-pass attention with softmax on the vector unit"),
    },
    reserved=lambda: ("template", "auto", "mapper", "file"),
)


def template_names() -> tuple[str, ...]:
    """Names that `build_mapping` takes, besides "template"."""
    return tuple(TEMPLATES)


def open_templates() -> tuple[str, ...]:
    """Names of those that leave something open."""
    return tuple(name for name, template in TEMPLATES.items() if template.menus is not nothing)


def template_summary(name: str) -> str:
    """One line on a template."""
    return TEMPLATES[name].summary


def build_mapping(cascade: Cascade, machine: Machine, template: str = "template") -> LoopTree:
    """A legal mapping of the cascade. SpecError for an unknown template, EinsimError where it can't apply."""
    if template == "template":
        mapping = suiting(cascade, machine)
    elif template in TEMPLATES:
        mapping = TEMPLATES[template].build(cascade, machine)
    else:
        hint = near(template, (*TEMPLATES, "template"))
        raise SpecError("", "unknown template", got=template, where="--mapping", hint=hint)
    check(mapping, cascade, machine)
    return mapping


def suiting(cascade: Cascade, machine: Machine) -> LoopTree:
    """What suits: what the machine's compiler does, as far as the template that it names applies. SpecError
    where there is no such template.
    """
    if not machine.compiler:
        return resident(cascade, machine)
    if machine.compiler not in TEMPLATES:
        hint = near(machine.compiler, TEMPLATES)
        raise SpecError(
            "accel.compiler", "unknown template", got=machine.compiler, where=machine.name, hint=hint
        )
    try:
        mapping = TEMPLATES[machine.compiler].build(cascade, machine)
        check(mapping, cascade, machine)
    except EinsimError:
        return resident(cascade, machine)
    return mapping


def preferred_passes(machine: Machine) -> int:
    """Passes over the keys of the attention that suits a machine: 1 where its array does all of softmax."""
    return 1 if any(does_softmax(unit) for unit in machine.matrix_units) else 3
