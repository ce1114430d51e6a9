"""Small machines and a short way to run the oracle in the laws of this folder."""

from __future__ import annotations

import numpy as np

from einsim.accel.machine import Machine, OpCost, Unit
from einsim.accel.memory import Memory
from einsim.accel.registers import RegisterFile
from einsim.dataflow.mapping import Mapping, Node
from einsim.validation.oracle.walk import Execution, run
from einsim.workloads.cascade import Cascade
from einsim.workloads.execute import execute

GHZ = 1_000_000_000


def memory(name: str, parent: str | None, **more: object) -> Memory:
    fields = {
        "capacity_bytes": None,
        "read_bytes_per_s": 32 * GHZ,
        "write_bytes_per_s": None,
        "read_pj": 10.0,
    }
    return Memory(name=name, parent=parent, **{**fields, "write_pj": 12.0, **more})  # type: ignore[arg-type]


def machine(
    rows: int = 4, cols: int = 4, lanes: int = 4, *, cores: int = 0, copies: int = 1, **more: object
) -> Machine:
    """DRAM, a shared memory `gb`, where `copies` is above 1 also `near` in each core, a grid and a row of lanes."""
    several = {"cores": cores} if cores else {}
    memories = [memory("dram", None, access_bytes=8), memory("gb", "dram")]
    if copies > 1:
        memories.append(memory("near", "gb", copies=copies))
    ops = {op: OpCost(energy_pj=0.5) for op in ("mac", "mul", "add", "max", "exp", "div", "select", "cmp")}
    registers = RegisterFile(bytes_per_pe=1 << 20, read_pj=1.0, write_pj=1.0)
    unit = {"ops": ops, "reads_from": memories[-1].name, "registers": registers, **more}
    units = (
        Unit(name="grid", kind="array", dims={**several, "rows": rows, "cols": cols}, **unit),  # type: ignore[arg-type]
        Unit(name="lanes", kind="vector", dims={**several, "lanes": lanes}, **unit),  # type: ignore[arg-type]
    )
    return Machine(name="small", family="generic", clock_hz=float(GHZ), memories=tuple(memories), units=units)


def values(cascade: Cascade, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {tensor.name: rng.uniform(0.5, 1.5, cascade.shape(tensor.name)) for tensor in cascade.inputs}


def outcome(cascade: Cascade, chip: Machine, tree: Node) -> Execution:
    return run(
        cascade,
        chip,
        Mapping(cascade=cascade.name, machine=chip.name, template="test", tree=tree),
        values(cascade),
    )


def right(cascade: Cascade, found: Execution) -> bool:
    wanted = execute(cascade, values(cascade))
    return all(
        np.allclose(found.outputs[name][asked], wanted[name][asked], equal_nan=True)
        for name, asked in found.results.items()
    )


def traffic(found: Execution, memory_name: str, tensor: str) -> int:
    return found.books.reads[memory_name, tensor] + found.books.writes[memory_name, tensor]
