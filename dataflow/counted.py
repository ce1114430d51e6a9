"""What an operation's tiles do and how often: the same wherever it stands alike in another mapping."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import NamedTuple

from msgspec.msgpack import encode

from einsim.accel.machine import Machine
from einsim.dataflow.clock import Clock
from einsim.dataflow.cores import parts_in
from einsim.dataflow.cut import Cut
from einsim.dataflow.cutting import cut_of, moving_ranks
from einsim.dataflow.draft import DraftOp
from einsim.dataflow.forms import coded, compressed
from einsim.dataflow.iteration import Path
from einsim.dataflow.layout import Layout, Leaf, summed
from einsim.dataflow.leaf import Residence, leaf_cost, partial_sum
from einsim.dataflow.lines import volumes
from einsim.dataflow.mask import Box, Mask
from einsim.dataflow.transfer import transfer_volume
from einsim.dataflow.turns import holding
from einsim.dataflow.volume import Key, TileVolumes, Volume
from einsim.specs.remembered import Remembered
from einsim.workloads.cascade import Access, Cascade
from einsim.workloads.order import lags
from einsim.workloads.sparsity import Density, group_size

MOST_POINTS = 2**61 - 1
"""A prime: no step of a tile divides it."""


class OpTiles(NamedTuple):
    """Kinds of an operation's tiles: `resumed` are slots of its path, the rest is as in `Op`."""

    key_ranks: tuple[str, ...]
    resumed: tuple[int, ...]
    cut: Cut | None
    wide: bool
    volumes: TileVolumes


class LoweredBefore:
    """What is known of a cascade's leaves and operations in a structure's frame: mappings and units that
    differ elsewhere have them alike.
    """

    def __init__(self) -> None:
        self.leaves = Remembered[Volume](20_000)
        self.ops = Remembered[OpTiles](100_000, lambda one: len(one.volumes.counts))


def counted(
    draft: DraftOp, layout: Layout, cascade: Cascade, machine: Machine, clock: Clock,
    turns: Mapping[str, str], known: LoweredBefore,
) -> OpTiles:  # fmt: skip
    """The tiles of an operation; of the `turns` that units take those of its own count."""
    turn = turns.get(draft.leaf.node.unit, "") if draft.kind == "compute" else ""
    near = cascade.einsum(draft.leaf.node.einsum).accesses
    turns_of = tuple(clock.turn.get(tensor) for tensor in (draft.subject, *near))
    key = _alike(draft, layout, cascade, machine), turn, turns_of
    return known.ops.get(key, lambda: _counted(draft, layout, cascade, machine, clock, turn, known))


def _alike(draft: DraftOp, layout: Layout, cascade: Cascade, machine: Machine) -> Hashable:
    """All of a mapping on which an operation's tiles depend: loops are numbered as they are met."""
    number: dict[int, int] = {}
    for loop in (*draft.path, *(at for leaf in (draft.leaf, *draft.served) for at in leaf.path)):
        number.setdefault(loop, len(number))
    loops = [layout.loops[loop] for loop in number]
    parents = (-1 if loop.parent is None else number[loop.parent] for loop in loops)
    home = draft.home and draft.leaf.homes[draft.subject].index(draft.home)
    return (
        draft.kind, draft.subject, home, len(draft.path), draft.carried,
        *(access for _, access in draft.moves), _read_on(draft, cascade, layout),
        *(draft.when.get(loop) for loop in draft.path),
        *((loop.ranks, loop.tile, loop.extent) for loop in loops), *parents,
        *(_standing(leaf, draft.subject, number, cascade, machine) for leaf in (draft.leaf, *draft.served)),
    )  # fmt: skip


def _standing(
    leaf: Leaf, subject: str, number: Mapping[int, int], cascade: Cascade, machine: Machine
) -> Hashable:
    """A leaf with its loops, and the homes of what it makes and reads."""
    node, einsum = leaf.node, cascade.einsum(leaf.node.einsum)
    tensors = dict.fromkeys((subject, einsum.name, *(read.tensor for read in einsum.reads)))
    return (
        encode(node), encode(machine.unit(node.unit)), *(number[loop] for loop in leaf.path),
        *((home.tensor, home.memory, home.depth, home.spill)
          for tensor in tensors for home in leaf.homes.get(tensor, ())),
    )  # fmt: skip


