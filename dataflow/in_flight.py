"""What a program takes at least by Little's law: of transfers with a latency only so many go on at once.

A transfer is under way from its first byte until what it brings is visible. Of those in a memory's window
there are at most as many at once as that has room for, and of those that fill a home as many as it has
buffers, each of which is also held while its tile is computed with. So a program takes at least the sum of
those times over how many there may be at once.
"""

from __future__ import annotations

from collections.abc import Mapping

from einsim.dataflow.program import Op, Program
from einsim.dataflow.volume import Rates, Tally, tally_of


def in_flight_ticks(program: Program, counts: Mapping[int, Mapping[tuple[int, ...], int]]) -> int:
    """Ticks of the window or the home that needs most; 0 where no transfer has a latency or a window."""
    moving = [op for op in program.ops if op.kind != "compute" and (op.latency_ticks or op.window)]
    if not moving:
        return 0
    under_way = {op.id: _under_way(op, *tally_of(op, counts[op.id])) for op in moving}
    windows = (
        -(-sum(under_way[op.id] for op in moving if op.window == name) // room)
        for name, room in program.windows.items()
    )
    homes = (
        -(-(under_way[op.id] + _under_way(user, *tally_of(user, counts[user.id]))) // buffers)
        for op in moving
        for user, buffers in _users(program, op)
    )
    return max((*windows, *homes), default=0)


def _under_way(op: Op, tally: Tally, rates: Rates) -> int:
    """Ticks that all instances of an operation are busy and in flight, each with its latency."""
    kinds = ((max(kind.ticks(op.engine, rates).values(), default=0), times) for kind, times in tally.kinds)
    return sum((ticks + op.latency_ticks) * times for ticks, times in kinds)


def _users(program: Program, op: Op) -> list[tuple[Op, int]]:
    """Who computes with the tiles that a load brings, one by one, before their buffers are filled again, and
    how many of these there are: where both walk the same loops and the innermost turns the buffers.
    """
    return [
        (user, wait.lag)
        for wait in op.waits
        if op.kind == "load" and wait.cause == "capacity" and wait.lag and wait.borrow
        for user in (program.ops[wait.producer],)
        if user.kind == "compute" and user.path == op.path and wait.lag_loop == op.path[-1]
        and not op.when and not user.when and not op.cut and not user.cut
    ]  # fmt: skip
