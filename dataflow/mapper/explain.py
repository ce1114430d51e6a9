"""Why a mapping takes the time that it takes, and which one change of the machine would gain most."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.best import best_mapping
from einsim.dataflow.mapper.judged import judged
from einsim.dataflow.mapping import Compute, Keep, Loop, Mapping, Node, Pipeline, Sequence
from einsim.dataflow.result import Result
from einsim.dataflow.spatial import placements
from einsim.specs.argument import Amount
from einsim.specs.errors import EinsimError
from einsim.specs.progress import tell
from einsim.workloads.cascade import Cascade
from einsim.workloads.passes import PassReport, every_occurrence


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """One engine (a unit or a memory's port): cycles that it is busy, as a share of the mapping's cycles."""

    engine: str
    busy_cycles: int
    share: float


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the machine, with the latency and energy (as far as it is stated) that the mapping
    (or a new one) then has.
    """

    what: str
    latency_s: float
    energy_j: float | None
    energy_stated_j: float | None
    speedup: float
    remapped: bool = False


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping's result, its limits (the tightest first) and changes (the largest gain first).

    `macs_per_byte` is the work over DRAM's traffic; below `ridge_macs_per_byte`, the point where the fastest
    matrix unit and DRAM take equally long, DRAM is what limits (None: DRAM or macs are without limit).
    `time_bound_s` is the longest that a single engine is busy: no order of the same work beats it.
    `memories` gives the share of each on-chip memory that is taken, the fullest first; `passes` the
    occurrences of ranks that take several: what they read stays on chip or comes again.
    """

    result: Result
    limits: tuple[Limit, ...]
    changes: tuple[Change, ...]
    macs_per_byte: float
    ridge_macs_per_byte: float | None
    time_bound_s: float
    memories: tuple[tuple[str, float], ...] = ()
    passes: tuple[PassReport, ...] = ()


def explain(mapping: Mapping, cascade: Cascade, machine: Machine, *, budget_s: Amount = 0.0) -> Explanation:
    """Evaluate a legal mapping, then again on machines with one thing doubled.

    Ports and units are doubled under the same mapping, and each Einsum is tried on other units. A larger
    memory changes nothing until the mapping uses it: with `budget_s`, each is searched anew for that long,
    and so is the machine as it is, for comparison.
    """
    result = analyse(lower(mapping, cascade, machine), machine)
    clock = machine.clock_hz
    limits = [
        Limit(engine=name, busy_cycles=cycles, share=cycles / max(1, result.cycles))
        for name, cycles in result.bound_by.items()
        if name != "schedule"
    ]
    changes = []
    for what, other in doubled(machine):
        tell(f"trying {what}")
        new = analyse(lower(mapping, cascade, other), other)
        changes.append(_change(what, new, result, remapped=False))
    for what, tree in elsewhere(mapping, cascade, machine):
        tell(f"trying {what}")
        changes.append(_change(what, analyse(lower(tree, cascade, machine), machine), result, remapped=False))
    if budget_s:
        for what, other in (("a new mapping alone", machine), *larger(machine)):
            tell(f"searching {what}")
            try:
                new = best_mapping(cascade, other, "latency", budget_s=budget_s).result
            except EinsimError:
                continue
            changes.append(_change(what, new, result, remapped=True))
    return Explanation(
        result=result, limits=tuple(sorted(limits, key=lambda one: -one.busy_cycles)),
        changes=tuple(sorted(changes, key=lambda one: (-one.speedup, one.energy_stated_j or 0.0))),
        macs_per_byte=cascade.macs / max(1, result.dram_bytes), ridge_macs_per_byte=_ridge(machine),
        time_bound_s=max((one.busy_cycles for one in limits), default=0) / clock,
        memories=_memories(result, machine),
        passes=tuple(report for report in every_occurrence(cascade) if report.passes > 1),
    )  # fmt: skip


def _memories(result: Result, machine: Machine) -> tuple[tuple[str, float], ...]:
    """The share of each memory with a limit that the mapping takes, the fullest first."""
    shares = [
        (memory.name, result.buffers.get(memory.name, 0) / memory.capacity_bytes)
        for memory in machine.memories
        if memory.parent is not None and memory.capacity_bytes
    ]
    return tuple(sorted(shares, key=lambda item: -item[1]))


def elsewhere(mapping: Mapping, cascade: Cascade, machine: Machine) -> Iterator[tuple[str, Mapping]]:
    """The mapping with one Einsum on another unit, in that unit's best layout, where that is legal."""
    for node in mapping.computes():
        einsum = cascade.einsum(node.einsum)
        others: dict[str, list[Compute]] = {}
        for unit in machine.units:
            for other in placements(cascade, machine, einsum, unit.name) if unit.name != node.unit else ():
                others.setdefault(other.unit, []).append(other)
        for name, nodes in others.items():
            best: tuple[float, Mapping] | None = None
            for other in nodes:
                tree = msgspec.structs.replace(mapping, tree=_with(mapping.tree, node, other))
                pair = judged(tree, cascade, machine)
                if pair is not None and (best is None or pair[1].latency_s < best[0]):
                    best = (pair[1].latency_s, tree)
            if best is not None:
                yield f"{node.einsum} on {name}", best[1]


def _with(node: Node, old: Compute, new: Compute) -> Node:
    """The tree with one leaf in place of another."""
    if node is old:
        return new
    if isinstance(node, (Sequence, Pipeline)):
        below = tuple(_with(child, old, new) for child in node.children)
        return msgspec.structs.replace(node, children=below)
    if isinstance(node, (Loop, Keep)):
        return msgspec.structs.replace(node, body=_with(node.body, old, new))
    return node


def _change(what: str, new: Result, old: Result, *, remapped: bool) -> Change:
    return Change(
        what=what, latency_s=new.latency_s, energy_j=new.energy_j, energy_stated_j=new.energy_stated_j,
        remapped=remapped,
        speedup=old.latency_s / new.latency_s if new.latency_s else 1.0,
    )  # fmt: skip


def _ridge(machine: Machine) -> float | None:
    rate = machine.dram.read_bytes_per_s
    peaks = [
        unit.pes * (unit.clock_hz or machine.clock_hz) / unit.cost("mac").cycles
        for unit in machine.matrix_units
        if unit.supports("mac")
    ]
    return max(peaks) / rate if rate and peaks else None


def doubled(machine: Machine) -> Iterator[tuple[str, Machine]]:
    """The machine with each limiting memory twice as fast, and with each unit twice as fast."""
    for at, memory in enumerate(machine.memories):
        if not (memory.read_bytes_per_s or memory.write_bytes_per_s):
            continue
        rates = {
            name: 2 * rate
            for name in ("read_bytes_per_s", "write_bytes_per_s")
            if (rate := getattr(memory, name)) is not None
        }
        fast = msgspec.structs.replace(memory, **rates)
        memories = (*machine.memories[:at], fast, *machine.memories[at + 1 :])
        yield f"{memory.name} twice as fast", msgspec.structs.replace(machine, memories=memories)
    for at, unit in enumerate(machine.units):
        fast_unit = msgspec.structs.replace(unit, clock_hz=2 * (unit.clock_hz or machine.clock_hz))
        units = (*machine.units[:at], fast_unit, *machine.units[at + 1 :])
        yield f"{unit.name} twice as fast", msgspec.structs.replace(machine, units=units)


def larger(machine: Machine) -> Iterator[tuple[str, Machine]]:
    """The machine with each on-chip memory twice as large."""
    for at, memory in enumerate(machine.memories):
        if memory.parent is None or memory.capacity_bytes is None:
            continue
        wide = msgspec.structs.replace(memory, capacity_bytes=2 * memory.capacity_bytes)
        memories = (*machine.memories[:at], wide, *machine.memories[at + 1 :])
        yield f"{memory.name} twice as large", msgspec.structs.replace(machine, memories=memories)