def _counted(
    draft: DraftOp, layout: Layout, cascade: Cascade, machine: Machine, clock: Clock, turn: str,
    known: LoweredBefore,
) -> OpTiles:  # fmt: skip
    einsum = cascade.einsum(draft.leaf.node.einsum)
    ranks = einsum.ranks if draft.kind == "compute" else moving_ranks(draft, cascade, machine)
    loops = tuple(layout.loops[loop] for loop in draft.path)
    mine = {loop.rank for loop in loops}
    wide = draft.makes and _widens(cascade, machine, draft.leaf)
    resumed = _resumed(draft, cascade, machine, layout, wide=wide)
    goes_on = {rank for loop in loops if draft.makes and loop.id in resumed for rank in loop.ranks}
    goes_on &= {*einsum.reduced}
    last = draft.kind == "store" and bool(resumed) and not goes_on  # step of a state, which nobody reads
    wide |= last
    cut = cut_of(draft, layout, cascade, machine, goes_on)
    key_ranks = tuple(rank for rank in ranks if rank in mine or (cut is not None and rank in cut.ranks))
    path = Path(loops, draft.when, cascade.sizes, key_ranks, resumed, cut, wide=wide)
    counts = path.instances()
    single = dict.fromkeys(path.points, 1)

    def volume(key: Key) -> Volume:
        extents = {**cascade.sizes, **single, **dict(zip(key_ranks, key, strict=False))}
        tile = {**{rank: (0, extent) for rank, extent in extents.items()}, **path.tiles.get(key, {})}
        by_points = cut is not None and bool(cut.reduced)
        around = (*key[len(key_ranks) :][: path.sums], 0, 0)
        begun, unfinished = (number if by_points or not number else None for number in around[:2])
        still = begun if draft.kind == "load" and resumed else unfinished if last else None
        if not all(key[: len(key_ranks)]) or still == 0:
            return Volume()
        if draft.kind == "compute":
            mask = cut.masks[0] if cut is not None else None
            made = _compute_volume(
                draft.leaf, cascade, machine, clock, tile, mask, begun, unfinished, known.leaves
            )
            return holding(made, turn) if turn else made
        partial = 0 if last else unfinished
        return transfer_volume(draft, layout, cascade, machine, clock, tile, begun, partial)

    costs = volumes([*counts], path.tiles, _period(draft, cascade, machine), volume)
    slots = tuple(at for at, loop in enumerate(draft.path) if loop in resumed)
    return OpTiles(key_ranks, slots, cut, wide, TileVolumes(costs, counts))


