"""The words of a machine's YAML that every family shares: ops, registers, memories and units as written."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from einsim.accel.machine import Convention, Fill, Memory, Noc, OpCost, Refresh, RegisterFile, Unit, UnitKind
from einsim.specs.errors import RuleError
from einsim.specs.near import near
from einsim.specs.units import Bytes, BytesPerSecond, Hertz, Picojoules, Watts

Count = Annotated[int, msgspec.Meta(ge=1, le=65536)]
"""Rows, columns, lanes, cores: at least one, at most 65536."""

Cycles = Annotated[int, msgspec.Meta(ge=1, le=10**6)]
Latency = Annotated[int, msgspec.Meta(ge=0, le=10**6)]
Bits = Annotated[int, msgspec.Meta(ge=1, le=64)]
Name = Annotated[str, msgspec.Meta(pattern="^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
"""A part's name: no dots, which separate the names of a path."""

Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
"""A sparsity pattern such as `n:m`, `2:4` or `block`."""

Area = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class WrittenOp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One op as written: `exp: {made_of: {mac: 6}}` or `mac: {cycles: 1, energy: 17.1645pJ}`."""

    cycles: Cycles = 1
    energy: Picojoules = Picojoules(0)
    made_of: Annotated[dict[str, Cycles], msgspec.Meta(min_length=1)] | None = None
    latency_cycles: Latency = 0

    def cost(self) -> OpCost:
        """The machine's op."""
        return OpCost(
            cycles=self.cycles,
            energy_pj=float(self.energy),
            made_of=self.made_of,
            latency_cycles=self.latency_cycles,
        )


class WrittenRegisters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A PE's registers as written; energies are per value."""

    bytes_per_pe: Bytes
    read_energy: Picojoules = Picojoules(0)
    write_energy: Picojoules = Picojoules(0)

    def registers(self) -> RegisterFile:
        """The machine's register file."""
        return RegisterFile(
            bytes_per_pe=int(self.bytes_per_pe),
            read_pj=float(self.read_energy),
            write_pj=float(self.write_energy),
        )


class WrittenPort(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a memory is reached: one shared `bandwidth`, or a `read_bandwidth` and a `write_bandwidth`.

    None of the three: the port never limits. Energies are per access of `access` bytes. On DRAM, `timing`
    names a standard (`hbm2e`) or its YAML file, and `timing_channels` how many channels of it there are.
    `banks`, `bus`, `descriptor_cycles` and `dma_engines`: see `einsim.accel.machine.Memory`.
    """

    bandwidth: BytesPerSecond | None = None
    read_bandwidth: BytesPerSecond | None = None
    write_bandwidth: BytesPerSecond | None = None
    access: Bytes = Bytes(1)
    read_energy: Picojoules = Picojoules(0)
    write_energy: Picojoules | None = None
    leakage: Watts = Watts(0)
    holds: tuple[Name, ...] = ()
    timing: str = ""
    timing_channels: Count | None = None
    refresh: Refresh | None = None
    banks: Count = 1
    bus: Name | None = None
    bus_bandwidth: BytesPerSecond | None = None
    descriptor_cycles: Latency = 0
    dma_engines: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0

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
        if self.timing and self.bandwidth is None:
            raise RuleError("needs one shared bandwidth beside it", got=self.timing, at=("timing",))

    def memory(self, name: str, *, parent: str | None, capacity: int | None, copies: int = 1) -> Memory:
        """The memory, or `copies` of it, one in each core: capacity and rates are each one's, and add up."""
        shared = self.read_bandwidth is None and self.write_bandwidth is None
        read, write = (self.bandwidth, None) if shared else (self.read_bandwidth, self.write_bandwidth)
        return Memory(
            name=name,
            parent=parent,
            capacity_bytes=None if capacity is None else int(capacity) * copies,
            read_bytes_per_s=None if read is None else int(read) * copies,
            write_bytes_per_s=None if write is None else int(write) * copies,
            shared_port=shared,
            access_bytes=int(self.access),
            read_pj=float(self.read_energy),
            write_pj=float(self.read_energy if self.write_energy is None else self.write_energy),
            leakage_w=float(self.leakage) * copies,
            holds=self.holds,
            timing=self.timing,
            timing_channels=self.timing_channels or 0,
            refresh=self.refresh or "average",
            banks=self.banks,
            bus=self.bus or "",
            bus_bytes_per_s=None if self.bus_bandwidth is None else int(self.bus_bandwidth),
            descriptor_cycles=self.descriptor_cycles,
            dma_engines=self.dma_engines,
            copies=copies,
        )


class WrittenNoc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`noc: {bandwidth: 128GB/s, multicast: false}`: see `einsim.accel.machine.Noc`."""

    bandwidth: BytesPerSecond
    multicast: bool | None = None

    def noc(self, *, multicast: bool = True) -> Noc:
        """The network; where it says nothing of multicast, as the machine says."""
        return Noc(
            bytes_per_s=int(self.bandwidth),
            multicast=multicast if self.multicast is None else self.multicast,
        )


class WrittenLanes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every compute unit is written with, whatever its shape.

    A reduction latency of `rows` is as many cycles as the unit has rows, whatever they are set to.
    """

    ops: Annotated[dict[Name, WrittenOp], msgspec.Meta(min_length=1)]
    clock: Hertz | None = None
    fused_ops: tuple[tuple[str, ...], ...] = ()
    dataflows: tuple[str, ...] = ()
    registers: WrittenRegisters | None = None
    reduction_latency_cycles: dict[Name, Latency | Literal["rows"]] = {}
    fill: Fill = "hidden"
    exploits: tuple[Pattern, ...] = ()
    bits: tuple[Bits, ...] = ()
    convention: Convention = ""

    def unit(
        self,
        name: str,
        *,
        kind: UnitKind,
        dims: dict[str, int],
        reads_from: str,
        ops: dict[str, OpCost] | None = None,
    ) -> Unit:
        """The machine's unit of this shape; `ops` replaces the written ones where a family derives them."""
        return Unit(
            name=name,
            kind=kind,
            dims=dims,
            ops=self.costs() if ops is None else ops,
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
        )

    def _reduction_latency_cycles(self, dims: dict[str, int]) -> dict[str, int]:
        if "rows" in self.reduction_latency_cycles.values() and "rows" not in dims:
            rule = "may say 'rows' only on a unit that has rows"
            raise RuleError(rule, hint=near("rows", dims), at=("reduction_latency_cycles",))
        latencies = self.reduction_latency_cycles.items()
        return {op: dims["rows"] if cycles == "rows" else int(cycles) for op, cycles in latencies}

    def costs(self) -> dict[str, OpCost]:
        """The written ops as the machine's."""
        return {name: op.cost() for name, op in self.ops.items()}


class WrittenMachine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every machine is written with: its clock and where its figures come from.

    `sources` maps dotted paths of this file to citations, `assumed` lists the paths without one.
    """

    clock: Hertz
    technology: str = ""
    leakage: Watts = Watts(0)
    noc: WrittenNoc | None = None
    sources: dict[str, str] = {}
    assumed: tuple[str, ...] = ()
