"""Legality: a mapping computes every Einsum once, from operands that are there, in memories that hold them."""

from __future__ import annotations

from accel.machine import Machine
from dataflow.layout import Layout, Leaf, lay_out
from dataflow.lower import held_bytes
from dataflow.mapping import Keep, Loop, Mapping, walk
from dataflow.sites import NOWHERE, Sites
from specs.errors import SpecError
from specs.near import near
from workloads.cascade import Cascade
from workloads.passes import pass_of


def check(mapping: Mapping, cascade: Cascade, machine: Machine, sites: Sites = NOWHERE) -> None:
    """Raise SpecError for the first rule that the mapping breaks; `sites` says where its nodes were written."""
    _names(mapping, cascade, machine)
    layout = lay_out(mapping, cascade)
    _once(layout, cascade)
    for leaf in layout.leaves:
        _unit(leaf, cascade, machine)
    _order(layout, cascade)
    _passes(layout, cascade)
    _capacity(mapping, layout, cascade, machine)


def _names(mapping: Mapping, cascade: Cascade, machine: Machine) -> None:
    ranks = [rank.name for rank in cascade.ranks]
    tensors = [tensor.name for tensor in cascade.tensors]
    places = [memory.name for memory in machine.memories] + [unit.name for unit in machine.units]
    for node, above in walk(mapping.tree):
        if isinstance(node, Loop):
            _known(node.rank, ranks, "mapping.for", "rank")
            if node.tile < 1:
                raise SpecError("mapping.tile", "must be >= 1", got=node.tile)
            outer = next((n.tile for n in reversed(above) if isinstance(n, Loop) and n.rank == node.rank), None)
            limit = cascade.size(node.rank) if outer is None else outer
            if node.tile > limit:
                raise SpecError("mapping.tile", f"a tile of {node.rank} must be <= {limit} here", got=node.tile)
        elif isinstance(node, Keep):
            for tensor in node.tensors:
                _known(tensor, tensors, "mapping.keep", "tensor")
            _known(node.memory, places, "mapping.in", "memory")
            if node.buffers < 1:
                raise SpecError("mapping.buffers", "must be >= 1", got=node.buffers)
            if not 0 <= node.spill < 1:
                raise SpecError("mapping.spill", "must be >= 0 and < 1", got=node.spill)


def _known(name: str, names: list[str], path: str, kind: str) -> None:
    if name not in names:
        raise SpecError(path, f"unknown {kind}", got=name, hint=near(name, names))


def _once(layout: Layout, cascade: Cascade) -> None:
    names = [einsum.name for einsum in cascade.einsums]
    seen: set[str] = set()
    for leaf in layout.leaves:
        name = leaf.node.einsum
        _known(name, names, "mapping.compute", "Einsum")
        if name in seen:
            raise SpecError("mapping.compute", f"Einsum {name} is computed twice")
        seen.add(name)
    for name in names:
        if name not in seen:
            raise SpecError("mapping", f"Einsum {name} is not computed by any leaf")


def _unit(leaf: Leaf, cascade: Cascade, machine: Machine) -> None:
    node = leaf.node
    _known(node.unit, [unit.name for unit in machine.units], "mapping.on", "unit")
    unit = machine.unit(node.unit)
    einsum = cascade.einsum(node.einsum)
    for op in einsum.ops:
        if not unit.supports(op):
            raise SpecError(
                f"mapping.compute {node.einsum}", f"unit {unit.name} has no op '{op}'", hint=near(op, tuple(unit.ops))
            )
    placed: set[str] = set()
    for dim, ranks in node.spatial.items():
        _known(dim, list(unit.dims), f"mapping.compute {node.einsum}", "dimension")
        for rank in ranks:
            if rank not in einsum.ranks:
                raise SpecError(
                    f"mapping.compute {node.einsum}.{dim}", "the Einsum does not iterate this rank", got=rank,
                    hint=near(rank, einsum.ranks),
                )  # fmt: skip
            if rank in placed:
                raise SpecError(f"mapping.compute {node.einsum}.{dim}", "this rank is placed twice", got=rank)
            placed.add(rank)
    for tensor in (*(access.tensor for access in einsum.reads), einsum.name):
        homes = leaf.homes.get(tensor, ())
        near_enough = homes and homes[-1].memory in (unit.reads_from, unit.name, *_outside(machine, unit.reads_from))
        if not near_enough and tensor not in node.chained and unit.reads_from != machine.dram.name:
            where = f"is in {homes[-1].memory}" if homes else "is in DRAM only"
            raise SpecError(
                f"mapping.compute {node.einsum}", f"operand {tensor} {where}, but unit {unit.name} reads from "
                f"{unit.reads_from}", hint=f"keep {tensor} in {unit.reads_from} above it",
            )  # fmt: skip


def _outside(machine: Machine, memory: str) -> list[str]:
    """On-chip memories outside a memory: a unit may stream through from them."""
    found = []
    here = machine.memory(memory).parent
    while here is not None and here != machine.dram.name:
        found.append(here)
        here = machine.memory(here).parent
    return found


def _order(layout: Layout, cascade: Cascade) -> None:
    done: set[str] = set()
    for leaf in layout.leaves:
        einsum = cascade.einsum(leaf.node.einsum)
        for access in einsum.reads:
            producer = cascade.producer(access.tensor)
            if producer is None or access.tensor == einsum.name or access.tensor in done:
                continue
            if any(rank in producer.iterative for index in access.indices for rank in (t.rank for t in index.terms)):
                continue  # state of an earlier step
            raise SpecError(f"mapping.compute {einsum.name}", f"reads {access.tensor} before it is computed")
        done.add(einsum.name)


def _passes(layout: Layout, cascade: Cascade) -> None:
    """Einsums in different passes of a rank can't share a loop over it: one needs all of what the other makes."""
    by_rank: dict[str, dict[str, int]] = {}
    for number, leaf in enumerate(layout.leaves):
        for other in layout.leaves[:number]:
            for mine, theirs in zip(leaf.path, other.path, strict=False):
                if mine != theirs:
                    break
                for rank in layout.loops[mine].ranks:
                    if rank not in by_rank:
                        by_rank[rank] = dict(pass_of(cascade, rank))
                    passes = by_rank[rank]
                    a, b = passes.get(other.node.einsum), passes.get(leaf.node.einsum)
                    if a is not None and b is not None and a != b and layout.loops[mine].count > 1:
                        raise SpecError(
                            f"mapping.compute {leaf.node.einsum}",
                            f"is in pass {b} over {rank} and {other.node.einsum} in pass {a}: they can't share a loop "
                            f"over {rank}",
                        )


def _capacity(mapping: Mapping, layout: Layout, cascade: Cascade, machine: Machine) -> None:
    for name, size in held_bytes(mapping, layout, cascade, machine).items():
        units = [unit for unit in machine.units if unit.name == name]
        if units:
            registers = units[0].registers
            capacity = registers.bytes_per_pe * units[0].pes if registers is not None else 0
        else:
            capacity = machine.memory(name).capacity_bytes or 2**62
        if size > capacity:
            raise SpecError("mapping", f"needs {size} bytes in {name}, which has {capacity}", hint="use smaller tiles")
