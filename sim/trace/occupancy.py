"""How many bytes of each buffer hold tiles at a moment, from where the operations stand.

A tile is in its buffer from the start of whoever first writes it until every operation that the next tile in
the same bytes would wait for is done with it; where no next tile exists, until all work around it is. So the
newest tiles of a home, as many as it has buffers, are looked at, whatever the run has skipped before.
"""

from __future__ import annotations

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.held import home_bytes
from einsim.dataflow.layout import Home, Layout, lay_out
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.program import WRITE, Action, Op, Program
from einsim.sim.actor import Actor, Position
from einsim.workloads.cascade import Cascade


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """One home of a tensor: who writes it, the waits that say when a tile is free, its bytes and buffers."""

    memory: str
    tensor: str
    writer: int
    waits: tuple[int, ...]  # numbers among the writer's waits
    users: tuple[int, ...]  # operations inside the Keep that compute, or move this tensor
    depth: int  # loops above the home
    tile_bytes: int
    buffers: int


def allocations(
    program: Program, mapping: Mapping, cascade: Cascade, machine: Machine
) -> tuple[Allocation, ...]:
    """Every home outside DRAM that some operation writes."""
    layout = lay_out(mapping, cascade)
    found = []
    for home, path in layout.homes:
        if home.memory == machine.dram.name or (home.overlay and home.tensor != home.overlay[0]):
            continue
        writer = _writer(program, machine, layout, home)
        if writer is None:
            continue
        waits = tuple(
            at for at, wait in enumerate(writer.waits)
            if home.depth and wait.cause == "capacity" and wait.borrow and wait.lag == home.buffers
            and wait.lag_loop == writer.path[home.depth - 1]
        )  # fmt: skip
        users = tuple(
            op.id for op in program.ops
            if op.place[: len(home.place)] == home.place
            and (op.kind == "compute" or op.subject == home.tensor)
        )  # fmt: skip
        again = any(layout.loops[loop].count > 1 for loop in path)
        size = home_bytes(home, path, layout, cascade, machine)
        found.append(
            Allocation(
                memory=home.memory, tensor=home.tensor, writer=writer.id, waits=waits, users=users,
                depth=home.depth, tile_bytes=size // home.buffers if again else size,
                buffers=home.buffers if again else 1,
            )
        )  # fmt: skip
    return tuple(found)


def held_bytes(tile: Allocation, actors: list[Actor]) -> int:
    """Bytes that the tiles of one home hold now."""
    writer = actors[tile.writer]
    newest = _newest(writer)
    if newest is None:
        return 0
    if not tile.waits:
        return 0 if all(_over(actors[user]) for user in tile.users) else tile.tile_bytes
    base = list(newest)
    held = 0
    for _ in range(tile.buffers):
        whole = list(base)
        for slot in range(tile.depth, writer.path.depth):
            if not writer.path.pins[slot]:
                whole[slot] = max(0, writer.path.span(whole, slot)[1] - 1)
        free = all(
            target is None or writer.waits[at][1].reached(target)
            for at in tile.waits
            for target in (writer.waits[at][0].resolved(whole),)
        )
        held += 0 if free else tile.tile_bytes
        if not writer.path.before(base, tile.depth - 1, 1, borrow=True):
            break
    return held


def _over(actor: Actor) -> bool:
    """Whether the results of all instances are visible."""
    if actor.phase == "done" and not actor.flying:
        return True
    return actor.completed is not None and not actor.path.advance(list(actor.completed))


def _newest(actor: Actor) -> Position | None:
    """The latest instance that has started."""
    if actor.phase == "serving":
        return actor.position
    return actor.flying[-1][1] if actor.flying else actor.completed


def _writer(program: Program, machine: Machine, layout: Layout, home: Home) -> Op | None:
    """The operation that puts a tensor's tiles into a home."""
    registers = any(unit.name == home.memory for unit in machine.units)
    for op in program.ops:
        if op.subject != home.tensor or len(op.path) < home.depth or not op.costs:
            continue
        if op.place[: len(home.place)] != home.place:
            continue
        cost = next(iter(op.costs.values()))
        into = {
            access.memory for access in cost.accesses if access.write_bytes and access.tensor == home.tensor
        }
        if home.memory in into:
            return op
        if registers and home.memory not in into and Action(home.memory, "register", WRITE) in cost.actions:
            inner = [other for other, _ in layout.homes if other.tensor == home.tensor][-1]
            if op.kind != "compute" or inner == home:
                return op
    return None
