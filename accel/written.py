"""The words of a machine's YAML that every family shares: ops, registers, memories and units as written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from einsim.accel.codec import WrittenCodec
from einsim.accel.composed import completed
from einsim.accel.dispatch import Dispatch
from einsim.accel.fitted import FittedConstant
from einsim.accel.launch import LaunchCost, WrittenLaunch
from einsim.accel.machine import DATAFLOWS, Convention, Fill, Machine, OpCost, Role, Unit, UnitKind
from einsim.accel.memory import Memory, Refresh
from einsim.accel.noc import WrittenNoc
from einsim.accel.power import WrittenPower
from einsim.accel.registers import OperandLoad, WrittenRegisters
from einsim.accel.written_op import Latency, WrittenOp, stated
from einsim.specs.errors import RuleError, below
from einsim.specs.near import near
from einsim.specs.schema import text
from einsim.specs.units import Bytes, BytesPerSecond, Hertz, Picojoules, Watts

Count = Annotated[int, msgspec.Meta(ge=1, le=65536)]
"""Rows, columns, lanes, cores: at least one, at most 65536."""

Bits = Annotated[int, msgspec.Meta(ge=1, le=64)]
Name = Annotated[
    str, text("[A-Za-z][A-Za-z0-9_-]{0,63}", "a letter, then letters, digits, - and _, 64 at most")
]
"""A part's name: no dots, which separate the names of a path."""

Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
"""A sparsity pattern such as `n:m`, `2:4` or `block`."""

Dataflow = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(DATAFLOWS)})]
"""One of `DATAFLOWS`, as the unit checks."""

