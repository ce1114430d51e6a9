"""FPGA accelerators of DSP chains beside HBM or DDR (FlightLLM, SAT): units, buffers, and what they take."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec

from einsim.accel.fabric.arrays import nm_chain, systolic_os
from einsim.accel.machine import Machine, OpCost, Role, Unit
from einsim.accel.memory import Memory
from einsim.accel.parts import Part, part_named, part_names
from einsim.accel.resources import blocks, ceil_div, check_fit, on_part, total
from einsim.accel.written import Count, Name, WrittenDram, WrittenFamily, WrittenLanes, WrittenPort
from einsim.specs.errors import RuleError, below
from einsim.specs.near import near
from einsim.specs.units import Bytes

Amount = Annotated[int, msgspec.Meta(ge=0, le=10**8)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class BoardDram(WrittenDram, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HBM or DDR: its peak `bandwidth`, and the share of it that each data `placement` reaches."""

    channels: Count
    """Channels of the memory; each takes logic of its own."""
    efficiency: Annotated[dict[Name, Share], msgspec.Meta(min_length=1)]
    """Share of the peak bandwidth that is reached, by the name of a data placement."""
    placement: Name
    """The placement that this design uses, of `efficiency`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.placement not in self.efficiency:
            hint = near(self.placement, self.efficiency)
            raise RuleError(
                "must be one of dram.efficiency", got=self.placement, hint=hint, at=("placement",)
            )


class MatrixArray(WrittenLanes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A matrix array in each SLR, its macs cascaded in chains of `chain` along the reduction.

    Of `macs_per_dsp` (packing) and `dsps_per_mac` (wide formats) one is 1. `shares_dsps_of` names another
    array whose DSPs this one is a mode of: it takes none itself, and only one of the two computes at a time.
    """

    rows: Count
    """Rows of macs in each SLR."""
    cols: Count
    """Columns of macs in each SLR."""
    chain: Count = 1
    """Macs that are cascaded along the reduction; it divides rows x cols. A result passes the others of its
    chain, a cycle each.
    """
    kind: Literal["dsp-chain", "systolic"] = "dsp-chain"
    """`dsp-chain`: cascaded DSPs; `systolic`: a grid that operands stream through."""
    macs_per_dsp: Annotated[int, msgspec.Meta(ge=1, le=4)] = 1
    """Macs that are packed into one DSP."""
    dsps_per_mac: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    """DSPs that one mac of a wide format takes."""
    shares_dsps_of: Name | None = None
    """Another array whose DSPs this one is a mode of: it takes none itself, and the two take turns."""

    def __post_init__(self) -> None:
        if self.macs_per_dsp > 1 and self.dsps_per_mac > 1:
            raise RuleError(
                "must be 1 where macs_per_dsp is above 1", got=self.dsps_per_mac, at=("dsps_per_mac",)
            )
        if self.rows * self.cols % self.chain:
            rule = f"must divide rows x cols = {self.rows * self.cols:,}"
            raise RuleError(rule, got=self.chain, at=("chain",))

    def costs(self) -> dict[str, OpCost]:
        """The written ops; a result passes the other macs of its chain."""
        return {op: _later(cost, self.chain - 1) for op, cost in super().costs().items()}

    @property
    def dsps(self) -> int:
        """DSPs of one SLR's array."""
        return ceil_div(self.rows * self.cols, self.macs_per_dsp) * self.dsps_per_mac


