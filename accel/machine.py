"""A machine: memories from DRAM inward, and the compute units that read from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Literal

import msgspec

from einsim.accel.dispatch import Dispatch
from einsim.accel.hosts import Bonds, check_hosts
from einsim.accel.launch import LaunchCost
from einsim.accel.links import Links, check_buses, check_links
from einsim.accel.memory import Memory
from einsim.accel.noc import Noc
from einsim.accel.power import Power
from einsim.accel.registers import OperandLoad, RegisterFile, check_rows
from einsim.specs.errors import RuleError
from einsim.specs.near import near

Role = Literal["inputs", "weights", "outputs"]
"""What an operand is to the unit that computes with it (`einsim.dataflow.holds.role_of`)."""
UnitKind = Literal["array", "systolic", "dsp-chain", "vector"]
Fill = Literal["hidden", "exposed"]
Convention = Literal["", "scale-sim", "edge-aware", "overlapped"]
Packs = Literal["lines", "taps", "groups"]
LEAKAGE = "leakage"
DATAFLOWS = ("output-stationary", "weight-stationary", "input-stationary", "row-stationary")


class OpCost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one op costs on one lane: issue cycles, energy in pJ (None: not stated), and cycles until its
    result is visible.

    `made_of` such as `{"mac": 6}` says that the op is issued as other ops of the same unit; its cycles
    and energy are then the sum of theirs, and the own figures are ignored.
    `by_bits` gives other figures for operands of other widths than the unit's `bits`: by "16", or by "16x8"
    where the operands of a product differ. Widths in neither are composed (`einsim.accel.widths`).
    """

    cycles: int = 1
    energy_pj: float | None = None
    made_of: dict[str, int] | None = None
    latency_cycles: int = 0
    by_bits: dict[str, OpCost] = {}


def total_pj(parts: Iterable[tuple[float | None, int]]) -> float | None:
    """The sum of energies times counts; None where one of them isn't stated."""
    found = 0.0
    for energy_pj, count in parts:
        if energy_pj is None:
            return None
        found += energy_pj * count
    return found


