"""What no mapping of a cascade on a machine can be below: the other end of the gap of an answer.

Every point is computed once, on some unit, at that unit's best layout; every input comes from DRAM at least
once and every result goes there once; every operand that the units stream comes from some on-chip memory.
Nothing is assumed about tiles, fusion or what is kept. How the Einsums are shared out over the units is a
program: the least time in which all units are done, each Einsum on one of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.account import PICO, byte_pj, point_pj
from einsim.dataflow.clock import Clock, port_name
from einsim.dataflow.footprint import tile_bytes
from einsim.dataflow.holds import straight
from einsim.dataflow.leaf import (
    Residence,
    array_cycles,
    cycles_per_point,
    exploited,
    issued_ops,
    leaf_cost,
)
from einsim.dataflow.mapper.band import inexact
from einsim.dataflow.mapper.exact import uncounted
from einsim.dataflow.mapper.makespan import makespan
from einsim.dataflow.mapper.nest import operands, plain
from einsim.dataflow.mapper.objective import key_by
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapping import Compute
from einsim.dataflow.program import READ, WRITE
from einsim.workloads.cascade import Cascade, Einsum


class Least(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds and joules that no mapping is below."""

    latency_s: float
    energy_j: float

    def of(self, objective: str) -> float:
        """The least value of an objective; 0 where nothing is known."""
        return 0.0 if objective == "pareto" else key_by(objective, self.latency_s, self.energy_j, 0.0)[0]


def least(space: MapSpace, *, streamed: bool = True) -> Least:
    """The bound for the space's units. Without `streamed`, what units stream costs nothing: so it holds for
    mappings too in which operands stay in registers. Under bounds only the points that remain count.
    """
    cascade, machine = space.cascade, space.machine
    seconds = least_latency(space)
    pj = _compulsory(cascade, machine)[1]
    pj += sum(_energy_pj(space, einsum, streamed) for einsum in cascade.einsums)
    return Least(latency_s=seconds, energy_j=pj * PICO + machine.static_w * seconds)


def least_latency(space: MapSpace) -> float:
    """Seconds that no mapping is below, with operands wherever they are."""
    times = [_seconds(space, einsum) for einsum in space.cascade.einsums]
    return max(makespan(times), _compulsory(space.cascade, space.machine)[0])


def _seconds(space: MapSpace, einsum: Einsum) -> dict[str, float]:
    """The least busy seconds of each unit that can compute all of an Einsum."""
    cascade, machine = space.cascade, space.machine
    found: dict[str, float] = {}
    whole = cascade.sizes
    share = cascade.points(einsum.name) / max(1, math.prod(whole[rank] for rank in einsum.ranks))
    for node in space.every_leaf(einsum):
        unit = machine.unit(node.unit)
        work = exploited(cascade, unit, einsum, whole)
        cycles = float(array_cycles(cascade, unit, einsum, node, work))
        if share < 1:  # a mask: every lane is at work for what remains
            each = max(1, cycles_per_point(unit, issued_ops(cascade, unit, einsum)))
            cycles = share * math.prod(work[rank] for rank in einsum.ranks) * each / unit.pes
        seconds = cycles / (unit.clock_hz or machine.clock_hz)
        found[unit.name] = min(found.get(unit.name, math.inf), seconds)
    return found


def _energy_pj(space: MapSpace, einsum: Einsum, streamed: bool) -> float:
    """The least picojoules of an Einsum's points, and of its operands from the cheapest memories."""
    cascade, machine = space.cascade, space.machine
    whole = cascade.sizes
    share = cascade.points(einsum.name) / max(1, math.prod(whole[rank] for rank in einsum.ranks))
    found = math.inf
    for node in space.every_leaf(einsum):
        unit = machine.unit(node.unit)
        work = exploited(cascade, unit, einsum, whole)
        points = share * math.prod(work[rank] for rank in einsum.ranks)
        total = points * point_pj(machine, unit.name, issued_ops(cascade, unit, einsum))
        if streamed and not cascade.bounds:
            every = [memory.name for memory in machine.memories]
            read, write = (min(byte_pj(machine, name, way) for name in every) for way in (READ, WRITE))
            total += sum(
                size * (write if written else read)
                for name, size, written in _streamed(cascade, machine, einsum, node)
                if not straight(cascade, machine, node, name)  # that is counted at DRAM
            )
        found = min(found, total)
    return 0.0 if found == math.inf else found


