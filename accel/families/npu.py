"""Mobile NPUs: cores of one tensor engine, some wide vector units and a scratchpad, beside LPDDR."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from einsim.accel.composed import completed
from einsim.accel.machine import Machine
from einsim.accel.written import Count, Cycles, WrittenFamily, WrittenLanes, WrittenPort
from einsim.specs.errors import RuleError, below
from einsim.specs.units import Bytes, BytesPerSecond

Precision = Literal[8, 16]


class Dram(WrittenPort, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """LPDDR: its peak `bandwidth` and the share that is reached."""

    capacity: Bytes | None = None
    """Its size; unbounded where it is left out."""
    efficiency: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    """Share of the peak bandwidth that is reached."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bandwidth is None:
            raise RuleError("missing key 'bandwidth'")


class MacCycles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cycles of one mac of the tensor engine at each precision of the activations."""

    int8: Cycles
    """Cycles of a mac with 8-bit activations."""
    int16: Cycles
    """Cycles of a mac with 16-bit activations."""


class Tensor(WrittenLanes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tensor engine of each core; `mac_cycles` replaces the cycles of its ops."""

    rows: Count
    """Rows of the engine in each core."""
    cols: Count
    """Columns of the engine in each core."""
    mac_cycles: MacCycles
    """Cycles of one mac by precision; they replace those of its ops."""
    kind: Literal["array", "systolic"] = "systolic"
    """`systolic` streams one operand through the engine."""


class Vector(WrittenLanes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The vector units of each core, `width_bits` wide whatever the element."""

    units: Count
    """Vector units in each core."""
    width_bits: Annotated[int, msgspec.Meta(ge=16, le=65536, multiple_of=16)]
    """Bits of each; its lanes are this over the precision."""


class Npu(WrittenFamily, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an architect of an NPU writes down; capacities and counts are per core.

    `precision` is the activations' bits: it sets the tensor engine's rate and the lanes of a vector unit.
    Units `tensor` and `vector`, memories `dram` and `gb` (the scratchpads together).
    """

    family: Literal["npu"]
    """The family that derives the machine."""
    precision: Precision
    """Bits of the activations: it sets the tensor engine's rate and the lanes of a vector unit."""
    cores: Count
    """Cores, each with an engine, vector units and a scratchpad."""
    dram: Dram
    """Memory `dram`: LPDDR."""
    scratchpad: Bytes
    """Size of each core's scratchpad; together they are memory `gb`."""
    scratchpad_port: WrittenPort
    """How the scratchpads are reached, all together."""
    tensor: Tensor
    """Unit `tensor`: the matrix engine of each core."""
    vector: Vector
    """Unit `vector`: the vector units of each core."""


def derive(spec: Npu, name: str) -> Machine:
    """The machine of these parameters at its precision."""
    cores = {"cores": spec.cores} if spec.cores > 1 else {}
    cycles = spec.tensor.mac_cycles.int8 if spec.precision == 8 else spec.tensor.mac_cycles.int16
    ops = {
        op: msgspec.structs.replace(cost, cycles=cycles) if cost.made_of is None else cost
        for op, cost in spec.tensor.costs().items()
    }
    with below("tensor"):
        dims = {**cores, "rows": spec.tensor.rows, "cols": spec.tensor.cols}
        tensor = spec.tensor.unit("tensor", kind=spec.tensor.kind, dims=dims, reads_from="gb", ops=ops)
    vector_ops, added = completed(spec.vector.costs())
    with below("vector"):
        vector = spec.vector.unit(
            "vector",
            kind="vector",
            dims={"cores": spec.cores * spec.vector.units, "lanes": spec.vector.width_bits // spec.precision},
            reads_from="gb",
            ops=vector_ops,
        )
    dram = spec.dram.memory("dram", parent=None, capacity=spec.dram.capacity)
    with below("dram", "bandwidth"):
        reached = BytesPerSecond.parse(int((spec.dram.bandwidth or 0) * spec.dram.efficiency))
    return Machine(
        name=name,
        family=spec.family,
        clock_hz=float(spec.clock),
        memories=(
            msgspec.structs.replace(dram, read_bytes_per_s=int(reached)),
            spec.scratchpad_port.memory("gb", parent="dram", capacity=spec.scratchpad * spec.cores),
        ),
        units=(tensor, vector),
        leakage_w=float(spec.leakage),
        noc=spec.noc.noc() if spec.noc else None,
        technology=spec.technology,
        sources=spec.sources,
        assumed=(*spec.assumed, *(f"vector.ops.{op}" for op in added)),
    )
