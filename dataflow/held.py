"""Bytes that the kept tiles of a mapping take in each memory."""

from __future__ import annotations

import math

from einsim.accel.machine import Machine, Unit
from einsim.accel.widths import lacks
from einsim.dataflow.carried import handed_on, reads_before, reads_below
from einsim.dataflow.cores import cores_of, cores_ranks, going_round, on_a_core, parted, share
from einsim.dataflow.footprint import (
    Use,
    access_of,
    relevant_ranks,
    tile_bytes,
    union_bits,
    uses,
    values,
)
from einsim.dataflow.forms import as_held, packed
from einsim.dataflow.holds import outside
from einsim.dataflow.layout import Home, Layout, Leaf, points_below, summed, users
from einsim.dataflow.leaf import partial_sum, returns
from einsim.dataflow.mapping import Compute, Mapping, Node, Sequence, children
from einsim.dataflow.structure import structure_of
from einsim.specs.rules import Number, rule
from einsim.workloads.cascade import Access, Cascade, Einsum, Tensor
from einsim.workloads.sparsity import dense_bytes, stored_bytes


def held_bytes(mapping: Mapping, layout: Layout, cascade: Cascade, machine: Machine) -> dict[str, int]:
    """Bytes that each memory must hold at most, by name; unit registers under the unit's name.

    Children of a sequence use the same bytes in turn; those of a pipeline are there together.
    """
    by_place: dict[tuple[int, ...], dict[str, int]] = {}
    for home, path in layout.homes:
        if home.memory == machine.dram.name:
            continue
        size = home_bytes(home, path, layout, cascade, machine)
        here = by_place.setdefault(home.place, {})
        before = here.get(home.memory, 0)
        here[home.memory] = max(before, size) if home.overlay else before + size
    return _held(mapping.tree, (), by_place)


@rule
def buffered(size_bytes: Number, buffers: Number, again: bool) -> Number:
    """Bytes of a home with its buffers: one is enough where no next tile comes."""
    return size_bytes * buffers if again else size_bytes


def room_of(machine: Machine) -> dict[str, int | None]:
    """Bytes that each memory has, and each unit's registers under the unit's name; None: without a limit."""
    found = {memory.name: memory.capacity_bytes for memory in machine.memories}
    for unit in machine.units:
        found[unit.name] = unit.registers.bytes_per_pe * unit.pes if unit.registers is not None else 0
    return found


def fits(need: dict[str, int], machine: Machine) -> bool:
    """Whether memories and registers have room for so many bytes by name."""
    room = room_of(machine)
    return all((most := room[name]) is None or size <= most for name, size in need.items())


def _held(
    node: Node, place: tuple[int, ...], by_place: dict[tuple[int, ...], dict[str, int]]
) -> dict[str, int]:
    below = [_held(child, (*place, number), by_place) for number, child in enumerate(children(node))]
    names = {name for part in below for name in part} | set(by_place.get(place, {}))
    join = max if isinstance(node, Sequence) else sum
    return {
        name: by_place.get(place, {}).get(name, 0) + join([part.get(name, 0) for part in below] or [0])
        for name in sorted(names)
    }


def home_bytes(home: Home, path: tuple[int, ...], layout: Layout, cascade: Cascade, machine: Machine) -> int:
    """Bytes of one home: the tile under the loops above it, times its buffers where a next tile exists.

    In a memory of each core they are those of the core with most, times the cores. Where partial sums come,
    every value has their width.
    """
    key = home.tensor, home.place, structure_of(machine).key
    if key not in layout.sizes:
        layout.sizes[key] = _home_bytes(home, path, layout, cascade, machine)
    return layout.sizes[key]


def _home_bytes(home: Home, path: tuple[int, ...], layout: Layout, cascade: Cascade, machine: Machine) -> int:
    extents = points_below(layout, cascade, path)
    here = users(cascade, layout, home)
    if not here:
        return 0
    user = here[0]
    einsum, unit, copies = cascade.einsum(user.node.einsum), machine.unit(user.node.unit), 1
    access = access_of(einsum, home.tensor)
    parts = home.tensor == einsum.name and parted(cascade, user.node)
    if parts or all(unit.name != home.memory for unit in machine.units):
        copies = cores_of(machine, home.memory)
    mine = _share(cascade, unit, user.node, access, extents) if copies > 1 else extents
    adding = _adds_up(home, layout, user, cascade, machine)
    tensor = partial_sum(cascade, unit, einsum) if adding else cascade.tensor(home.tensor)
    tensor = as_held(machine, home.memory, tensor)
    size = tile_bytes(cascade, machine, access, mine, tensor)
    producer = cascade.producer(home.tensor)
    used = {a.indices: a for leaf in here for a in uses(cascade.einsum(leaf.node.einsum), home.tensor)}
    cut = {rank for rank in mine if mine[rank] < extents[rank]}
    several = any(len(set(index.ranks)) > 1 and cut & set(index.ranks) for index in access.indices)
    made_here = producer is not None and any(leaf.node.einsum == producer.name for leaf in here)
    if home.tensor in cascade.overwritten or (made_here and producer is not None and producer.iterative):
        pass  # steps of a state take the place of each other, or are counted where they are made
    elif several or (len(used) > 1 and cut):
        size = _apart(cascade, machine, tensor, tuple(used.values()), (extents, mine))
    elif len(used) > 1:
        size = _together(cascade, machine, tuple(used.values()), mine, tensor)
    size *= copies * (1 + _beside_earlier(home, layout, cascade))
    if home.stays:  # what nobody here reads is there, too
        whole = cascade.elements(home.tensor)
        size = max(size, (stored_bytes if packed(tensor) else dense_bytes)(tensor, whole))
    again = any(layout.loops[loop].count > 1 for loop in path)
    return buffered(math.ceil(size * (1 - home.spill)), home.buffers, again)


