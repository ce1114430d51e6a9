"""Work that is dealt to cores: blocks of a cascade, each computed by one core on its own, in an order.

A block is a tile of the ranks that are dealt. It is mapped like a cascade of its own size, on a machine that
is one core: what stands in each core is there once, and the memory that all cores share is the outermost, of
whose rate each core at work has an equal part. What blocks read passes that memory; of what is outside it,
those that run together read once what they share.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from einsim.accel.dispatch import Dispatch
from einsim.accel.launch import LaunchCost
from einsim.accel.machine import Machine, Unit
from einsim.accel.memory import Memory
from einsim.dataflow.legality import check
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.program import Op, Program, ScheduleNode
from einsim.specs.arrays import Ints
from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workloads.cascade import Cascade

ROOT = "deal"
MOST_BLOCKS = 2**20
"""Blocks that are dealt at most."""


class Deal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Blocks of `tiles` points of the ranks that are dealt, the last of which is the fastest.

    `block` maps one of them. A core holds `slots` blocks at once. `together` tiles of the first rank are
    walked before the next of the others, so that neighbours in time share more (1: row by row). `through` is
    the memory that cores share.
    """

    block: Mapping
    tiles: dict[str, int]
    through: str
    slots: int = 1
    together: int = 1


class Reads(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes by tensor that cross the memory outside, and those that one block reads or writes of a tensor."""

    outside: dict[str, int]
    slices: dict[str, int]


def check_deal(deal: Deal, cascade: Cascade, machine: Machine) -> None:
    """SpecError where blocks depend on one another, the machine's cores aren't alike, or a block's mapping is
    not legal on a core.
    """
    for rank, tile in deal.tiles.items():
        if rank not in cascade.sizes:
            raise _refused(f"tiles.{rank}", "no rank of this name", rank, near(rank, cascade.sizes))
        if tile < 1 or cascade.size(rank) % tile:
            raise _refused(f"tiles.{rank}", f"must divide the {cascade.size(rank)} points of {rank}", tile)
        for einsum in cascade.einsums:
            if rank not in einsum.output.ranks:
                rule = f"each block must compute results of its own, and {einsum.name} is not along {rank}"
                raise _refused(f"tiles.{rank}", rule, rank)
    if not deal.tiles:
        raise _refused("tiles", "must name a rank", "none")
    if cascade.bounds or cascade.initial:
        raise _refused("tiles", "must be of a cascade without bounds and states", cascade.name)
    plain = (index.plain for einsum in cascade.einsums for access in (einsum.output, *einsum.reads)
             for index in access.indices if set(index.ranks) & set(deal.tiles))  # fmt: skip
    if not all(plain):
        raise _refused("tiles", "must be of ranks that are indices by themselves", ", ".join(deal.tiles))
    if deal.slots < 1 or deal.together < 1:
        raise _refused(
            "slots" if deal.slots < 1 else "together", "must be >= 1", min(deal.slots, deal.together)
        )
    if blocks_of(deal, cascade) > MOST_BLOCKS:
        raise _refused("tiles", f"make more than {MOST_BLOCKS:,} blocks", blocks_of(deal, cascade))
    _check_cores(deal, machine)
    check(deal.block, block_of(deal, cascade), core_of(machine, deal, 1))


def _check_cores(deal: Deal, machine: Machine) -> None:
    names = [memory.name for memory in machine.memories]
    if deal.through not in names:
        raise _refused("through", "no memory of this name", deal.through, near(deal.through, names))
    shared = machine.memory(deal.through)
    if shared.copies > 1 or shared.parents != (machine.dram.name,):
        raise _refused("through", "must be one memory for all cores, filled from DRAM", deal.through)
    cores = {unit.dims.get("cores", 1) for unit in machine.units}
    cores |= {memory.copies for memory in machine.memories if memory.parent and memory.name != deal.through}
    if len(cores) > 1 or cores == {1}:
        rule = "needs cores that are alike: as many of each unit, and of each memory that isn't shared"
        raise _refused("through", rule, sorted(cores))
    if machine.multicast or machine.noc:
        raise _refused(
            "through", "needs multicast: false and no noc: each core reads for itself", machine.name
        )
    if machine.dram.timing or shared.codec or machine.dram.codec:
        raise _refused("through", "needs memories without a timing and codecs", deal.through)


def _refused(key: str, rule: str, got: object, hint: str = "") -> SpecError:
    return SpecError(f"{ROOT}.{key}", rule, got=got, hint=hint)


def cores_dealt(machine: Machine) -> int:
    """Cores that blocks are dealt to."""
    return machine.units[0].dims.get("cores", 1)


def blocks_of(deal: Deal, cascade: Cascade) -> int:
    """Blocks that are dealt."""
    return math.prod(cascade.size(rank) // tile for rank, tile in deal.tiles.items())


def block_of(deal: Deal, cascade: Cascade) -> Cascade:
    """The cascade of one block."""
    ranks = (msgspec.structs.replace(one, size=deal.tiles.get(one.name, one.size)) for one in cascade.ranks)
    return msgspec.structs.replace(cascade, ranks=tuple(ranks))


def dealt_order(deal: Deal, cascade: Cascade) -> Ints:
    """Coordinates [block, rank] of the blocks' tiles in the order in which they are dealt."""
    counts = [cascade.size(rank) // tile for rank, tile in deal.tiles.items()]
    places = np.stack(np.unravel_index(np.arange(math.prod(counts)), counts), axis=1)
    rows = places[:, 0]
    keys = (rows, *(places[:, at] for at in range(len(counts) - 1, 0, -1)), rows // deal.together)
    return np.asarray(places[np.lexsort(keys)], dtype=np.int64)


def reads_of(deal: Deal, cascade: Cascade, machine: Machine) -> Reads:
    """What crosses DRAM: each part of a tensor once, if all fits in the shared memory; else, of what is read,
    once for each wave of blocks.
    """
    block, order = block_of(deal, cascade), dealt_order(deal, cascade)
    wave = cores_dealt(machine) * deal.slots
    tensors = [
        one for one in cascade.tensors if not cascade.producer(one.name) or cascade.is_output(one.name)
    ]
    sizes = {one.name: -(-cascade.elements(one.name) * one.bits // 8) for one in tensors}
    slices = {one.name: -(-block.elements(one.name) * one.bits // 8) for one in tensors}
    room = machine.memory(deal.through).capacity_bytes
    outside = {}
    for one in tensors:
        if cascade.producer(one.name) or room is None or sum(sizes.values()) <= room:
            outside[one.name] = sizes[one.name]
            continue
        ranks = {rank for access in cascade.accesses(one.name) for rank in access.ranks}
        moved = [at for at, rank in enumerate(deal.tiles) if rank in ranks]
        waves = (order[at : at + wave, moved] for at in range(0, len(order), wave))
        outside[one.name] = sum(len(np.unique(some, axis=0)) for some in waves) * slices[one.name]
    return Reads(outside=outside, slices=slices)


def core_of(machine: Machine, deal: Deal, active: int, missing: tuple[float, float] = (0.0, 0.0)) -> Machine:
    """One core where so many are at work: it has an equal part of the shared memory's rate, and of DRAM's for
    the share of what it reads and of what it writes that is `missing` there.
    """
    cores, shared, dram = cores_dealt(machine), machine.memory(deal.through), machine.dram
    reads, writes = (
        _slowest(inner, outer, share, active)
        for inner, outer, share in zip(_rates(shared), _rates(dram), missing, strict=True)
    )
    late = max(shared.latency_cycles, dram.latency_cycles if missing[0] else 0)
    root = msgspec.structs.replace(
        shared, parent=None, read_bytes_per_s=reads, write_bytes_per_s=writes, shared_port=False,
        capacity_bytes=None, latency_cycles=late, bus="", bus_bytes_per_s=None, descriptor_cycles=0,
        dma_engines=0, outstanding=0, holds=(), value_bits=0, leakage_w=0.0,
    )  # fmt: skip
    inside = (_one_copy(one, cores) for one in machine.memories if one.name not in (deal.through, dram.name))
    return msgspec.structs.replace(
        machine, memories=(root, *inside), units=tuple(map(_one_core, machine.units)), power=None,
        multicast=True, leakage_w=0.0, launch=LaunchCost(), dispatch=Dispatch(),
    )  # fmt: skip


def _rates(memory: Memory) -> tuple[int | None, int | None]:
    reads = memory.read_bytes_per_s
    return reads, reads if memory.shared_port else memory.write_bytes_per_s


def _slowest(inner: int | None, outer: int | None, share: float, active: int) -> int | None:
    rates = [rate for rate in (inner, outer and share and outer / share) if rate]
    return max(1, int(min(rates) / active)) if rates else None


def _one_copy(memory: Memory, cores: int) -> Memory:
    def part(rate: int | None) -> int | None:
        return rate and max(1, rate // cores)

    return msgspec.structs.replace(
        memory, copies=1, capacity_bytes=part(memory.capacity_bytes), leakage_w=0.0,
        read_bytes_per_s=part(memory.read_bytes_per_s), write_bytes_per_s=part(memory.write_bytes_per_s),
        bus_bytes_per_s=part(memory.bus_bytes_per_s),
    )  # fmt: skip


def _one_core(unit: Unit) -> Unit:
    dims = {name: size for name, size in unit.dims.items() if name != "cores"}
    return msgspec.structs.replace(unit, dims=dims or {"lanes": 1})


def tenants(program: Program, count: int) -> Program:
    """A program that a core runs so many times at once, on the same engines: the first goes before."""
    if count == 1:
        return program
    ops, loops = len(program.ops), len(program.loops)
    return msgspec.structs.replace(
        program,
        loops=tuple(
            msgspec.structs.replace(
                loop, id=loop.id + at * loops, place=(at, *loop.place),
                parent=None if loop.parent is None else loop.parent + at * loops,
            )
            for at in range(count) for loop in program.loops
        ),
        ops=tuple(_tenant(op, at, ops, loops) for at in range(count) for op in program.ops),
        shape=ScheduleNode(
            kind="pipeline",
            children=tuple(_shifted(program.shape, at * ops, at * loops) for at in range(count)),
        ),
        buffers={name: size * count for name, size in program.buffers.items()},
        macs=None if program.macs is None else program.macs * count,
    )  # fmt: skip


def _tenant(op: Op, at: int, ops: int, loops: int) -> Op:
    def loop(number: int) -> int:
        return number + at * loops if number >= 0 else number

    return msgspec.structs.replace(
        op,
        id=op.id + at * ops,
        name=f"{op.name} {at}",
        path=tuple(map(loop, op.path)),
        when={loop(one): end for one, end in op.when.items()},
        place=(at, *op.place),
        resumed=tuple(map(loop, op.resumed)),
        waits=tuple(
            msgspec.structs.replace(
                wait,
                producer=wait.producer + at * ops,
                lag_loop=loop(wait.lag_loop),
                targets=tuple(msgspec.structs.replace(one, loop=loop(one.loop)) for one in wait.targets),
            )
            for wait in op.waits
        ),
    )


def _shifted(node: ScheduleNode, ops: int, loops: int) -> ScheduleNode:
    return msgspec.structs.replace(
        node,
        loop=node.loop + loops if node.loop >= 0 else -1,
        op=node.op + ops if node.op >= 0 else -1,
        children=tuple(_shifted(child, ops, loops) for child in node.children),
    )
