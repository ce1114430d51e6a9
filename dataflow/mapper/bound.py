"""What no mapping of a cascade on a machine can be below: the other end of the gap of an answer.

Every point is computed once, on some unit, in some layout; every input comes from DRAM at least once and
every result goes there once; every operand that units stream passes the port of an on-chip memory. Nothing is
assumed about tiles, fusion or what is kept. How Einsums are shared out over units, layouts and memories is a
program: the least time in which all units and ports are done.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.account import PICO, byte_pj, point_pj
from einsim.dataflow.clock import Clock, port_name
from einsim.dataflow.footprint import dram_tile_bytes, uses
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
from einsim.dataflow.mapper.nest import operands, plain, ways_of
from einsim.dataflow.mapper.objective import key_by
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapping import Compute
from einsim.dataflow.program import READ, WRITE
from einsim.dataflow.spatial import Spread, spread
from einsim.workloads.cascade import Cascade, Einsum


class Least(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds and joules that no mapping is below."""

    latency_s: float
    energy_j: float

    def of(self, objective: str) -> float:
        """The least value of an objective; 0 where nothing is known."""
        return 0.0 if objective == "pareto" else key_by(objective, self.latency_s, self.energy_j, 0.0)[0]


def least(space: MapSpace, *, streamed: bool | None = True) -> Least:
    """The bound for the space's units. Without `streamed` it holds for refined mappings too: a tensor that
    all who use it may lay alike passes for nothing, since it may be in registers. With None all operands do.
    """
    dram_s, pj = _compulsory(space.cascade, space.machine)
    ways = [_ways(space, einsum, streamed) for einsum in space.cascade.einsums]
    least_s = makespan([[dram_s], *([busy for _, busy in some] for some in ways)])
    seconds = max(least_s, *dram_s.values(), 0.0)
    pj = sum((min((each for each, _ in some), default=0.0) for some in ways), pj)
    return Least(latency_s=seconds, energy_j=pj * PICO + space.machine.static_w * seconds)


def _ways(space: MapSpace, einsum: Einsum, streamed: bool | None) -> list[tuple[float, dict[str, float]]]:
    """The least picojoules and busy seconds of each layout of an Einsum with each choice of memories in which
    its operands are; of one that bounds cut, those of the points that remain.
    """
    cascade, machine, clock = space.cascade, space.machine, Clock(space.machine)
    whole, found = cascade.sizes, list[tuple[float, dict[str, float]]]()
    share = cascade.points(einsum.name) / max(1, math.prod(whole[rank] for rank in einsum.ranks))
    passes = share == 1 and streamed is not None
    alike = alike_over_units(space, einsum) if passes and not streamed else {}
    for node in space.every_leaf(einsum):
        unit = machine.unit(node.unit)
        work = exploited(cascade, unit, einsum, whole)
        issued, points = issued_ops(cascade, unit, einsum), math.prod(work[rank] for rank in einsum.ranks)
        cycles = float(array_cycles(cascade, unit, einsum, node, work))
        if share < 1:  # a mask: every lane is at work for what remains
            cycles = share * points * max(1, cycles_per_point(unit, issued)) / unit.pes
        pj = share * points * point_pj(machine, unit.name, issued)
        every = [{unit.mode_of or unit.name: cycles / (unit.clock_hz or machine.clock_hz)}]
        for name, size, written in _streamed(cascade, machine, einsum, node) if passes else ():
            stays = spread(cascade, node, name) in alike.get(name, ()) and (unit.registers or not written)
            if stays or straight(cascade, machine, node, name):  # counted at DRAM
                continue
            memories = {memory for way in ways_of(cascade, machine, node, name) for memory in way}
            if not memories:  # it comes from DRAM, or, where none may hold it, in no way
                continue
            ports = [_passing(clock, memory, size, written) for memory in sorted(memories)]
            pj += min(each for _, _, each in ports)
            every = [{**busy, port: busy.get(port, 0.0) + s} for busy in every for port, s, _ in ports]
        found += [(pj, busy) for busy in every]
    return found


def _passing(clock: Clock, memory: str, size: int, written: bool) -> tuple[str, float, float]:
    """The port of a memory through which bytes pass, its seconds, all banks in use, and picojoules."""
    machine, port = clock.machine, port_name(clock.machine.memory(memory), not written)
    seconds = size * clock.byte_ticks.get(port, 0) / clock.ticks_per_cycle / machine.clock_hz
    return port, seconds, size * byte_pj(machine, memory, WRITE if written else READ)


def alike_over_units(space: MapSpace, einsum: Einsum) -> dict[str, set[Spread]]:
    """How all Einsums that use a tensor may lay it over one unit, for each that the Einsum makes or reads and
    that is made and read.
    """
    found: dict[str, set[Spread]] = {}
    for name in {einsum.name, *(access.tensor for access in einsum.reads)}:
        users = [one for one in space.cascade.einsums if uses(one, name)]
        if any(one.name == name for one in users) and any(a.tensor == name for e in users for a in e.reads):
            ways = [{spread(space.cascade, n, name) for n in space.every_leaf(one)} for one in users]
            found[name] = set.intersection(*ways)
    return found


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
        lives = {name: Residence(memory=machine.dram.name) for name in {access.tensor for access in accesses}}
        for moved in leaf_cost(cascade, machine, einsum, node, cascade.sizes, lives).accesses:
            yield moved.tensor, moved.read_bytes, False
            yield moved.tensor, moved.write_bytes, True
        return
    sizes: dict[str, int] = {}
    for access in accesses:
        size = dram_tile_bytes(cascade, machine, access, cascade.sizes)
        sizes[access.tensor] = max(size, sizes.get(access.tensor, 0))
    for name, size in sizes.items():
        yield name, size, name == einsum.name


def _compulsory(cascade: Cascade, machine: Machine) -> tuple[dict[str, float], float]:
    """Seconds of DRAM's ports and picojoules of each input and result once, where bounds can't cut it."""
    cut = {term.rank for b in cascade.bounds for side in (b.left, b.right) for term in side.terms}
    inputs = {tensor.name for tensor in cascade.inputs}
    sizes: dict[tuple[str, bool], int] = {}
    for einsum in cascade.einsums:
        for access in (*einsum.reads, einsum.output):
            made = access is einsum.output
            crosses = cascade.is_output(einsum.name) if made else access.tensor in inputs
            if crosses and not cut & set(access.ranks):
                size = dram_tile_bytes(cascade, machine, access, cascade.sizes)
                sizes[access.tensor, made] = max(size, sizes.get((access.tensor, made), 0))
    seconds, total, clock = dict[str, float](), 0.0, Clock(machine)
    for (_, written), size in sizes.items():
        port, busy, pj = _passing(clock, machine.dram.name, size, written)
        seconds[port], total = seconds.get(port, 0.0) + busy, total + pj
    return seconds, total


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
