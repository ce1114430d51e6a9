"""What decides the cost of an operation's tile beside its extents: what bounds leave of it, and its place.

The place matters where a border cuts sparse groups, or tensors are read at indices that move apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from einsim.accel.machine import Machine
from einsim.dataflow.cores import cores_of, cores_ranks
from einsim.dataflow.crossing import foreign_ranks, turning
from einsim.dataflow.cut import Cut
from einsim.dataflow.draft import DraftOp
from einsim.dataflow.footprint import apart_of, ranks_apart
from einsim.dataflow.forms import compressed
from einsim.dataflow.layout import Layout
from einsim.dataflow.leaf import skips
from einsim.dataflow.made import touching
from einsim.dataflow.mask import Mask, mask_of
from einsim.dataflow.program import ProgramLoop
from einsim.workloads.cascade import Access, Cascade
from einsim.workloads.sparsity import group_size


def moving_ranks(draft: DraftOp, cascade: Cascade, machine: Machine) -> tuple[str, ...]:
    """Ranks whose points decide what a transfer moves: the tensor's own, and where each core has its part,
    those along the cores.
    """
    assert draft.home is not None
    apart = cores_of(machine, draft.home.memory) > 1
    return tuple(
        dict.fromkeys(
            rank
            for leaf, access in draft.moves
            for rank in (*access.ranks, *(cores_ranks(leaf.node) if apart else ()))
        )
    )


def cut_of(
    draft: DraftOp, layout: Layout, cascade: Cascade, machine: Machine, resumed: set[str]
) -> Cut | None:
    """What bounds leave of an operation's tiles; None where they leave all, and only extents count. `resumed`
    are reduced ranks in whose later tiles it goes on with partial results.
    """
    leaves = draft.served or (draft.leaf,)
    loops = tuple(layout.loops[loop] for loop in draft.path)
    einsums = [cascade.einsum(leaf.node.einsum) for leaf in leaves]
    masks = tuple(mask_of(cascade, einsum.ranks) for einsum in einsums)
    results = tuple(rank for rank in einsums[0].ranks if rank not in einsums[0].reduced)
    going_on = tuple(sorted(resumed & masks[0].tied))
    if draft.kind == "compute":
        apart = dict.fromkeys(apart_of(einsums[0]), 0)
        places = _cutting(cascade, machine, loops, masks, (*einsums[0].reads, einsums[0].output)) | apart
        if not masks[0] and not places:
            return None
        tied = tuple(rank for rank in einsums[0].ranks if rank in masks[0].tied or rank in places)
        skipping = skips(cascade, machine.unit(draft.leaf.node.unit), einsums[0], cascade.sizes)
        return Cut(masks, tied, places, cores_ranks(draft.leaf.node)[1:], results, going_on, skipping)
    uses = [
        (access, touching(cascade, cascade.einsum(leaf.node.einsum), access)) for leaf, access in draft.moves
    ]
    masks = tuple(mask for _, mask in uses)
    ranks = moving_ranks(draft, cascade, machine)
    accesses = [access for access, _ in uses]
    moving = ranks_apart(accesses)
    assert draft.home is not None
    if cores_of(machine, draft.home.memory) > 1:
        moving |= {rank for leaf in leaves for rank in foreign_ranks(draft, leaf, loops)}
    turned = turning(cascade, machine, layout, draft)
    for rank, size in _cutting(cascade, machine, loops, masks, accesses).items():
        turned[rank] = math.lcm(size, turned.get(rank, 1))
    places = turned | {rank: 0 for rank in ranks if rank in moving}
    alike = len({access.indices for access, _ in uses}) == 1
    shared_out = {rank for leaf in leaves for rank in cores_ranks(leaf.node) if rank in ranks}
    whole = alike and not all(masks) and not any(mask.tied & shared_out for mask in masks)
    if not places and (not any(masks) or whole):
        return None  # the same everywhere, or one of them wants the whole tile and the others a part of that
    uncut = tuple(rank for leaf in leaves for rank in cores_ranks(leaf.node)[1:])
    return Cut(masks, ranks, places, uncut, results, going_on)


def _cutting(
    cascade: Cascade, machine: Machine, loops: tuple[ProgramLoop, ...], masks: Iterable[Mask],
    accesses: Iterable[Access],
) -> dict[str, int]:  # fmt: skip
    """Ranks along which loops, or bounds that move with them, cut groups that a tensor is stored or skipped
    by, and the size of those.
    """
    found: dict[str, int] = {}
    looped = {rank for loop in loops for rank in loop.ranks}
    moved = {rank for mask in masks for rank in mask.tied if (mask.tied - {rank}) & looped}
    for access in accesses:
        tensor = cascade.tensor(access.tensor)
        size = group_size(tensor.sparsity)
        if size > 1 and compressed(machine, tensor):
            for rank in access.indices[tensor.ranks.index(tensor.sparsity.rank)].ranks:
                if rank in moved or any(rank in loop.ranks and loop.tile % size for loop in loops):
                    found[rank] = math.lcm(size, found.get(rank, 1))
    return found
