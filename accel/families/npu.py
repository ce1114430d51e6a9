"""Mobile NPUs: cores of one tensor engine, some wide vector units and a scratchpad, beside LPDDR."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from einsim.accel.machine import Machine, OpCost, Packs, Unit, total_pj
from einsim.accel.written import Count, Name, PeakDram, Share, WrittenFamily, WrittenLanes, WrittenPort
from einsim.accel.written_op import Cycles, WrittenOp
from einsim.specs.errors import RuleError, below
from einsim.specs.units import Bytes

Precision = Literal[8, 16]


class MacCycles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cycles of one mac of the tensor engine, with 8-bit weights; wider ones take passes of these."""

    int8: Cycles
    """Cycles of a mac of two 8-bit operands."""
    int16: Cycles
    """Cycles of a mac of a 16-bit operand and an 8-bit one; two of 16 bits take twice as long."""


class TensorEngine(WrittenLanes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tensor engine of each core; `mac_cycles` replaces the cycles of its ops."""

    rows: Count
    """Rows of the engine in each core."""
    cols: Count
    """Columns of the engine in each core."""
    pixels: Count = 1
    """Pixels of an image, or tokens, of 8 bits that go through it together; of 16 bits half as many, in half
    the cycles. With several, rows are input channels and columns output channels, each in whole blocks.
    """
    packs: tuple[Packs, ...] = ()
    """With `pixels`: `lines` beside each other, that is pixels of several lines of an image at once; beside
    few channels in the rows `taps` of a kernel along a line, or `groups` of a convolution as blocks of a
    diagonal.
    """
    overlaps: bool = True
    """Whether operands and results move while it computes; else it and DRAM's transfers take turns."""
    mac_cycles: MacCycles
    """Cycles of one mac by the operands' bits; they are those of its ops, which give none."""
    kind: Literal["array", "systolic"] = "systolic"
    """`systolic` streams one operand through the engine."""

    def __post_init__(self) -> None:
        for op, cost in self.ops.items():
            if cost.made_of is None and (cost.cycles != 1 or cost.by_bits):
                key = "by_bits" if cost.by_bits else "cycles"
                raise RuleError("is what mac_cycles says here", at=("ops", op, key))

    def costs(self) -> dict[str, OpCost]:
        """Ops at 8 by 8 bits, and where 16 bits are built, at 16 by 8: two products' energy."""
        found = {}
        for op, cost in super().costs().items():
            double = total_pj([(cost.energy_pj, 2)])
            wide = msgspec.structs.replace(cost, cycles=self.mac_cycles.int16, energy_pj=double)
            found[op] = cost if cost.made_of is not None else msgspec.structs.replace(
                cost, cycles=self.mac_cycles.int8,
                by_bits={"16x8": wide} if not self.bits or max(self.bits) > 8 else {},
            )  # fmt: skip
        return found


class Outlet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What results pass on their way out of each core's engine: bias, requantisation, an activation."""

    lanes: Count
    """Results that it passes on in a cycle."""
    ops: dict[Name, WrittenOp]
    """What it can do to a result, each op in so many cycles."""
    fused_ops: tuple[tuple[str, ...], ...] = ()
    """Chains of ops that it does as one, such as `[[add, max]]`."""


FUNCTIONS: Final = ("exp", "log", "sqrt", "rsqrt", "sigmoid", "tanh", "erf")
"""Ops of one operand that a table may hold."""


class LookUpTables(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Functions of one short operand, such as sigmoid of 8 bits, are looked up."""

    bits: Annotated[int, msgspec.Meta(ge=1, le=16)]
    """The longest operand that a table is read by."""
    cycles: Cycles
    """Cycles of a look-up on each lane."""


class VectorUnits(WrittenLanes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The vector units of each core, `width_bits` wide whatever the element."""

    units: Count
    """Vector units in each core."""
    width_bits: Annotated[int, msgspec.Meta(ge=16, le=65536, multiple_of=16)]
    """Bits of each; its lanes are this over the precision."""
    efficiency: Share = 1.0
    """Share of its cycles in which it issues arithmetic; loads, stores and changes of format take the rest.
    """
    tables: LookUpTables | None = None
    """How functions of short operands are looked up; without it they are computed at any width."""


class Npu(WrittenFamily, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an architect of an NPU writes down; capacities and counts are per core.

    `precision` is the activations' bits: it sets the lanes of a vector unit, whose wider elements take
    several. The tensor engine's rate follows from the bits of what it multiplies.
    Units `tensor`, `vector` and, with one, `outlet`, memories `dram` and `gb` (the scratchpads together).
    """

    family: Literal["npu"]
    """The family that derives the machine."""
    precision: Precision
    """Bits of the activations: a vector unit has as many lanes as elements of so many bits."""
    cores: Count
    """Cores, each with an engine, vector units and a scratchpad."""
    wide_run_cycles: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0
    """Cycles that starting a run takes beyond `dispatch.run_cycles` where activations have 16 bits."""
    dram: PeakDram
    """Memory `dram`: LPDDR."""
    scratchpad: Bytes
    """Size of each core's scratchpad; together they are memory `gb`."""
    scratchpad_port: WrittenPort
    """How the scratchpads are reached, all together."""
    tensor: TensorEngine
    """Unit `tensor`: the matrix engine of each core."""
    vector: VectorUnits
    """Unit `vector`: the vector units of each core."""
    outlet: Outlet | None = None
    """Unit `outlet`: point by point work on the engine's results as they leave it. Without one, vector units
    do it.
    """


def derive(spec: Npu, name: str) -> Machine:
    """The machine of these parameters at its precision."""
    cores = {"cores": spec.cores} if spec.cores > 1 else {}
    with below("tensor"):
        pixels = {"pixels": spec.tensor.pixels * 8 // spec.precision} if spec.tensor.pixels > 1 else {}
        dims = {**cores, **pixels, "rows": spec.tensor.rows, "cols": spec.tensor.cols}
        tensor = spec.tensor.unit("tensor", kind=spec.tensor.kind, dims=dims, reads_from="gb")
        ops = _in_blocks(tensor.ops, spec.precision // 8) if pixels else tensor.ops
        stops = "" if spec.tensor.overlaps else "dram"
        tensor = msgspec.structs.replace(tensor, bits=(8,), packs=spec.tensor.packs, ops=ops, stops=stops)
    with below("vector"):
        vector = spec.vector.unit(
            "vector",
            kind="vector",
            dims={"cores": spec.cores * spec.vector.units, "lanes": spec.vector.width_bits // spec.precision},
            reads_from="gb",
            ops=_on_lanes(spec.vector.costs(), spec.vector.bits, spec.precision),
        )
        if spec.vector.tables:
            vector = msgspec.structs.replace(vector, ops=_looked_up(vector.ops, spec.vector.tables))
        rate = (vector.clock_hz or float(spec.clock)) * spec.vector.efficiency
        vector = msgspec.structs.replace(
            vector, bits=(spec.precision,), clock_hz=vector.clock_hz if spec.vector.efficiency == 1 else rate
        )
    units = {"tensor": tensor, "vector": vector}
    if spec.outlet:
        with below("outlet"):
            units["outlet"] = Unit(
                name="outlet", kind="vector", dims={**cores, "lanes": spec.outlet.lanes},
                ops={op: cost.cost() for op, cost in spec.outlet.ops.items()}, reads_from="gb",
                fused_ops=spec.outlet.fused_ops, follows="tensor",
            )  # fmt: skip
    with below("scratchpad_port"):
        scratchpads = spec.scratchpad_port.memory("gb", parent="dram", capacity=spec.scratchpad * spec.cores)
    memories = (spec.dram.reached(spec.dram.efficiency), scratchpads)
    machine = spec.assembled(name, spec.family, memories, units)
    wide = spec.wide_run_cycles if spec.precision > 8 else 0
    start = msgspec.structs.replace(machine.dispatch, run_cycles=machine.dispatch.run_cycles + wide)
    return msgspec.structs.replace(machine, dispatch=start)


def _looked_up(ops: dict[str, OpCost], tables: LookUpTables) -> dict[str, OpCost]:
    """Ops with functions of short operands as look-ups, whatever they are made of for longer ones."""
    short = {str(tables.bits): OpCost(cycles=tables.cycles)}
    return {
        name: msgspec.structs.replace(cost, by_bits={**short, **cost.by_bits}) if name in FUNCTIONS else cost
        for name, cost in ops.items()
    }


def _in_blocks(ops: dict[str, OpCost], parts: int) -> dict[str, OpCost]:
    """Ops on a block that is cut into so many parts: each takes its share of the cycles."""
    return {
        name: msgspec.structs.replace(
            cost, cycles=-(-cost.cycles // parts), by_bits=_in_blocks(cost.by_bits, parts)
        )
        for name, cost in ops.items()
    }


def _on_lanes(ops: dict[str, OpCost], bits: tuple[int, ...], precision: int) -> dict[str, OpCost]:
    """Elements of a built width above the precision take several lanes: so many cycles, and energies."""
    found = {}
    for op, cost in ops.items():
        times = {wide: -(-wide // precision) for wide in bits if wide > precision}
        found[op] = cost if cost.made_of is not None else msgspec.structs.replace(
            cost, by_bits={
                **{
                    str(wide): msgspec.structs.replace(
                        cost, cycles=cost.cycles * count, energy_pj=total_pj([(cost.energy_pj, count)])
                    )
                    for wide, count in times.items()
                },
                **cost.by_bits,
            },
        )  # fmt: skip
    return found
