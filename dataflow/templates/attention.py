"""Which fused template suits each attention in a cascade on a machine, if any."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import Final

import msgspec

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.ends import Ends
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.structure import alike
from einsim.dataflow.templates.blocks import part_of
from einsim.dataflow.templates.flat import flat, listed
from einsim.dataflow.templates.fusemax import interleaved, on_flat
from einsim.dataflow.templates.listed import ends_of
from einsim.specs.errors import EinsimError
from einsim.specs.remembered import Remembered
from einsim.workloads.cascade import Cascade
from einsim.workloads.recognised import attentions


class Fused:
    """A template's mapping of some Einsums of a cascade, by their `names`."""

    def __init__(self, mapping: Mapping, cascade: Cascade, machine: Machine) -> None:
        used = {node.einsum for node in mapping.computes()}
        self.names = tuple(einsum.name for einsum in cascade.einsums if einsum.name in used)
        self.mapping, self.part, self.machine = mapping, part_of(cascade, self.names), machine

    @cached_property
    def ends(self) -> Ends | None:
        """Its bounds; None where it is no legal mapping whatever the memories hold."""
        carries = any(einsum.iterative for einsum in self.part.einsums)
        return ends_of(self.mapping, self.part, self.machine, exact=carries)


_FOUND: Final = Remembered[tuple[Fused, ...]](1000, len)


def fused_attention(cascade: Cascade, machine: Machine) -> tuple[Fused, ...]:
    """FuseMax's mapping of each 1-pass attention and FLAT's several of each 3-pass one, of these alone.

    Whether they fit is not asked.
    """
    structure, key = alike(machine)
    room = tuple(memory.capacity_bytes for memory in machine.memories)
    return _FOUND.get(
        (cascade, machine.name, key, room),
        lambda: tuple(Fused(one, cascade, structure) for one in _mappings(cascade, machine)),
    )


def _mappings(cascade: Cascade, machine: Machine) -> tuple[Mapping, ...]:
    if not machine.matrix_units or not machine.vector_units:
        return ()
    found: list[Mapping] = []
    for one in attentions(cascade, 1):
        template = interleaved if does_softmax(machine.matrix_units[0]) else on_flat
        with suppress(EinsimError):
            found.append(template(cascade, machine, one))
    for one in attentions(cascade, 3):
        if one.size("p") > 1 and _planar(machine.matrix_units[0]):
            for choice in listed(one, machine):
                with suppress(EinsimError):
                    found.append(flat(cascade, machine, one=one, **msgspec.structs.asdict(choice)))
    return tuple(found)


def _planar(unit: Unit) -> bool:
    return unit.kind == "array" and set(unit.dims) == {"rows", "cols"}


def does_softmax(unit: Unit) -> bool:
    """Whether a matrix unit computes all of a tile's softmax itself, as FuseMax's array does."""
    able = all(unit.supports(op) for op in ("max", "exp", "add"))
    return able and _planar(unit) and unit.registers is not None