def _streamed(
    cascade: Cascade, machine: Machine, einsum: Einsum, node: Compute
) -> Iterator[tuple[str, int, bool]]:
    """(tensor, bytes, whether they are written) that a unit reads and writes at least, however tiles cut the
    iteration: what one tile of all of it does, where parts can't do with less, else each element once.
    """
    several = [set(ranks) for dim, ranks in node.spatial.items() if dim != "cores"]
    accesses = (*einsum.reads, einsum.output)
    even = len({access.tensor for access in accesses}) == len(accesses) and all(
        plain(cascade, access)
        and all(ranks <= set(access.ranks) or not ranks & set(access.ranks) for ranks in several)
        for access in accesses
    )
    if even:
        lives = {name: Residence(memory=machine.dram.name) for name in _names(einsum)}
        for moved in leaf_cost(cascade, machine, einsum, node, cascade.sizes, lives).accesses:
            yield moved.tensor, moved.read_bytes, False
            yield moved.tensor, moved.write_bytes, True
        return
    sizes: dict[str, int] = {}
    for access in accesses:
        size = tile_bytes(cascade, machine, access, cascade.sizes)
        sizes[access.tensor] = max(size, sizes.get(access.tensor, 0))
    for name, size in sizes.items():
        yield name, size, name == einsum.name


def _names(einsum: Einsum) -> tuple[str, ...]:
    return (einsum.name, *(access.tensor for access in einsum.reads))


def _compulsory(cascade: Cascade, machine: Machine) -> tuple[float, float]:
    """Seconds and picojoules of DRAM for reading each input once and writing each result once; those that
    bounds may cut are left out.
    """
    cut = {term.rank for b in cascade.bounds for side in (b.left, b.right) for term in side.terms}
    whole = cascade.sizes
    dram = machine.dram
    read = written = 0
    inputs = {tensor.name for tensor in cascade.inputs}
    sizes: dict[str, int] = {}
    for einsum in cascade.einsums:
        for access in einsum.reads:
            if access.tensor in inputs and not cut & set(access.ranks):
                size = tile_bytes(cascade, machine, access, whole)
                sizes[access.tensor] = max(size, sizes.get(access.tensor, 0))
        if cascade.is_output(einsum.name) and not cut & set(einsum.output.ranks):
            written += tile_bytes(cascade, machine, einsum.output, whole)
    read = sum(sizes.values())
    clock = Clock(machine)
    ticks: dict[str, int] = {}
    for size, reads in ((read, True), (written, False)):
        port = port_name(dram, reads)
        ticks[port] = ticks.get(port, 0) + size * clock.byte_ticks.get(port, 0)
    seconds = max(ticks.values()) / clock.ticks_per_cycle / machine.clock_hz
    joules = read * byte_pj(machine, dram.name, READ) + written * byte_pj(machine, dram.name, WRITE)
    return seconds, joules


def counted_share(space: MapSpace) -> dict[str, float]:
    """For each Einsum that the search of a cascade counts too dear: of its cost there, the share that it has
    at least.

    Of points that bounds leave, each takes its part of the cycles and bytes of a tile that is full. Where
    tiles don't divide a bounded rank, or a dimension doesn't divide a tile, those cut away may have been the
    others. Elements that are read at several indices count at each; patterns may save everything.
    """
    cascade = space.cascade
    cut = {term.rank for b in cascade.bounds for side in (b.left, b.right) for term in side.terms}
    found: dict[str, float] = {}
    for einsum in cascade.einsums:
        points = max(1, math.prod(cascade.size(rank) for rank in einsum.ranks))
        bounded = inexact(cascade, space.machine, einsum)
        share = cascade.points(einsum.name) / points if bounded else 1.0
        for rank in cut.intersection(einsum.ranks) if share < 1 else ():
            widths = {
                space.machine.unit(node.unit).dims[dim] if len(ranks) == 1 else 0
                for node in space.leaves(einsum)
                for dim, ranks in node.spatial.items()
                if rank in ranks
            }
            share *= min(
                _full(cascade.size(rank), tile) * min((_full(tile, wide) for wide in widths), default=1.0)
                for tile in (*space.tiles.splits(rank), cascade.size(rank))
            )
        for operand in operands(cascade, einsum):
            points = math.prod(cascade.size(rank) for rank in operand.moved)
            share *= min(1.0, math.prod(cascade.shape(operand.tensor)) / max(1, points))
        if any(uncounted(cascade, space.machine, einsum, each) for each in (*einsum.reads, einsum.output)):
            share = 0.0
        if share < 1:
            found[einsum.name] = share
    return found


def _full(size: int, part: int) -> float:
    """How full parts of a size are, together; less than half where several ranks share the part."""
    if not part:
        return 0.5
    return 1.0 if part >= size else size / (-(-size // part) * part)
