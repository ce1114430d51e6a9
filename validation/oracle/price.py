"""What an outcome costs: dynamic energy, and the cycles below which no unit, port or chain can end."""

from __future__ import annotations

from collections import Counter

from einsim.accel.machine import Machine
from einsim.dataflow.mapping import Compute, Mapping, walk
from einsim.validation.oracle.walk import Execution
from einsim.workloads.cascade import Cascade

PICO = 1e-12


def dynamic_energy(machine: Machine, outcome: Execution) -> dict[str, float]:
    """Joules of operations, registers and whole accesses, by "UNIT OP", "UNIT registers" and memory, as
    far as the machine states them.
    """
    found: Counter[str] = Counter()
    for (unit_name, op), count in outcome.ops.items():
        joules = count * (machine.unit(unit_name).cost(op).energy_pj or 0.0) * PICO
        found[f"{unit_name} {op.partition('@')[0]}"] += joules  # type: ignore[assignment]
    for (unit_name, kind), count in outcome.books.registers.items():
        registers = machine.unit(unit_name).registers
        each = None if registers is None else registers.read_pj if kind == "read" else registers.write_pj
        found[f"{unit_name} registers"] += count * (each or 0.0) * PICO  # type: ignore[assignment]
    for (name, _, kind), size in outcome.books.moved.items():
        memory = machine.memory(name)
        each = memory.read_pj if kind == "read" else memory.write_pj
        found[name] += size // memory.access_bytes * (each or 0.0) * PICO  # type: ignore[assignment]
    return {name: float(joules) for name, joules in found.items()}


def least_cycles(
    cascade: Cascade, machine: Machine, outcome: Execution, mapping: Mapping | None = None
) -> dict[str, float]:
    """Cycles of the machine's clock by "unit NAME", "port NAME" (buses and the network too) and "chain".

    Tensors take the banks of a memory in turn, as the mapping (without one: the cascade) comes to them.
    """
    found: Counter[str] = Counter()
    for name, cycles in outcome.unit_cycles.items():
        found[f"unit {name}"] = cycles
    einsums = cascade.einsums
    if mapping is not None:
        nodes = (node for node, _ in walk(mapping.tree))
        einsums = tuple(cascade.einsum(node.einsum) for node in nodes if isinstance(node, Compute))
    turn: dict[str, int] = {}
    for einsum in einsums:
        for tensor in (*(read.tensor for read in einsum.reads), einsum.name):
            turn.setdefault(tensor, len(turn))
    for (name, tensor, kind), size in outcome.books.moved.items():
        memory = machine.memory(name)
        rate = memory.read_bytes_per_s if kind == "read" or memory.shared_port else memory.write_bytes_per_s
        if rate:
            port = name if memory.shared_port else f"{name}.{kind}"
            port += f".{turn.get(tensor, 0) % memory.banks}" if memory.banks > 1 else ""
            found[f"port {port}"] += size * memory.banks / rate * machine.clock_hz  # type: ignore[assignment]
    for name, (once, each) in outcome.books.crossed.items():
        memory = machine.memory(name)
        if memory.bus_bytes_per_s:
            found[f"port bus {memory.bus}"] += once / memory.bus_bytes_per_s * machine.clock_hz  # type: ignore[assignment]
        if machine.noc and name in machine.near:
            size = once if machine.noc.multicast else each
            found["port noc"] += size / machine.noc.bytes_per_s * machine.clock_hz  # type: ignore[assignment]
    found["chain"] = outcome.chain_cycles  # type: ignore[assignment]
    return {name: float(cycles) for name, cycles in found.items()}
