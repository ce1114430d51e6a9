"""A machine written out in full: memories and units by name, nothing derived."""

from __future__ import annotations

from typing import Annotated

import msgspec

from einsim.accel.composed import completed
from einsim.accel.machine import Machine, Memory, Unit, UnitKind
from einsim.accel.written import Count, Name, WrittenLanes, WrittenMachine, WrittenPort
from einsim.specs.errors import below
from einsim.specs.units import Bytes


class GenericMemory(WrittenPort, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One memory, or `copies` of it, one in each core; the one without a parent is DRAM."""

    parent: Name | None = None
    capacity: Bytes | None = None
    copies: Count = 1


class GenericUnit(WrittenLanes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One unit with its shape and the memory that feeds it."""

    kind: UnitKind
    dims: Annotated[dict[Name, Count], msgspec.Meta(min_length=1)]
    reads_from: Name


class Generic(WrittenMachine, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`machine: NAME` with memories and units by name."""

    machine: Name
    memories: Annotated[dict[Name, GenericMemory], msgspec.Meta(min_length=1)]
    units: Annotated[dict[Name, GenericUnit], msgspec.Meta(min_length=1)]
    multicast: bool = True


def derive(spec: Generic, name: str) -> Machine:
    """The machine as written; vector units that can, get the ops they lack as compositions."""
    memories: list[Memory] = []
    for memory_name, memory in spec.memories.items():
        made = memory.memory(
            memory_name, parent=memory.parent, capacity=memory.capacity, copies=memory.copies
        )
        memories.append(made)
    units: list[Unit] = []
    assumed = list(spec.assumed)
    for unit_name, unit in spec.units.items():
        ops, added = completed(unit.costs()) if unit.kind == "vector" else (unit.costs(), ())
        assumed += [f"units.{unit_name}.ops.{op}" for op in added]
        with below("units", unit_name):
            units.append(
                unit.unit(unit_name, kind=unit.kind, dims=unit.dims, reads_from=unit.reads_from, ops=ops)
            )
    return Machine(
        name=spec.machine or name,
        family="generic",
        clock_hz=float(spec.clock),
        memories=tuple(memories),
        units=tuple(units),
        leakage_w=float(spec.leakage),
        noc=spec.noc.noc(multicast=spec.multicast) if spec.noc else None,
        multicast=spec.multicast,
        technology=spec.technology,
        sources=spec.sources,
        assumed=tuple(assumed),
    )