def _beside_earlier(home: Home, layout: Layout, cascade: Cascade) -> bool:
    """Whether a home has the step of a state that comes back into it beside the one that is made of that, or
    beside a later one: unless each element takes the place of the one that it is made of.
    """
    before = reads_before(cascade, layout, home)
    if before and not handed_on(cascade, layout, home):
        return len(before) < len(reads_below(cascade, layout, home))
    made = [index.terms for index in cascade.einsum(home.tensor).output.indices] if before else []
    return any(
        leaf.node.einsum != home.tensor or [index.terms for index in read.indices] != made
        for leaf, read in before
    )


def _share(
    cascade: Cascade, unit: Unit, node: Compute, access: Access, extents: dict[str, int]
) -> dict[str, int]:
    """The extents with those of the cores' ranks cut to what one core has of a tensor at most. Its points of
    several ranks stand anywhere among them, which a window makes matter: of those that go round together all.
    """
    moved = relevant_ranks(cascade, access)
    along = {rank for rank in cores_ranks(node) if rank in moved and extents[rank] > 1}
    if len(along) < 2 or not any(
        len({*index.ranks}) > 1 and along & {*index.ranks} for index in access.indices
    ):
        return share(unit, node, moved, extents)
    rounds = going_round(node, extents, unit.dims["cores"])
    one = {rank: on_a_core(extents[rank], unit.dims["cores"]) for rank in rounds}
    return extents | one if len(one) == 1 else extents


def _apart(
    cascade: Cascade, machine: Machine, tensor: Tensor, accesses: tuple[Access, ...],
    points: tuple[dict[str, int], dict[str, int]],
) -> int:  # fmt: skip
    """Bytes of what accesses touch on the core that has most; `points` are those of a tile and of that core.

    Its points of the ranks along the cores lie apart, so that neither shifts nor windows share elements.
    """
    whole, mine = points
    every = {rank: (0, extent) for rank, extent in whole.items()}
    one = {rank: (0, 1 if extent < whole[rank] else extent) for rank, extent in mine.items()}
    most = union_bits(cascade, tensor, tuple(Use(access, every, None) for access in accesses))
    if packed(tensor):
        return -(-most // 8)
    count = 0
    for access in accesses:
        sides = []
        for index in access.indices:
            times = math.prod(mine[rank] for rank in {*index.ranks} if mine[rank] < whole[rank])
            sides.append(min(times * len(values(index, one, cascade)), len(values(index, every, cascade))))
        count += math.prod(sides)
    return -(-min(count * tensor.bits, most) // 8)


def _together(
    cascade: Cascade, machine: Machine, accesses: tuple[Access, ...], extents: dict[str, int], tensor: Tensor,
) -> int:  # fmt: skip
    """Bytes of what several accesses touch in one tile: those that loops move alike share the same elements
    wherever it lies, others may share none.
    """
    alike: dict[object, list[Use]] = {}
    box = {rank: (0, extent) for rank, extent in extents.items()}
    for access in accesses:
        terms = (
            (t for t in index.terms if extents[t.rank] < cascade.size(t.rank)) for index in access.indices
        )
        alike.setdefault(tuple(map(tuple, terms)), []).append(Use(access, box, None))
    whole = {rank: (0, size) for rank, size in cascade.sizes.items()}
    bits = sum(union_bits(cascade, tensor, tuple(some)) for some in alike.values())
    most = union_bits(cascade, tensor, tuple(Use(access, whole, None) for access in accesses))
    return -(-min(bits, most) // 8)


def _adds_up(home: Home, layout: Layout, leaf: Leaf, cascade: Cascade, machine: Machine) -> bool:
    """Whether partial sums of a leaf come to a home: after tiles of what is next to it inward, in later steps
    of the unit, or from several cores.
    """
    einsum = cascade.einsum(leaf.node.einsum)
    if einsum.name != home.tensor:
        return False
    inside = leaf.homes[home.tensor][leaf.homes[home.tensor].index(home) + 1 :]
    if not inside and returns(leaf.node, einsum, home.memory):
        return True
    if parted(cascade, leaf.node) and all(cores_of(machine, one.memory) > 1 for one in inside):
        return True
    return bool(summed(cascade, layout, leaf, inside[0].depth if inside else None))


def result_bytes(cascade: Cascade, machine: Machine, einsum: Einsum, memory: str) -> int:
    """Bytes of an Einsum's whole result in a memory, as wide as any unit below it may add it up."""
    ops = cascade.wide_ops(einsum.name)
    below = [
        unit
        for unit in machine.units
        if any(memory in (name, *outside(machine, name)) for name in unit.memories.values())
    ]
    sums = (partial_sum(cascade, unit, einsum) for unit in below if not lacks(unit, ops))
    widths = (as_held(machine, memory, tensor) for tensor in sums)
    widest = max(widths, key=lambda tensor: tensor.bits, default=None)
    return tile_bytes(cascade, machine, einsum.output, cascade.sizes, widest)
