"""Cores one by one: where units have several cores, each core gets its own operations in the program.

Without a network (`Machine.noc`) the cores of a unit are one operation wide: they begin and end a tile
together. With one, every tile is as many operations as there are cores, each on its own core's engine, and
every transfer into or out of the memory next to the cores is

    private   each core's own part, one transfer a core: they queue for the network and the port behind it
    shared    one transfer that all cores hear (multicast), or one for each core (unicast)

so a core waits for the network by itself. Ties go to the lower core. What a core does alone takes what its
part of the tile took before: with a network that never limits, the run is the aggregated one.
"""

from __future__ import annotations

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.clock import NOC
from einsim.dataflow.program import Cost, Engine, MemoryAccess, Op, Program, Stream


class Apart(msgspec.Struct, frozen=True, kw_only=True):
    """The program core by core; `first` gives for each operation of the original its first instance."""

    program: Program
    first: dict[int, int]


def apart(program: Program, machine: Machine) -> Apart:
    """The program with an operation for each core; as it is where the machine has no network to the cores."""
    if machine.noc is None:
        return Apart(program=program, first={op.id: op.id for op in program.ops})
    copies = {op.id: _copies(op, machine) for op in program.ops}
    first, following = {}, 0
    for op in program.ops:
        first[op.id] = following
        following += copies[op.id]
    ops = tuple(
        msgspec.structs.replace(
            op,
            id=first[op.id] + core,
            engine=_engine(op.engine, op, core, machine) if copies[op.id] > 1 else op.engine,
            waits=tuple(
                msgspec.structs.replace(wait, producer=first[wait.producer] + at)
                for wait in op.waits
                for at in _producers(op, core, program.ops[wait.producer], copies)
            ),
            costs={key: _part(cost, op, core, copies[op.id], machine) for key, cost in op.costs.items()},
        )
        for op in program.ops
        for core in range(copies[op.id])
    )
    engines = _engines(program, ops, machine)
    return Apart(program=msgspec.structs.replace(program, ops=ops, engines=engines), first=first)


def _copies(op: Op, machine: Machine) -> int:
    """How many instances an operation becomes."""
    assert machine.noc is not None
    if op.kind != "compute":
        passes = any(stream.port == NOC for cost in op.costs.values() for stream in cost.streams)
        if not passes or (machine.noc.multicast and not op.private):
            return 1
    return op.cores


def _producers(op: Op, core: int, producer: Op, copies: dict[int, int]) -> range:
    """Cores whose instance of the producer is waited for: the own one if both have parts of that tensor.

    A core's own transfer and its compute wait for each other only, whatever is in it.
    """
    count = copies[producer.id]
    tensor = op.subject if op.kind != "compute" else producer.subject
    part = op.private.get(tensor)
    own = part is not None and part == producer.private.get(tensor)
    moves = (op.kind == "compute") != (producer.kind == "compute") and not producer.private.get(tensor)
    return range(core, core + 1) if (own or moves) and count == copies[op.id] else range(count)


def _engine(name: str, op: Op, core: int, machine: Machine) -> str:
    """The engine's part in one core: units, and the ports of memories next to them."""
    memory = name.split(".", maxsplit=1)[0]
    if memory in machine.near:
        return f"{name}/{core * machine.near[memory] // op.cores}"
    return f"{name}/{core}" if any(unit.name == name for unit in machine.units) else name


def _part(cost: Cost, op: Op, core: int, copies: int, machine: Machine) -> Cost:
    """What one instance costs: its points' share of time on the core's engines, of bytes on shared ones."""
    if copies == 1:
        if op.cores == 1:
            return cost
        streams = tuple(
            Stream(port=port, ticks=stream.ticks)
            for stream in cost.streams
            for port in dict.fromkeys(_engine(stream.port, op, each, machine) for each in range(op.cores))
        )
        return msgspec.structs.replace(cost, streams=streams)
    points = cost.cores if op.private else copies
    mine, most = points // copies + (core < points % copies), -(-points // copies)
    before = core * (points // copies) + min(core, points % copies)

    def share(ticks: int, engine: str) -> int:
        if _engine(engine, op, core, machine) != engine:
            return -(-ticks * mine // most)
        return ticks * (before + mine) // points - ticks * before // points

    parts = [
        Stream(port=_engine(stream.port, op, core, machine), ticks=share(stream.ticks, stream.port))
        for stream in cost.streams
    ]
    return msgspec.structs.replace(
        cost,
        ticks=share(cost.ticks, op.engine),
        streams=tuple(stream for stream in parts if stream.ticks),
        accesses=tuple(_cut(access, before, mine, points) for access in cost.accesses),
    )


def _cut(access: MemoryAccess, before: int, mine: int, points: int) -> MemoryAccess:
    """One core's part of what a tile moves: from the bytes of `before` of its `points` on."""
    size = access.read_bytes + access.write_bytes
    start, end = size * before // points, size * (before + mine) // points
    at = start
    if access.run_bytes and access.pitch_bytes:
        at = start // access.run_bytes * access.pitch_bytes + start % access.run_bytes
    return msgspec.structs.replace(
        access,
        read_bytes=end - start if access.read_bytes else 0,
        write_bytes=end - start if access.write_bytes else 0,
        offset_bytes=at,
    )


def _engines(program: Program, ops: tuple[Op, ...], machine: Machine) -> tuple[Engine, ...]:
    found: dict[str, Engine] = {}
    for engine in program.engines:
        cores = machine.unit(engine.name).dims.get("cores", 1) if engine.kind == "unit" else 1
        for core in range(cores):
            name = f"{engine.name}/{core}" if cores > 1 else engine.name
            found[name] = Engine(name=name, kind=engine.kind, pes=engine.pes // cores)
    streams = {stream.port for op in ops for cost in op.costs.values() for stream in cost.streams}
    for port in sorted((streams | {op.engine for op in ops}) - set(found) - {""}):
        found[port] = Engine(name=port, kind="port")
    return tuple(found.values())
