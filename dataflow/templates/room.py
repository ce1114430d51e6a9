"""What all nests of a list take at least in each memory: only those that may fit are laid out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from einsim.accel.machine import Machine
from einsim.dataflow.cores import cores_ranks, on_a_core
from einsim.dataflow.footprint import least_elements, relevant_ranks, uses
from einsim.dataflow.holds import homes_to
from einsim.dataflow.leaf import partial_sum, returns
from einsim.dataflow.mapping import Compute
from einsim.dataflow.templates.blocks import Block, touched
from einsim.dataflow.templates.nest import LoopNest, UnitChoices
from einsim.specs.arrays import Bools, Floats
from einsim.workloads.cascade import Cascade

#: Where tensors stay between blocks: the memory of each, with all that are outside it.
Stays = Mapping[str, Collection[str]]


class ListRoom(NamedTuple):
    """Of each of N `nests`, by tensor and memory: whether the memory is on the `ways` to all of the tensor's
    users, and the bytes that a tile takes there in one buffer at least.
    """

    nests: int
    ways: dict[tuple[str, str], Bools]
    bytes: dict[tuple[str, str], Floats]

    def held(self, stays: Stays) -> list[dict[str, float]]:
        """Bytes of each nest in each memory beside what stays."""
        found, none = dict[str, Floats](), np.zeros(self.nests)
        for (tensor, memory), size in self.bytes.items():
            if memory not in stays.get(tensor, ()):
                found[memory] = found.get(memory, none) + self.ways[tensor, memory] * size
        each = np.array([none, *found.values()]).T.tolist()
        return [dict(zip(found, one, strict=True)) for _, *one in each]


def room_of_list(leaves: UnitChoices, nests: list[LoopNest]) -> ListRoom:
    """What a list's nests take."""
    cascade, machine, einsums = leaves.cascade, leaves.machine, nests[0].einsums
    sizes = {rank: cascade.size(rank) for einsum in einsums for rank in einsum.ranks}
    loops = [dict(nest.loops) for nest in nests]
    tile = {
        rank: np.array([one.get(rank, size) for one in loops], np.float64) for rank, size in sizes.items()
    }
    once = np.array([not nest.streamed for nest in nests])  # else parts of some come
    chosen, reached, found = (
        leaves.all(nests),
        dict[tuple[str, str], Floats](),
        dict[tuple[str, str], Floats](),
    )
    for einsum in einsums:
        nodes = {id(one[einsum.name]): one[einsum.name] for one in chosen}
        which = np.array([id(one[einsum.name]) for one in chosen])
        for tensor in touched((einsum,)):
            kept = np.array([tensor not in (*nest.straight, *nest.registers) for nest in nests])
            first = next(e for e in einsums if tensor in touched((e,))) is einsum
            for at, node in nodes.items():
                here = (which == at) * kept * 1.0
                for memory in homes_to(cascade, machine, node, tensor):
                    reached[tensor, memory] = reached.get((tensor, memory), 0) + here
                    if first:
                        size = _tile(cascade, machine, einsums, node, memory, tensor, tile)
                        found[tensor, memory] = found.get((tensor, memory), 0) + here * once * size
    users = Counter(tensor for einsum in einsums for tensor in touched((einsum,)))
    ways = {key: count == users[key[0]] for key, count in reached.items() if key in found}
    return ListRoom(len(nests), ways, found)


def _tile(
    cascade: Cascade, machine: Machine, einsums: Block, node: Compute, memory: str, tensor: str,
    tile: Mapping[str, Floats],
) -> Floats:  # fmt: skip
    """Bytes [N] of a tensor's tiles in one buffer of a memory at least, `node` being its first user's: where
    each core has such a memory, those of the core with most, times the cores.
    """
    einsum, unit = cascade.einsum(node.einsum), machine.unit(node.unit)
    every = {access.indices: access for one in einsums for access in uses(one, tensor)}
    access = next(iter(every.values()))
    cores, copies, points = unit.dims.get("cores", 1), machine.memory(memory).copies, dict(tile)
    along, moved = cores_ranks(node), relevant_ranks(cascade, access)
    mine = [rank for rank in along if rank in moved]
    alone = all(len(index.ranks) == 1 for index in access.indices if {*index.ranks} & {*mine})
    if len(every) > 1 or not alone or tensor in cascade.overwritten:
        copies = 1  # what a core has of it takes more to say
    if copies > 1:
        wanting = np.prod([tile[rank] for rank in along if rank not in moved], axis=0)
        most = on_a_core(np.prod([tile[rank] for rank in mine], axis=0) * np.minimum(wanting, cores), cores)
        points |= dict.fromkeys(mine, np.ones(1)) | dict.fromkeys(mine[:1], most)
    sums = tensor == einsum.name and homes_to(cascade, machine, node, tensor)[-1] == memory
    spec = partial_sum(cascade, unit, einsum) if sums and returns(node, einsum, memory) else None
    values = least_elements(cascade, machine, access, points)
    bits = (spec or cascade.tensor(tensor)).bits
    return values * (copies * max(bits, machine.memory(memory).value_bits) / 8)
