"""Units that take turns: modes of one array of DSPs can't be busy together, so both hold its one port."""

from __future__ import annotations

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.program import Op, Stream


def arithmetic_name(machine: Machine, unit: str) -> str:
    """Engine name of the arithmetic that a unit shares with others; "" where it has its own."""
    host = machine.unit(unit).mode_of or unit
    shared = any(other.mode_of == host for other in machine.units)
    return f"dsps of {host}" if shared else ""


def taking_turns(ops: tuple[Op, ...], machine: Machine) -> tuple[Op, ...]:
    """The operations, each computation on shared arithmetic holding it for as long as it takes.

    A program that uses one mode only is left as it is.
    """
    users: dict[str, set[str]] = {}
    for op in ops:
        if op.kind == "compute" and (name := arithmetic_name(machine, op.engine)):
            users.setdefault(name, set()).add(op.engine)
    shared = {unit: name for name, units in users.items() if len(units) > 1 for unit in units}
    return tuple(_holding(op, shared[op.engine]) if op.engine in shared else op for op in ops)


def _holding(op: Op, port: str) -> Op:
    costs = {
        key: msgspec.structs.replace(cost, streams=(*cost.streams, Stream(port=port, ticks=cost.ticks)))
        for key, cost in op.costs.items()
    }
    return msgspec.structs.replace(op, costs=costs)
