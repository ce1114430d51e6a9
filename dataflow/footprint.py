"""How many elements and bytes of a tensor a tile touches."""

from __future__ import annotations

import math
from collections.abc import Mapping

from einsim.accel.machine import Machine
from einsim.workloads.cascade import Access, Cascade, Einsum, Tensor
from einsim.workloads.sparsity import dense_bytes, stored_bytes


def iterative_ranks(cascade: Cascade, tensor: str) -> tuple[str, ...]:
    """Ranks along which the tensor's producer carries state from one iteration to the next."""
    producer = cascade.producer(tensor)
    return producer.iterative if producer is not None else ()


def relevant_ranks(cascade: Cascade, access: Access) -> frozenset[str]:
    """Ranks whose position decides which elements the access touches; the state's own rank is left out."""
    state = iterative_ranks(cascade, access.tensor)
    return frozenset(term.rank for index in access.indices for term in index.terms if term.rank not in state)


def elements(cascade: Cascade, access: Access, extents: Mapping[str, int]) -> int:
    """Distinct elements that an access touches while each rank runs over `extents` points."""
    state = set(iterative_ranks(cascade, access.tensor))
    shape = cascade.shape(access.tensor)
    count = 1
    for index, size in zip(access.indices, shape, strict=True):
        if any(term.rank in state for term in index.terms):
            continue
        reach = 1 + sum(
            abs(term.coefficient) * (extents.get(term.rank, cascade.size(term.rank)) - 1)
            for term in index.terms
        )
        count *= min(size, reach)
    return count


def runs(cascade: Cascade, machine: Machine, access: Access, extents: Mapping[str, int]) -> tuple[int, int]:
    """(bytes of a tile that lie side by side, bytes from one such run to the next); (0, 0) for a single run.

    Only a timed DRAM asks for it; on other machines it is (0, 0) too. Tensors are stored in the order of
    their dimensions; one that is kept compressed is stored tile by tile.
    """
    tensor = cascade.tensor(access.tensor)
    if not machine.dram.timing or compressed(machine, tensor):
        return 0, 0
    shape = cascade.shape(access.tensor)
    reach = []
    for index, size in zip(access.indices, shape, strict=True):
        steps = (abs(t.coefficient) * (extents.get(t.rank, cascade.size(t.rank)) - 1) for t in index.terms)
        reach.append(min(size, 1 + sum(steps)))
    run = pitch = 1
    for dim in range(len(shape) - 1, -1, -1):
        run, pitch = run * reach[dim], pitch * shape[dim]
        if reach[dim] < shape[dim]:
            outer = any(points > 1 for points in reach[:dim])
            return (dense_bytes(tensor, run), dense_bytes(tensor, pitch)) if outer else (0, 0)
    return 0, 0


def steps(cascade: Cascade, machine: Machine, access: Access) -> tuple[tuple[str, int], ...]:
    """Bits that a tile moves on in its tensor for each point of a rank; only a timed DRAM asks for it.

    A tensor that is kept compressed moves on by what it stores on average.
    """
    if not machine.dram.timing:
        return ()
    tensor, shape = cascade.tensor(access.tensor), cascade.shape(access.tensor)
    state = iterative_ranks(cascade, access.tensor)
    pitch, found = tensor.bits, dict[str, int]()
    if compressed(machine, tensor):
        pitch = max(1, 8 * stored_bytes(tensor, math.prod(shape)) // math.prod(shape))
    for index, size in zip(reversed(access.indices), reversed(shape), strict=True):
        for term in index.terms:
            if term.rank not in state:
                found[term.rank] = found.get(term.rank, 0) + term.coefficient * pitch
        pitch *= size
    return tuple(found.items())


def compressed(machine: Machine, tensor: Tensor) -> bool:
    """Whether the machine keeps this tensor compressed: where some unit exploits its pattern."""
    return any(pattern in unit.exploits for unit in machine.units for pattern in tensor.sparsity.patterns)


def tile_bytes(cascade: Cascade, machine: Machine, access: Access, extents: Mapping[str, int]) -> int:
    """Bytes that the tile takes on this machine: values and metadata where it keeps the tensor compressed."""
    tensor = cascade.tensor(access.tensor)
    count = elements(cascade, access, extents)
    return stored_bytes(tensor, count) if compressed(machine, tensor) else dense_bytes(tensor, count)


def access_of(einsum: Einsum, tensor: str) -> Access:
    """The Einsum's access to a tensor: its output, or the first read of it."""
    if einsum.output.tensor == tensor:
        return einsum.output
    return next(access for access in einsum.reads if access.tensor == tensor)
