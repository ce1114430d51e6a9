"""For which Einsums and layouts the compiled model is exact, and the patterns that it counts."""

from __future__ import annotations

from einsim.accel.machine import Machine
from einsim.dataflow.cores import cores_ranks
from einsim.dataflow.forms import coded, compressed
from einsim.dataflow.leaf import sparse_rank
from einsim.dataflow.mapper.band import alone, band_of, inexact
from einsim.dataflow.mapper.nest import operands, plain, shifts
from einsim.dataflow.mapping import Compute
from einsim.dataflow.mask import mask_of
from einsim.workloads.cascade import Access, Cascade, Einsum
from einsim.workloads.sparsity import NM, Sparsity, TopK


def simple(cascade: Cascade, machine: Machine, einsum: Einsum) -> str:
    """Why the fast model is not exact for an Einsum, or "" where it is: indices of one rank, its digits or
    two ranks' sum, whole dense bytes, bounds that are a band.
    """
    if reason := inexact(cascade, machine, einsum):
        return reason
    for access in einsum.reads:
        every = {mask_of(cascade, reader.ranks).bounds for reader in cascade.consumers(access.tensor)}
        if len(every) > 1:
            return f"{access.tensor} is read under different bounds"
    for operand in operands(cascade, einsum)[:-1]:
        reads = (access for access in einsum.reads if access.tensor == operand.tensor)
        if not operand.mirrored and len({_still(cascade, access) for access in reads}) > 1:
            return "a tensor read in two ways"
    for access in (*einsum.reads, einsum.output):
        tensor = cascade.tensor(access.tensor)
        if uncounted(cascade, machine, einsum, access):
            return f"{tensor.name} has a pattern whose bytes or points are not products"
        if not plain(cascade, access) and (access == einsum.output or shifts(cascade, access) is None):
            return f"{tensor.name} is read with shifted or partial indices"
    return "" if einsum.reads else "it reads nothing"


def counted(cascade: Cascade, machine: Machine, einsum: Einsum, node: Compute) -> bool:
    """Whether the fast model knows the steps of tiles of a layout: ranks that bounds tie lie by themselves,
    no two that an index adds lie along the unit, nor one along cores with memories of their own, nor one of
    which each read has the other point, too.
    """
    band = band_of(cascade, machine, einsum)
    own = any(memory.copies > 1 for memory in machine.memories)
    placed = {rank for ranks in node.spatial.values() for rank in ranks}
    pairs = [{near, far} for read in einsum.reads for near, (far, _) in (shifts(cascade, read) or {}).items()]
    beside = any(pair <= placed or (own and pair & {*cores_ranks(node)}) for pair in pairs)
    beside = beside or any(operand.mirrored in placed for operand in operands(cascade, einsum))
    return band is not None and alone(band, einsum, node) and not beside


def counts(pattern: Sparsity) -> tuple[int, int]:
    """(n, m) of a pattern that keeps n of every m consecutive elements; (0, 0) of a dense tensor."""
    if isinstance(pattern, NM):
        return pattern.n, pattern.m
    return (pattern.k, pattern.of) if isinstance(pattern, TopK) else (0, 0)


def uncounted(cascade: Cascade, machine: Machine, einsum: Einsum, access: Access) -> bool:
    """Whether a tensor's pattern is one that the compiled model has no counts for, here or beside another, or
    whose groups the steps of a tile part: a result's, or those of a rank that isn't reduced.
    """
    pattern = cascade.tensor(access.tensor).sparsity
    if not compressed(machine, cascade.tensor(access.tensor)):
        return False
    if coded(machine, cascade.tensor(access.tensor)):
        return True
    rank, others = sparse_rank(cascade, access), [one for one in einsum.reads if one.tensor != access.tensor]
    twice = any(sparse_rank(cascade, other) == rank for other in others)
    parted = access == einsum.output or rank not in einsum.reduced
    return not isinstance(pattern, NM | TopK) or rank is None or twice or parted


def _still(cascade: Cascade, access: Access) -> tuple[object, ...]:
    """The indices of an access but those that step along a state."""
    state = cascade.overwritten.get(access.tensor, ())
    return tuple(index for index in access.indices if not set(index.ranks) & set(state))
