"""Units and layouts of an Einsum inside a stateful group, and what ties the layouts of a group together.

A two-dimensional array is reached from its edges: a value that enters or leaves there is shared by, or summed
over, a whole row or column. Values that differ from PE to PE stay in the PEs' registers. So:

- every dimension of a unit gets a rank ("full" layouts; "any" also lets an Einsum use a single row);
- what is reduced in space lies along the rows, for which machines give their reduction latency;
- an Einsum that does not contract, and so uses each operand once, finds an operand that lies along both
  dimensions in the array's registers ("full" only);
- registers serve a reader on the same unit that lays the tensor's ranks as its maker does.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal

import msgspec

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.footprint import relevant_ranks
from einsim.dataflow.mapping import Compute
from einsim.dataflow.templates.gemm import levels
from einsim.dataflow.templates.roles import layouts
from einsim.workloads.cascade import Cascade, Einsum

Layouts = Literal["full", "any"]

#: A unit's name and, for each dimension that a rank of a tensor lies along, all ranks along it.
Spread = tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]


def key_of(node: Compute) -> tuple[str, str, str, tuple[tuple[str, tuple[str, ...]], ...]]:
    """What tells nodes apart, to be used as a key."""
    return node.einsum, node.unit, node.stationarity, tuple(node.spatial.items())


def nodes(
    cascade: Cascade, machine: Machine, einsum: Einsum, step: str, kind: Layouts
) -> tuple[Compute, ...]:
    """Every unit with the Einsum's ops and an on-chip memory, with every sensible layout on it."""
    found: list[Compute] = []
    for unit in machine.units:
        if all(map(unit.supports, einsum.ops)) and levels(machine, unit.reads_from):
            found += (node for node in _on(cascade, unit, einsum, step, kind) if node not in found)
    return tuple(found)


def _on(cascade: Cascade, unit: Unit, einsum: Einsum, step: str, kind: Layouts) -> Iterator[Compute]:
    ranks = tuple(rank for rank in einsum.ranks if rank != step and cascade.size(rank) > 1)
    if unit.kind == "array" and set(unit.dims) == {"rows", "cols"}:
        for rows, cols in itertools.permutations(ranks, 2):
            if cols in einsum.reduced:
                continue
            yield Compute(einsum=einsum.name, unit=unit.name, spatial={"rows": (rows,), "cols": (cols,)})
        if kind == "any" or not ranks:
            for dim, rank in itertools.product(("rows", "cols"), ranks):
                if dim == "cols" and rank in einsum.reduced:
                    continue
                yield Compute(einsum=einsum.name, unit=unit.name, spatial={dim: (rank,)})
            if not ranks:
                yield Compute(einsum=einsum.name, unit=unit.name)
        return
    if len(unit.dims) == 1:
        dim = next(iter(unit.dims))
        still = tuple(rank for rank in einsum.output.ranks if rank in ranks)
        for choice in dict.fromkeys([*((rank,) for rank in ranks), still]):
            yield Compute(einsum=einsum.name, unit=unit.name, spatial={dim: choice} if choice else {})
        return
    for node in layouts(cascade, unit, einsum):
        spatial = {dim: tuple(rank for rank in along if rank != step) for dim, along in node.spatial.items()}
        spatial = {dim: along for dim, along in spatial.items() if along}
        yield msgspec.structs.replace(node, spatial=spatial)


def spread(cascade: Cascade, node: Compute, einsum: Einsum, tensor: str) -> Spread:
    """How an Einsum lays a tensor over its unit."""
    ranks: frozenset[str] = frozenset()
    for access in (einsum.output, *einsum.reads):
        if access.tensor == tensor:
            ranks |= relevant_ranks(cascade, access)
    along = ((dim, placed) for dim, placed in sorted(node.spatial.items()) if ranks & set(placed))
    return node.unit, tuple(along)


def needs_registers(machine: Machine, node: Compute, einsum: Einsum, how: Spread) -> bool:
    """Whether an operand laid like this must be in the unit's registers: no edge brings it in."""
    unit = machine.unit(node.unit)
    planar = unit.kind == "array" and len(unit.dims) > 1
    return planar and not einsum.contracts and len(how[1]) > 1