class VectorLanes(WrittenLanes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A special-function or element-wise unit in each SLR, and what one lane takes."""

    lanes: Count
    """Lanes in each SLR."""
    dsps_per_lane: Amount = 0
    """DSPs of one lane."""
    luts_per_lane: Amount = 0
    """LUTs of one lane."""
    ffs_per_lane: Amount = 0
    """Flip-flops of one lane."""


class Buffer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One on-chip buffer in each SLR, built from block RAM or UltraRAM, read `width_bits` a cycle."""

    capacity: Bytes
    """Size in each SLR."""
    width_bits: Count
    """Bits that are read in one cycle."""
    ram: Literal["bram", "uram"]
    """What it is built of: block RAM or UltraRAM."""
    holds: tuple[Role, ...] | None = None
    """What stands in it, of `inputs`, `weights`, `outputs`: it is then a memory of its own. `[]`: no tensors,
    but instructions, say. Buffers that leave it out are memory `gb` together.
    """
    parent: Name = "dram"
    """The next memory outward: `dram`, or another buffer with a `holds` of its own."""

    def __post_init__(self) -> None:
        if self.parent != "dram" and not self.holds:
            raise RuleError("is for a buffer with a holds of its own", got=self.parent, at=("parent",))


class Logic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """LUTs and flip-flops around the DSPs, in each SLR but for the channels, and DSPs of the control.

    What `luts_per_dsp` or `ffs_per_dsp` leaves out is counted from the arrays' structure (accel.fabric), as
    the RTL of their kind has it with operands of the array's `bits`.
    """

    luts_per_dsp: Amount | None = None
    """LUTs around one DSP; counted from the arrays' structure where it is left out."""
    ffs_per_dsp: Amount | None = None
    """Flip-flops around one DSP; counted from the arrays' structure where it is left out."""
    luts_per_chain: Amount = 0
    """LUTs of one chain."""
    luts_per_channel: Amount
    """LUTs of one DRAM channel's controller."""
    luts_of_control: Amount
    """LUTs of the control in each SLR."""
    ffs_of_control: Amount
    """Flip-flops of the control in each SLR."""
    dsps_of_control: Amount
    """DSPs of the control in each SLR."""


class FpgaDsp(WrittenFamily, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an architect of an FPGA accelerator writes down; the same design stands in every SLR.

    `effective_slrs` is how many of the `slrs` the published times behave like: it slows every unit's
    clock by effective_slrs / slrs and nothing else. Memories `dram`, and `gb` (all buffers together) or each
    buffer that says what it holds.
    """

    family: Literal["fpga-dsp"]
    """The family that derives the machine."""
    part: Annotated[Name, msgspec.Meta(extra_json_schema={"enum": [*part_names()]})]
    """The FPGA that the design must fit."""
    dram: BoardDram
    """Memory `dram`: HBM or DDR."""
    matrix: Annotated[dict[Name, MatrixArray], msgspec.Meta(min_length=1)]
    """The matrix arrays of each SLR by name; each is a unit."""
    vector: Annotated[dict[Name, VectorLanes], msgspec.Meta(min_length=1)]
    """The vector and special-function units of each SLR by name; each is a unit."""
    buffers: Annotated[dict[Name, Buffer], msgspec.Meta(min_length=1)]
    """The on-chip buffers of each SLR by name: together memory `gb`, unless they say what they hold."""
    buffer_port: WrittenPort
    """How the buffers are reached, all together; without a bandwidth here, each gives and takes its width a
    cycle, which those that say what they hold do in any case.
    """
    logic: Logic
    """LUTs and flip-flops around the DSPs."""
    slrs: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    """Super logic regions, each with the whole design."""
    effective_slrs: Annotated[float, msgspec.Meta(gt=0, le=8)] | None = None
    """How many SLRs the published times behave like: slows every unit's clock by its share of `slrs`."""

    def __post_init__(self) -> None:
        if self.effective_slrs is not None and self.effective_slrs > self.slrs:
            raise RuleError(f"must be <= slrs = {self.slrs}", got=self.effective_slrs, at=("effective_slrs",))
        self._check_buffers()
        for name, array in self.matrix.items():
            if array.shares_dsps_of is None:
                continue
            where = ("matrix", name, "shares_dsps_of")
            host = self.matrix.get(array.shares_dsps_of)
            if host is None or host.shares_dsps_of is not None:
                hosts = [other for other, own in self.matrix.items() if own.shares_dsps_of is None]
                rule = "must name an array with DSPs of its own"
                raise RuleError(
                    rule, got=array.shares_dsps_of, hint=near(array.shares_dsps_of, hosts), at=where
                )
            if array.dsps > host.dsps:
                rule = f"needs {array.dsps:,} DSPs, '{array.shares_dsps_of}' has {host.dsps:,}"
                raise RuleError(rule, at=where)

    def _check_buffers(self) -> None:
        """Buffers say all or none what they hold, and together they hold inputs and outputs."""
        tensors = {name: one for name, one in self.buffers.items() if one.holds != ()}
        own = {name: one for name, one in tensors.items() if one.holds}
        for name in tensors if own else ():
            if name not in own:
                raise RuleError("must say what it holds, as others do", at=("buffers", name, "holds"))
        held = {role for one in own.values() for role in one.holds or ()}
        if not tensors or (own and not {"inputs", "outputs"} <= held):
            raise RuleError("must hold inputs and outputs in some buffer", got=sorted(held), at=("buffers",))
        port = self.buffer_port
        if own and (port.bandwidth or port.read_bandwidth or port.write_bandwidth):
            rule = "buffers that say what they hold give and take their width a cycle"
            raise RuleError(rule, got="a bandwidth", at=("buffer_port",))


def _later(cost: OpCost, cycles: int) -> OpCost:
    return msgspec.structs.replace(
        cost, latency_cycles=cost.latency_cycles + cycles,
        by_bits={width: _later(own, cycles) for width, own in cost.by_bits.items()},
    )  # fmt: skip


def resources(spec: FpgaDsp, part: Part) -> dict[str, int]:
    """What the design takes of the part: DSPs exact, memory blocks by geometry, logic to first order."""
    logic = spec.logic
    needs = [{"dsp": logic.dsps_of_control, "lut": logic.luts_of_control, "ff": logic.ffs_of_control}]
    needs += [_logic(array, logic) for array in spec.matrix.values() if array.shares_dsps_of is None]
    for unit in spec.vector.values():
        lane = {"dsp": unit.dsps_per_lane, "lut": unit.luts_per_lane, "ff": unit.ffs_per_lane}
        needs.append({resource: each * unit.lanes for resource, each in lane.items()})
    for buffer in spec.buffers.values():
        resource = "bram36" if buffer.ram == "bram" else "uram"
        needs.append({resource: blocks(buffer.capacity, buffer.width_bits, part.rams(buffer.ram))})
    channels = {"lut": logic.luts_per_channel * spec.dram.channels}
    return total([total(needs, spec.slrs), channels])


def _logic(array: MatrixArray, logic: Logic) -> dict[str, int]:
    """DSPs of an array, and LUTs and flip-flops by the written coefficients, else from its structure."""
    chains = array.rows * array.cols // array.chain
    found: dict[str, int] = {}
    if logic.luts_per_dsp is None or logic.ffs_per_dsp is None:
        if array.macs_per_dsp * array.dsps_per_mac != 1:
            rule = "must be written for an array of other than one mac a DSP, which RTL here has"
            raise RuleError(
                rule, at=("logic", "luts_per_dsp" if logic.luts_per_dsp is None else "ffs_per_dsp")
            )
        bits = max(array.bits, default=8)
        rows = array.rows if array.cols % array.chain == 0 else 1
        found = (
            systolic_os(array.rows, array.cols, bits).resources()
            if array.kind == "systolic"
            else nm_chain(rows, chains // rows, array.chain, bits).resources()
        )
    if logic.luts_per_dsp is not None:
        found["lut"] = logic.luts_per_dsp * array.dsps + logic.luts_per_chain * chains
    if logic.ffs_per_dsp is not None:
        found["ff"] = logic.ffs_per_dsp * array.dsps
    return {**found, "dsp": array.dsps}


def derive(spec: FpgaDsp, name: str) -> Machine:
    """The machine of these parameters; RuleError with the numbers when it does not fit its part."""
    part = part_named(spec.part)
    if spec.slrs > part.slrs:
        raise RuleError(f"must be <= {part.slrs}, all that {part.name} has", got=spec.slrs, at=("slrs",))
    units = (*spec.matrix.values(), *spec.vector.values())
    clock = max(float(spec.clock), *(float(unit.clock or 0) for unit in units))
    if clock > part.fastest_hz:
        rule = f"must be <= {part.fastest_hz / 1e6:g} MHz, the DSPs of {part.name} in its fastest speed grade"
        raise RuleError(rule, got=f"{clock / 1e6:g} MHz", at=("clock",))
    needs = resources(spec, part)
    check_fit(needs, part)
    machine = spec.assembled(name, spec.family, _memories(spec), _units(spec))
    return on_part(machine, part, needs)


def _memories(spec: FpgaDsp) -> tuple[Memory, ...]:
    dram = spec.dram.reached(spec.dram.efficiency[spec.dram.placement])
    own = {name: buffer for name, buffer in spec.buffers.items() if buffer.holds}
    if not own:
        return dram, _memory(spec, "gb", [one for one in spec.buffers.values() if one.holds is None])
    return dram, *(
        msgspec.structs.replace(_memory(spec, name, [one]), parent=one.parent, holds=one.holds)
        for name, one in own.items()
    )


def _memory(spec: FpgaDsp, name: str, buffers: list[Buffer]) -> Memory:
    """One memory of some buffers in every SLR."""
    port = spec.buffer_port
    with below("buffer_port"):
        made = port.memory(name, parent="dram", capacity=spec.slrs * sum(one.capacity for one in buffers))
    if port.bandwidth or port.read_bandwidth or port.write_bandwidth:
        return made
    rate = int(spec.slrs * sum(one.width_bits for one in buffers) / 8 * float(spec.clock))
    return msgspec.structs.replace(made, read_bytes_per_s=rate, write_bytes_per_s=rate, shared_port=False)


def _near(spec: FpgaDsp) -> tuple[str | dict[Role, str], str | dict[Role, str]]:
    """Where matrix arrays and vector units find what they read and write: each in the innermost buffer that
    holds it, but that a vector unit writes to where its inputs stand, if outputs may stand there.
    """
    own = {name: buffer for name, buffer in spec.buffers.items() if buffer.holds}
    if not own:
        return "gb", "gb"
    near: dict[Role, str] = {}
    for role in get_args(Role):
        holding = {name: one for name, one in own.items() if role in (one.holds or ())}
        inner = [name for name in holding if all(one.parent != name for one in holding.values())]
        if inner:
            near[role] = inner[0]
    beside = near["inputs"] if "outputs" in (own[near["inputs"]].holds or ()) else near["outputs"]
    return near, {"inputs": near["inputs"], "outputs": beside}


def _units(spec: FpgaDsp) -> dict[str, Unit]:
    """The units by the paths that they are written at."""
    cores = {"cores": spec.slrs} if spec.slrs > 1 else {}
    slowdown = 1.0 if spec.effective_slrs is None else spec.effective_slrs / spec.slrs
    units: dict[str, Unit] = {}
    matrix, vector = _near(spec)
    for name, array in spec.matrix.items():
        with below("matrix", name):
            dims = {**cores, "rows": array.rows, "cols": array.cols}
            made = array.unit(name, kind=array.kind, dims=dims, reads_from=matrix)
            units[f"matrix.{name}"] = msgspec.structs.replace(made, mode_of=array.shares_dsps_of or "")
    for name, lanes in spec.vector.items():
        with below("vector", name):
            dims = {**cores, "lanes": lanes.lanes}
            units[f"vector.{name}"] = lanes.unit(name, kind="vector", dims=dims, reads_from=vector)
    if slowdown == 1.0:
        return units
    return {
        path: msgspec.structs.replace(unit, clock_hz=(unit.clock_hz or float(spec.clock)) * slowdown)
        for path, unit in units.items()
    }