def _period(draft: DraftOp, cascade: Cascade, machine: Machine) -> int:
    """Points that are whole folds, groups and accesses of all that an operation's tiles lie on and in; more
    than there are where what is zero anywhere is stored compressed, whose share rounds up in each.
    """
    leaves = draft.served or (draft.leaf,)
    dims = (size for leaf in leaves for size in machine.unit(leaf.node.unit).dims.values())
    names = {name for leaf in leaves for name in cascade.einsum(leaf.node.einsum).accesses}
    tensors = [cascade.tensor(name) for name in (draft.subject, *sorted(names))]
    if any(compressed(machine, one) and isinstance(one.sparsity, Density) for one in tensors):
        return MOST_POINTS
    groups = (group_size(tensor.sparsity) for tensor in tensors)
    bits = [8 * memory.access_bytes for memory in machine.memories]
    accesses = (many // math.gcd(many, tensor.bits) for many in bits for tensor in tensors)
    return math.lcm(*dims, *groups, *accesses)


def _resumed(
    draft: DraftOp, cascade: Cascade, machine: Machine, layout: Layout, *, wide: bool
) -> tuple[int, ...]:
    """Loops in whose later iterations an operation goes on with partial results, or stores `wide` ones, or
    loads a state as the iteration before has left it, or in whose last it has a step that nobody reads.
    Parts of results begin anew in each iteration of their keep, at whose end they are added to what is there.
    """
    depth = draft.home.depth if draft.home is not None else None
    producer, node = cascade.producer(draft.subject), draft.leaf.node
    own = draft.leaf.homes.get(draft.subject, ())[-1:]
    apart = [home for home in own if parts_in(cascade, machine, node, home.memory)]
    if draft.kind == "compute" and apart:
        return tuple(n for n in summed(cascade, layout, draft.leaf) if n in draft.path[apart[0].depth :])
    sums = summed(cascade, layout, draft.leaf, depth)
    if draft.resumes or (wide and sums) or (draft.kind == "store" and apart == [draft.home]):
        return sums
    storing = draft.kind == "store"
    if producer is None or not producer.iterative or (storing and cascade.is_output(producer.name)):
        return ()
    reads = _read_on(draft, cascade, layout) if storing else [read for _, read in draft.moves]
    behind = [{rank for rank, steps in lags(read, producer).items() if steps} for read in reads]
    stepped = set.intersection(*behind) if behind else set[str]()
    loops = (layout.loops[loop] for loop in draft.path[:depth])
    return tuple(loop.id for loop in loops if loop.count > 1 and stepped & set(loop.ranks))


def _read_on(draft: DraftOp, cascade: Cascade, layout: Layout) -> tuple[Access, ...]:
    """Reads of a state for which a home's iteration leaves it: from outside the home, or in a later step."""
    if draft.kind != "store" or not (producer := cascade.einsum(draft.subject)).iterative:
        return ()
    assert draft.home is not None
    inside = {leaf.node.einsum for leaf in layout.under(draft.home.place)}
    return tuple(
        read
        for reader, read in cascade.users(draft.subject)[1:]
        if reader.name not in inside or any(lags(read, producer).values())
    )


def _widens(cascade: Cascade, machine: Machine, leaf: Leaf) -> bool:
    """Whether partial sums of a leaf take more than its results: by their width, or since those are coded."""
    einsum = cascade.einsum(leaf.node.einsum)
    tensor = cascade.tensor(einsum.name)
    return coded(machine, tensor) or partial_sum(cascade, machine.unit(leaf.node.unit), einsum) is not tensor


def _compute_volume(
    leaf: Leaf, cascade: Cascade, machine: Machine, clock: Clock, tile: Box, mask: Mask | None,
    begun: int | None, unfinished: int | None, known: Remembered[Volume],
) -> Volume:  # fmt: skip
    einsum, node = cascade.einsum(leaf.node.einsum), leaf.node
    names = (einsum.name, *(access.tensor for access in einsum.reads))
    homes = {name: leaf.homes[name][-1] if leaf.homes.get(name) else None for name in names}
    residences = {
        name: Residence(memory=home.memory, spill=home.spill) if home else Residence(memory=machine.dram.name)
        for name, home in homes.items()
    }
    extents = {rank: extent for rank, (_, extent) in tile.items()}
    box = {rank: tile[rank] for rank in einsum.ranks}
    turns = tuple(clock.turn[tensor] for tensor in residences)  # which decide on the banks that they take
    key = (encode(node), encode(machine.unit(node.unit)), *residences.values(), *box.items(),
           mask, begun, unfinished, turns)  # fmt: skip

    def volume() -> Volume:
        cost = leaf_cost(
            cascade, machine, einsum, node, extents, residences, tile=box, mask=mask,
            begun=begun, unfinished=unfinished,
        )  # fmt: skip
        return Volume(
            own=((node.unit, cost.cycles),),
            streams=tuple(work for access in cost.accesses for work in clock.passing(access)),
            accesses=cost.accesses,
            actions=cost.actions,
            points=cost.points,
            active=(node.unit, cost.active_pe_cycles),
            overlap=machine.unit(node.unit).overlap,
            rounded=cost.rounded,
        )

    return known.get(key, volume)
