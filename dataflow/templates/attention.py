"""Which fused template suits each attention in a cascade on a machine, if any."""

from __future__ import annotations

from contextlib import suppress

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.templates.flat import choices, flat
from einsim.dataflow.templates.fusemax import interleaved, on_flat
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade
from einsim.workloads.recognised import attentions


def fused_attention(cascade: Cascade, machine: Machine) -> tuple[Mapping, ...]:
    """FuseMax's mapping of each 1-pass attention and FLAT's several of each 3-pass one, of these alone.

    Whether they fit is not asked.
    """
    if not machine.matrix_units or not machine.vector_units:
        return ()
    found: list[Mapping] = []
    for one in attentions(cascade, 1):
        template = interleaved if does_softmax(machine.matrix_units[0]) else on_flat
        with suppress(EinsimError):
            found.append(template(cascade, machine, one))
    for one in attentions(cascade, 3):
        if one.size("p") > 1 and not one.masks and _planar(machine.matrix_units[0]):
            for choice in choices(one, machine):
                with suppress(EinsimError):
                    found.append(flat(cascade, machine, choice, one=one))
    return tuple(found)


def _planar(unit: Unit) -> bool:
    return unit.kind == "array" and set(unit.dims) == {"rows", "cols"}


def does_softmax(unit: Unit) -> bool:
    """Whether a matrix unit computes all of a tile's softmax itself, as FuseMax's array does."""
    able = all(unit.supports(op) for op in ("max", "exp", "add"))
    return able and _planar(unit) and unit.registers is not None
