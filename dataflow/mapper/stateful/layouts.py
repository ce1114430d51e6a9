"""What ties the layouts of a stateful group together: where an Einsum lays a tensor, and who finds it there.

A two-dimensional array is reached from its edges: a value that enters or leaves there is shared by, or summed
over, a whole row or column. Values that differ from PE to PE stay in the PEs' registers. So:

- every dimension of a unit gets a rank ("full" layouts; "any" also lets an Einsum use a single row);
- what is reduced in space lies along the rows, for which machines give their reduction latency;
- an Einsum that does not contract, and so uses each operand once, finds an operand that lies along both
  dimensions in the array's registers ("full" only);
- registers serve a reader on the same unit that lays the tensor's ranks as its maker does.
"""

from __future__ import annotations

from einsim.accel.machine import Machine
from einsim.dataflow.footprint import relevant_ranks
from einsim.dataflow.mapping import Compute
from einsim.workloads.cascade import Cascade, Einsum

#: A unit's name and, for each dimension that a rank of a tensor lies along, all ranks along it.
Spread = tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]


def key_of(node: Compute) -> tuple[str, str, str, tuple[tuple[str, tuple[str, ...]], ...]]:
    """What tells nodes apart, to be used as a key."""
    return node.einsum, node.unit, node.stationarity, tuple(node.spatial.items())


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
