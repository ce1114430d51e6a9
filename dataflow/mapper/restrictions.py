"""Restrictions of a map space, checked: every name that they use exists."""

from __future__ import annotations

from collections.abc import Mapping

from einsim.accel.machine import Machine
from einsim.dataflow.holds import paths, roles_of
from einsim.dataflow.mapper.nest import alike
from einsim.dataflow.mapper.tiles import MENUS
from einsim.dataflow.spatial import placements
from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workloads.cascade import Cascade


def check_restrictions(
    cascade: Cascade,
    machine: Machine,
    menu: str,
    most_fused: int,
    keep: Mapping[str, str],
    order: Mapping[str, tuple[str, ...]],
    unit: Mapping[str, str],
) -> None:
    """Raise SpecError for a menu, tensor, memory, Einsum, unit or rank that does not exist, and for a memory
    in which no unit could find a tensor.
    """
    einsums = [einsum.name for einsum in cascade.einsums]
    units = [one.name for one in machine.units]
    memories = [memory.name for memory in machine.memories if memory.parent]
    if menu not in MENUS:
        raise SpecError("space.menu", "unknown menu", got=menu, hint=near(menu, MENUS))
    if most_fused < 1:
        raise SpecError("space.most_fused", "must be >= 1", got=most_fused)
    _known("keep", keep, [tensor.name for tensor in cascade.tensors])
    _known("order", order, einsums)
    _known("unit", unit, einsums)
    for name, asked in unit.items():
        if asked not in units:
            raise SpecError(f"space.unit.{name}", "unknown unit", got=asked, hint=near(asked, units))
    for name, asked in keep.items():
        if asked not in memories:
            raise SpecError(f"space.keep.{name}", "unknown memory", got=asked, hint=near(asked, memories))
        there = _found_in(cascade, machine, name, unit)
        if asked not in there:
            rule = "must be a memory on the way to a unit that uses it"
            raise SpecError(f"space.keep.{name}", rule, got=asked, hint=f"those are {', '.join(there)}")
    for name, ranks in order.items():
        real = {rank for rank in cascade.einsum(name).ranks if cascade.size(rank) > 1}
        if set(ranks) != real or len(ranks) != len(real):
            rule = f"must name each of {', '.join(sorted(real))} once"
            raise SpecError(f"space.order.{name}", rule, got=", ".join(ranks))


def _found_in(cascade: Cascade, machine: Machine, tensor: str, unit: Mapping[str, str]) -> list[str]:
    """On-chip memories on some way to a unit that may compute an Einsum which uses a tensor."""
    users = (e for e in cascade.einsums if tensor in (e.name, *(read.tensor for read in e.reads)))
    looked = {
        (node.unit, roles_of(machine.unit(node.unit), node, einsum)[tensor])
        for einsum in users
        for node in placements(cascade, machine, einsum, unit.get(einsum.name, ""))
    }
    ways = (way for name, role in looked for way in paths(machine, name, role))
    found = {name for way in ways for name in way}
    return [memory.name for memory in machine.memories if memory.name in found]


def _known(path: str, given: Mapping[str, object], names: list[str]) -> None:
    for name in given:
        if name not in names:
            raise SpecError(f"space.{path}", "unknown name", got=name, hint=near(name, names))


def check_resident(cascade: Cascade, resident: tuple[str, ...], global_buffer: str) -> None:
    """Raise SpecError for a resident that is an output or that nobody reads, one that readers index
    differently, or that has no place.
    """
    useful = [
        tensor.name for tensor in cascade.tensors
        if not cascade.is_output(tensor.name)
        and (cascade.producer(tensor.name) or alike(cascade, tensor.name, cascade.einsums))
    ]  # fmt: skip
    for name in resident:
        if name not in useful:
            rule = "must be a result that an Einsum reads, or an input that several read alike"
            raise SpecError("space.resident", rule, got=name, hint=near(name, useful))
    if resident and not global_buffer:
        raise SpecError(
            "space.resident", "the units of this machine share no on-chip memory", got=resident[0]
        )