class Unit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """An array of equal lanes that issue the same op.

    `dims` is ordered, outermost first: `{"cores": 4, "rows": 128, "cols": 128}`, or `{"lanes": 256}`.
    `reads_from` is one memory, where or outside which all operands stand, or the memory of each role, where
    they stand: {"inputs": "spad", "outputs": "acc"}, and "weights" where those are not with the inputs.
    `fused_ops` are op chains that issue as one. `reduction_latency_cycles` gives, per op, the extra cycles
    until a value reduced by it across the rows is visible (ops not listed: none; no list: log2 of what is
    reduced, none where a `convention` counts the drain). `fill` "exposed" adds rows + cols - 2 cycles to a
    result's latency. `convention` says what a systolic tile's edges, filling and draining cost
    (`einsim.dataflow.array_time`); "" counts its streaming only. `exploits` names sparsity patterns that save
    work here; others cost dense. `mode_of` names the unit whose arithmetic this one is a mode of: of the two,
    one computes at a time; `follows` the matrix unit whose results this one passes on, and nothing else.
    `accumulator_bits` is the width of sums while they are partial; none, or less than the result's: that of
    the result. `operand_load`: how a systolic array's stationary values load. `packs`: what an array of
    pixels may lay beside those of a line, or beside few channels (`einsim.dataflow.spatial`). `stops`: a
    memory of which nothing moves while this unit computes. `overlap`: the order of the norm of a tile's own
    cycles and of what its operands take at each port, for which it holds the unit; 0: they overlap wholly.
    """

    name: str
    kind: UnitKind
    dims: dict[str, int]
    ops: dict[str, OpCost]
    reads_from: str | dict[Role, str]
    clock_hz: float | None = None
    fused_ops: tuple[tuple[str, ...], ...] = ()
    dataflows: tuple[str, ...] = ()
    registers: RegisterFile | None = None
    reduction_latency_cycles: dict[str, int] = {}
    fill: Fill = "hidden"
    exploits: tuple[str, ...] = ()
    bits: tuple[int, ...] = ()
    convention: Convention = ""
    mode_of: str = ""
    accumulator_bits: int | None = None
    operand_load: OperandLoad = OperandLoad()
    follows: str = ""
    packs: tuple[Packs, ...] = ()
    stops: str = ""
    overlap: float = 0.0

    def __post_init__(self) -> None:
        if self.convention and (self.kind != "systolic" or not {"rows", "cols"} <= set(self.dims)):
            rule = "is for systolic units with rows and cols"
            raise RuleError(rule, got=self.convention, at=("convention",))
        if self.operand_load != OperandLoad() and (self.kind != "systolic" or self.convention):
            rule = "is for systolic units without a convention, which counts the load"
            key = "hidden" if self.operand_load.rows_per_cycle == 1 else "rows_per_cycle"
            raise RuleError(rule, got=self.convention or self.kind, at=("operand_load", key))
        if not self.dims:
            raise RuleError("must name at least one dimension", at=("dims",))
        for name, size in self.dims.items():
            if size < 1:
                raise RuleError("must be >= 1", got=size, at=("dims", name))
        if self.packs and not {"pixels", "rows"} <= set(self.dims):
            raise RuleError("is for arrays of pixels and rows", got=self.packs, at=("packs",))
        for op in self.ops:
            self._check_made_of(op, ())
            if self.ops[op].by_bits and not self.bits:
                rule = "needs the unit's `bits`, the widths that the op's own figures are for"
                raise RuleError(rule, at=("ops", op, "by_bits"))
        if isinstance(self.reads_from, dict):
            self._check_roles(self.reads_from)
        if self.kind == "vector" and self.dataflows:
            raise RuleError("are an array's, not a vector unit's", at=("dataflows",))
        if self.fill == "exposed" and not {"rows", "cols"} & set(self.dims):
            raise RuleError("is for units with rows or cols", got=self.fill, at=("fill",))
        for at, chain in enumerate(self.fused_ops):
            for op in (op for op in chain if op not in self.ops):
                raise RuleError(f"the unit has no op '{op}'", hint=near(op, self.ops), at=("fused_ops", at))
        for one in (one for one in self.dataflows if one not in DATAFLOWS):
            raise RuleError("unknown dataflow", got=one, hint=near(one, DATAFLOWS), at=("dataflows",))
        if "row-stationary" in self.dataflows:
            check_rows(self.registers, self.dims, self.bits, self.exploits)

    def _check_roles(self, given: dict[Role, str]) -> None:
        if not {"inputs", "outputs"} <= set(given):
            raise RuleError("must name a memory of inputs and one of outputs", at=("reads_from",))
        if self.kind == "vector" and "weights" in given:
            raise RuleError(
                "is for matrix units: all that a vector unit reads is inputs", at=("reads_from", "weights")
            )

    def _check_made_of(self, op: str, inside: tuple[str, ...]) -> None:
        if op in inside:
            chain = " -> ".join((*inside, op))
            raise RuleError(f"must not be made of itself ({chain})", at=("ops", inside[0], "made_of"))
        for part, count in (self.ops[op].made_of or {}).items():
            if part not in self.ops:
                where = ("ops", op, "made_of")
                raise RuleError(f"unit '{self.name}' has no op '{part}'", hint=near(part, self.ops), at=where)
            if count < 1:
                raise RuleError("must be >= 1", got=count, at=("ops", op, "made_of", part))
            self._check_made_of(part, (*inside, op))

    @property
    def pes(self) -> int:
        """Lanes that issue in one cycle: the product of all dimensions."""
        return math.prod(self.dims.values())

    @property
    def by_role(self) -> bool:
        """Whether it names a memory for each role, and reaches no other."""
        return not isinstance(self.reads_from, str)

    @property
    def memories(self) -> dict[Role, str]:
        """The memory of each role; weights stand with the inputs unless they are named."""
        given = self.reads_from
        if isinstance(given, str):
            return {"inputs": given, "weights": given, "outputs": given}
        return {"inputs": given["inputs"], "weights": given["inputs"], **given}

    def supports(self, op: str) -> bool:
        """Whether this unit can issue the op."""
        return op in self.ops

    def cost(self, op: str) -> OpCost:
        """The op's cost with `made_of` expanded (then None); RuleError for an unknown op.

        "mac@16" is the op at a width of its `by_bits`.
        """
        name, _, width = op.partition("@")
        if name not in self.ops:
            raise RuleError(f"unit '{self.name}' has no op '{name}'", hint=near(name, self.ops))
        own = self.ops[name].by_bits[width] if width else self.ops[name]
        if own.made_of is None:
            return own
        parts = [(self.cost(part), count) for part, count in own.made_of.items()]
        return OpCost(
            cycles=sum(cost.cycles * count for cost, count in parts),
            energy_pj=total_pj((cost.energy_pj, count) for cost, count in parts),
            latency_cycles=own.latency_cycles,
        )


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Memories and units with where each figure comes from.

    `leakage_w` is drawn all the time, beside what memories state of their own; None: not stated.
    `multicast`: one read of a memory outside the cores serves every core that wants the same bytes; else each
    reads them for itself. `area_um2` is by component, `area_not_stated` has those left out, `resources` are
    FPGA primitives. `dispatch` and `launch`: what starting a run and its ops costs, in cycles and in seconds;
    `power`: the cap. `compiler`: the template that stands for its own. `replicas` such machines, each on
    inputs of its own, share DRAM, whose rate is one's share.
    `sources` cites figures by their dotted paths in the machine's YAML, `assumed` lists those without.
    """

    name: str
    family: str
    clock_hz: float
    memories: tuple[Memory, ...]
    units: tuple[Unit, ...]
    leakage_w: float | None = None
    noc: Noc | None = None
    multicast: bool = True
    area_um2: dict[str, float] = {}
    area_not_stated: tuple[str, ...] = ()
    resources: dict[str, int] = {}
    technology: str = ""
    dispatch: Dispatch = Dispatch()
    launch: LaunchCost = LaunchCost()
    power: Power | None = None
    compiler: str = ""
    replicas: int = 1
    sources: dict[str, str] = {}
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        memories = [memory.name for memory in self.memories]
        names = memories + [unit.name for unit in self.units]
        for name in names:
            if names.count(name) > 1:
                raise RuleError("two parts of the machine have the same name", got=name)
        if LEAKAGE in names:
            raise RuleError("is what static energy is called in every table of energy", got=LEAKAGE)
        if not self.units:
            raise RuleError("must have at least one unit", at=("units",))
        roots = [memory.name for memory in self.memories if memory.parent is None]
        if len(roots) != 1:
            rule = "exactly one memory must have no parent (it is DRAM)"
            raise RuleError(rule, got=roots, at=("memories",))
        check_buses([(one.name, one.bus, one.bus_bytes_per_s) for one in self.memories])
        check_links(self.links)
        if self.noc and self.noc.multicast and not self.multicast:
            rule = "must be false: the cores of this machine share no reads"
            raise RuleError(rule, got="true", at=("noc", "multicast"))
        if self.noc and not self.near:
            rule = "needs a unit with several cores that reads from a memory other than DRAM"
            raise RuleError(rule, at=("noc",))
        for unit in self.units:
            self._check_memories(unit)
        bonds = [Bonds(u.name, u.kind == "vector", u.mode_of, u.follows, u.stops) for u in self.units]
        ports = [m.name for m in self.memories if m.shared_port and m.read_bytes_per_s and m.banks == 1]
        check_hosts(bonds, [name for name in ports if not self.memory(name).timing])

    def _check_memories(self, unit: Unit) -> None:
        """A unit's memories are there, hold what it looks for, and stand in as many cores as it has."""
        names, cores = [memory.name for memory in self.memories], unit.dims.get("cores", 1)
        for role, name in unit.memories.items():
            where = ("units", unit.name, "reads_from", *((role,) if unit.by_role else ()))
            if name not in names:
                raise RuleError("no memory of this name", got=name, hint=near(name, names), at=where)
            memory = self.memory(name)
            played = role != "weights" or unit.kind != "vector"
            if played and unit.by_role and memory.holds and role not in memory.holds:
                raise RuleError(
                    f"must hold {role}: it holds {' and '.join(memory.holds)}", got=name, at=where
                )
            if memory.copies > 1 and cores != memory.copies:
                rule = f"must be {memory.copies}: {memory.name} stands in each of so many cores"
                raise RuleError(rule, got=cores, at=("units", unit.name, "dims", "cores"))

    def unit(self, name: str) -> Unit:
        """The unit of this name; RuleError with a near name otherwise."""
        if found := [unit for unit in self.units if unit.name == name]:
            return found[0]
        raise self._none("unit", name, [unit.name for unit in self.units])

    def memory(self, name: str) -> Memory:
        """The memory of this name; RuleError with a near name otherwise."""
        if found := [memory for memory in self.memories if memory.name == name]:
            return found[0]
        raise self._none("memory", name, [memory.name for memory in self.memories])

    def _none(self, kind: str, name: str, names: list[str]) -> RuleError:
        return RuleError(f"machine '{self.name}' has no {kind} '{name}'", hint=near(name, names))

    @property
    def static_w(self) -> float:
        """Power that is drawn all the time, as far as it is stated: the machine's own and its memories'."""
        return (self.leakage_w or 0.0) + sum(memory.leakage_w for memory in self.memories)

    def start_cycles(self, ops: int, clock_hz: float, grouped: Sequence[tuple[int, int]] = ()) -> int:
        """Cycles in which a run of so many ops, with `grouped` attention (`Dispatch.cycles`), is started, at
        a clock to which the machine is held down.
        """
        return self.dispatch.cycles(ops, grouped) + self.launch.cycles(ops, clock_hz)

    @property
    def run_cycles(self) -> int:
        """Those of them that a run takes once, whatever its ops, at the full clock."""
        return self.dispatch.run_cycles + self.launch.touch_cycles(self.clock_hz)

    @property
    def dram(self) -> Memory:
        """The memory that everything comes from."""
        return next(memory for memory in self.memories if memory.parent is None)

    @cached_property
    def links(self) -> Links:
        """The parents of each memory."""
        return {memory.name: memory.parents for memory in self.memories}

    @property
    def near(self) -> dict[str, int]:
        """Memories next to cores, and how many of each: the fewest cores of a unit that reads it."""
        found: dict[str, int] = {}
        for unit in (unit for unit in self.units if unit.dims.get("cores", 1) > 1):
            for name in unit.memories.values():
                found[name] = min(found.get(name, unit.dims["cores"]), unit.dims["cores"])
        return {name: cores for name, cores in found.items() if name != self.dram.name}

    @property
    def matrix_units(self) -> tuple[Unit, ...]:
        """Units that multiply matrices: every kind but vector."""
        return tuple(unit for unit in self.units if unit.kind != "vector")

    @property
    def vector_units(self) -> tuple[Unit, ...]:
        """Units of kind vector."""
        return tuple(unit for unit in self.units if unit.kind == "vector")