Area = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class WrittenPort(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a memory is reached: one shared `bandwidth`, or a `read_bandwidth` and a `write_bandwidth`.

    None of the three: the port never limits. Energies are per access of `access` bytes.
    """

    bandwidth: BytesPerSecond | None = None
    """Rate of one port that reads and writes share."""
    read_bandwidth: BytesPerSecond | None = None
    """Rate of the read port, where reads and writes have a port each."""
    write_bandwidth: BytesPerSecond | None = None
    """Rate of the write port, where reads and writes have a port each."""
    access: Bytes = Bytes(1)
    """Bytes that one access moves; every transfer is rounded up to whole accesses."""
    read_energy: Picojoules | None = None
    """Energy of one read access; not stated where it is left out."""
    write_energy: Picojoules | None = None
    """Energy of one write access; that of a read where it is left out."""
    leakage: Watts = Watts(0)
    """Power that it draws all the time, beyond the machine's own."""
    holds: tuple[Name, ...] = ()
    """What a unit may find here, of `inputs`, `outputs`, `weights`; none: anything."""
    timing: str = ""
    """On DRAM: the standard whose commands the simulation follows (`ddr4-3200`, `lpddr4x-4266`, `hbm2`,
    `hbm2e`, `hbm3`) or its YAML file; an ideal pipe where it is left out.
    """
    timing_channels: Count | None = None
    """Channels of that standard; its own number where it is left out."""
    refresh: Refresh | None = None
    """With a timing: `average` slows the clock by what refresh takes, `exact` sends every refresh when it is
    due, `per-bank` refreshes one bank after the other while the rest of them work.
    """
    row_hit_cap: Count | None = None
    """With a timing: reads and writes of a row after which it gives way to another one that the oldest burst
    of its bank waits for; never where it is left out.
    """
    banks: Count = 1
    """Equal parts with a port each, which tensors take in turn."""
    bus: Name | None = None
    """A bus that what moves between this memory and its parent also passes; memories that name the same bus
    share it.
    """
    bus_bandwidth: BytesPerSecond | None = None
    """Rate of that bus."""
    descriptor_cycles: Latency = 0
    """Cycles that every transfer which fills or empties this memory costs before its first byte."""
    dma_engines: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    """Engines that these transfers take turns on, from descriptor to last byte; 0: as many as are wanted."""

    latency_cycles: Latency = 0
    """Cycles until what a transfer has read here can be used, beyond those that its bytes take to pass."""
    outstanding: Annotated[int, msgspec.Meta(ge=0, le=65536)] = 0
    """Transfers that fill or empty this memory which may be under way at once, from their start until what
    they bring can be used; 0: as many as there are buffers for.
    """

    value_bits: Bits | None = None
    """Bits of a value here at the least, such as 32 in accumulators: narrower ones are widened for it."""
    codec: WrittenCodec | None = None
    """What codes tensors with zeros on their way here: `{run_bits: 5, word: 8B}` or `{format: pattern}`."""

    def __post_init__(self) -> None:
        if self.bandwidth is not None and (self.read_bandwidth or self.write_bandwidth):
            rule = "stands beside read_bandwidth or write_bandwidth; write one shared port or two ports"
            raise RuleError(rule, at=("bandwidth",))
        if self.timing_channels and not self.timing:
            raise RuleError(
                "needs a timing, whose channels it counts", got=self.timing_channels, at=("timing_channels",)
            )
        if self.refresh and not self.timing:
            raise RuleError("needs a timing, whose refresh it is", got=self.refresh, at=("refresh",))
        if self.row_hit_cap and not self.timing:
            raise RuleError("needs a timing, whose rows it is for", got=self.row_hit_cap, at=("row_hit_cap",))
        if self.timing and self.bandwidth is None:
            raise RuleError("needs one shared bandwidth beside it", got=self.timing, at=("timing",))

    def memory(
        self,
        name: str,
        *,
        parent: str | tuple[str, ...] | None,
        capacity: int | None,
        copies: int = 1,
        share: float = 1,
    ) -> Memory:
        """The memory, or `copies` of it, one in each core: capacity and rates are each one's, and add up.

        A `share` of the rates is reached.
        """
        shared = self.read_bandwidth is None and self.write_bandwidth is None
        both = (self.bandwidth, None) if shared else (self.read_bandwidth, self.write_bandwidth)
        read, write = (None if rate is None else BytesPerSecond.parse(int(rate * share)) for rate in both)
        return Memory(
            name=name,
            parent=parent,
            capacity_bytes=None if capacity is None else int(capacity) * copies,
            read_bytes_per_s=None if read is None else int(read) * copies,
            write_bytes_per_s=None if write is None else int(write) * copies,
            shared_port=shared,
            access_bytes=int(self.access),
            read_pj=stated(self.read_energy),
            write_pj=stated(self.read_energy if self.write_energy is None else self.write_energy),
            leakage_w=float(self.leakage) * copies,
            holds=self.holds,
            timing=self.timing,
            timing_channels=self.timing_channels or 0,
            refresh=self.refresh or "average",
            row_hit_cap=self.row_hit_cap or 0,
            banks=self.banks,
            bus=self.bus or "",
            bus_bytes_per_s=None if self.bus_bandwidth is None else int(self.bus_bandwidth),
            descriptor_cycles=self.descriptor_cycles,
            dma_engines=self.dma_engines,
            copies=copies,
            value_bits=self.value_bits or 0,
            codec=self.codec.codec() if self.codec else None,
            latency_cycles=self.latency_cycles,
            outstanding=self.outstanding,
        )


class WrittenDram(WrittenPort, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The memory outside the chip; unbounded unless a capacity is written."""

    capacity: Bytes | None = None
    """Its size; unbounded where it is left out."""

    def dram(self) -> Memory:
        """Memory `dram`."""
        return self.memory("dram", parent=None, capacity=self.capacity)

    def reached(self, share: float) -> Memory:
        """Memory `dram` at a share of its peak bandwidth; RuleError where that isn't written."""
        if self.bandwidth is None:
            raise RuleError("missing key 'bandwidth'", at=("dram",))
        with below("dram"):
            return self.memory("dram", parent=None, capacity=self.capacity, share=share)


class PeakDram(WrittenDram, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """DRAM by its peak `bandwidth` and the share that is reached."""

    efficiency: Share = 1.0
    """Share of the peak bandwidth that is reached."""

    def dram(self) -> Memory:
        """Memory `dram` at what is reached."""
        return super().dram() if self.efficiency == 1 else self.reached(self.efficiency)


class WrittenLanes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every compute unit is written with, whatever its shape.

    A reduction latency of `rows` is as many cycles as the unit has rows, whatever they are set to.
    """

    ops: Annotated[dict[Name, WrittenOp], msgspec.Meta(min_length=1)]
    """The ops that a lane can issue, by name: `mac add mul max min exp div sqrt rsqrt tanh sigmoid erf log
    abs select cmp`.
    """
    clock: Hertz | None = None
    """A clock of its own; the machine's where it is left out."""
    fused_ops: tuple[tuple[str, ...], ...] = ()
    """Chains of ops that issue as one, such as `[[add, exp]]`."""
    dataflows: tuple[Dataflow, ...] = ()
    """Dataflows that a systolic array or a DSP chain is built for; none: all of them."""
    registers: WrittenRegisters | None = None
    """The registers of one PE."""
    reduction_latency_cycles: dict[Name, Latency | Literal["rows"]] = {}
    """By op: extra cycles until a value that it reduced over the rows is visible; `rows`: as many as there
    are rows. Ops that are not listed take none; without a list, each takes log2 of what it reduces.
    """
    fill: Fill = "hidden"
    """`exposed` adds rows + cols - 2 cycles to the latency of each result."""
    exploits: tuple[Pattern, ...] = ()
    """Sparsity patterns that save work here: `n:m`, `2:4`, `block`; any other is computed as if dense."""
    bits: tuple[Bits, ...] = ()
    """Operand widths that its ops' figures are for: wider products, sums and comparisons take passes of
    these, and other ops are refused. None: any. They also set what the arrays of an FPGA take.
    """
    accumulator_bits: Bits | None = None
    """Width of a sum while it is partial: so wide it leaves the unit, comes back and is held, and only the
    finished result has the width of its tensor. That of the result where it is left out or less.
    """
    convention: Convention = ""
    """What the edges of a systolic tile cost: `scale-sim`, `edge-aware`, `overlapped`; its streaming only
    where it is left out.
    """
    overlap: Annotated[float, msgspec.Meta(ge=1, le=64)] | None = None
    """How far a tile's own cycles and what its operands take at each memory port overlap: it holds the unit
    for their norm of this order. 1: one after the other; wholly, as ports are free, where it is left out.
    """
    operand_load: OperandLoad | None = None
    """How a systolic array's stationary operand loads: `{rows_per_cycle: 8, hidden: false}`; a row a cycle,
    behind the fold before, where it is left out.
    """

    def unit(
        self,
        name: str,
        *,
        kind: UnitKind,
        dims: dict[str, int],
        reads_from: str | dict[Role, str],
        ops: dict[str, OpCost] | None = None,
    ) -> Unit:
        """The machine's unit of this shape; `ops` replaces the written ones where a family derives them.

        A vector unit that can, gets the ops that it lacks as compositions.
        """
        stated = self.costs() if ops is None else ops
        return Unit(
            name=name,
            kind=kind,
            dims=dims,
            ops=completed(stated) if kind == "vector" else stated,
            reads_from=reads_from,
            clock_hz=None if self.clock is None else float(self.clock),
            fused_ops=self.fused_ops,
            dataflows=self.dataflows,
            registers=None if self.registers is None else self.registers.registers(),
            reduction_latency_cycles=self._reduction_latency_cycles(dims),
            fill=self.fill,
            exploits=self.exploits,
            bits=self.bits,
            convention=self.convention,
            accumulator_bits=self.accumulator_bits,
            operand_load=self.operand_load or OperandLoad(),
            overlap=self.overlap or 0.0,
        )

    def _reduction_latency_cycles(self, dims: dict[str, int]) -> dict[str, int]:
        latencies = self.reduction_latency_cycles.items()
        for op, cycles in latencies:
            if cycles == "rows" and "rows" not in dims:
                rule = "may say 'rows' only on a unit that has rows"
                raise RuleError(rule, hint=near("rows", dims), at=("reduction_latency_cycles", op))
        return {op: dims["rows"] if cycles == "rows" else int(cycles) for op, cycles in latencies}

    def costs(self) -> dict[str, OpCost]:
        """The written ops as the machine's."""
        return {name: op.cost() for name, op in self.ops.items()}


class WrittenMachine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every machine is written with: its clock and where its figures come from."""

    clock: Hertz
    """Cycles per second."""
    technology: str = ""
    """The process or device that the figures are for."""
    leakage: Watts | None = None
    """Power that the machine draws all the time beside what its memories state; not stated where it
    is left out.
    """
    noc: WrittenNoc | None = None
    """The network that fills and empties memories next to cores; without it they begin a tile together."""
    dispatch: Dispatch | None = None
    """What starting work costs: `{run_cycles: 3000, op_cycles: 200}`."""
    launch: WrittenLaunch | None = None
    """What launching it takes beside, in seconds: `{start: 0.86us, first_touch: 0.76us}`."""
    power: WrittenPower | None = None
    """What the machine may draw: `{cap: 700W, exponent: 2, static: 160W}`; as much as it does where it is
    left out.
    """
    compiler: str = ""
    """The template (`einsim list mappings`) that stands for its own compiler, where a run asks for none; what
    suits where it is left out.
    """
    sources: dict[str, str] = {}
    """The citation of each figure by its dotted path, or that of the part above it."""
    assumed: tuple[str, ...] = ()
    """Dotted paths of figures that have no source."""
    fitted: dict[str, FittedConstant] = {}
    """Figures that were fitted on measured rows, by their dotted paths; `einsim fit` writes them."""

    def assembled(
        self,
        name: str,
        family: str,
        memories: tuple[Memory, ...],
        units: Mapping[str, Unit],
        *,
        multicast: bool = True,
    ) -> Machine:
        """The machine of these parts with what is written for all: clock, leakage, network, sources.

        `units` stand by their dotted paths here, so that ops that were added to one are listed as assumed.
        """
        leakage_w = stated(self.leakage)
        if self.power and self.power.static is not None:
            if leakage_w is not None:
                raise RuleError("stands for leakage, which is written too", at=("power", "static"))
            leakage_w = float(self.power.static)
        ops = [unit.cost(op) for unit in units.values() for op in unit.ops]
        if self.power and all(cost.energy_pj is None for cost in ops):
            raise RuleError("needs the energy of ops, and no unit states any", at=("power", "cap"))
        static_w = (leakage_w or 0.0) + sum(memory.leakage_w for memory in memories)
        return Machine(
            name=name,
            family=family,
            clock_hz=float(self.clock),
            memories=memories,
            units=tuple(units.values()),
            leakage_w=leakage_w,
            noc=self.noc.noc(multicast=multicast) if self.noc else None,
            multicast=multicast,
            technology=self.technology,
            dispatch=self.dispatch or Dispatch(),
            launch=self.launch.launch() if self.launch else LaunchCost(),
            power=self.power.power(static_w) if self.power else None,
            compiler=self.compiler,
            sources=self.sources,
            assumed=(*self.assumed, *(path for at, unit in units.items() for path in self._added(at, unit))),
        )

    def _added(self, at: str, unit: Unit) -> list[str]:
        """Paths of the unit's ops that aren't written at its own path."""
        written: object = self
        for key in at.split("."):
            written = written[key] if isinstance(written, dict) else getattr(written, key)
        return [f"{at}.ops.{op}" for op in unit.ops if op not in written.ops]  # type: ignore[attr-defined]


class WrittenFamily(WrittenMachine, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a machine of a family is written with; a subclass has the family's own keys."""

    family: str
    """The family's name."""
