"""The analytical model: a lower bound on latency from the tile program, with energy and traffic.

Bound of a node, over all its iterations (T):

    operation          the busy time of its engine, or of the busiest port that it streams through
    sequence           sum of T(child), each with the latency of an operation that ends it, once a round
    pipeline           max of T(child) and of every engine's busy time below it
    loop               T(body)

and of the whole program its dependent chain (`einsim.dataflow.chain`), or what latency leaves of transfers
of which only so many may be under way (`einsim.dataflow.in_flight`), if that is longer. Each is a true
bound: an engine serves one operation at a time, a sequence lets one child run at a time and ends an iteration
before the next begins, and a pipeline can't beat its busiest engine. Memory and compute overlap perfectly
inside a pipeline.
"""

from __future__ import annotations

from einsim.accel.machine import Machine
from einsim.dataflow.account import Books, keep_books, static_counts
from einsim.dataflow.chain import chain_ticks
from einsim.dataflow.held_down import under_cap
from einsim.dataflow.in_flight import in_flight_ticks
from einsim.dataflow.iteration import Path
from einsim.dataflow.program import Op, Program, ScheduleNode
from einsim.dataflow.result import Result
from einsim.dataflow.volume import tally_of

DISPATCH = "dispatch"
"""The cause of a stall in which the machine is told what to do."""


def analyse(program: Program, machine: Machine) -> Result:
    """Evaluate a program analytically: the level "analytical" of `einsim run`.

    SpecError where the machine has a power cap and doesn't state all energy, or no clock meets it.
    """
    return under_cap(program, machine, _analysed)


def _analysed(program: Program, machine: Machine) -> Result:
    """A program at its machine's full clock."""
    counts = static_counts(program)
    total = busy_ticks(program, counts)
    ticks = least_ticks(program, counts)
    cycles = -(-ticks // program.ticks_per_cycle)
    books = keep_books(program, machine, counts, seconds_of(program, machine, ticks))
    busiest = max(total, key=lambda name: total[name])
    bound_by = {name: -(-value // program.ticks_per_cycle) for name, value in total.items()}
    bound_by["schedule"] = cycles
    units = [engine.name for engine in program.engines if engine.kind == "unit"]
    stalls = {unit: {"not busy": cycles - bound_by[unit]} for unit in units}
    rows = {unit: {"busy": bound_by[unit], "not busy:": lost["not busy"]} for unit, lost in stalls.items()}
    critical = max(units, key=lambda name: total[name])
    return make_result(
        program, machine, books, level="analytical", ticks=ticks, bound_by=bound_by,
        bottleneck=bottleneck(busiest, total, ticks), stalls=stalls[critical], stalls_by_unit=stalls,
        breakdown_by_unit=rows,
    )  # fmt: skip


def seconds_of(program: Program, machine: Machine, ticks: int) -> float:
    """Seconds of a run whose tiles take so many ticks: those of its start come on top."""
    start = machine.start_cycles(program.dispatched, program.clock_hz, program.grouped)
    return (ticks + start * program.ticks_per_cycle) / program.ticks_per_cycle / program.clock_hz


def least_ticks(program: Program, counts: dict[int, dict[tuple[int, ...], int]]) -> int:
    """The bound of the whole program: no shorter than its dependent chain either."""
    ticks = [engine_ticks(op, counts[op.id]) for op in program.ops]
    runs = [sum(counts[op.id].values()) for op in program.ops]
    bounds = Bounds(program, ticks, runs, [op.latency_ticks for op in program.ops])
    return max(bounds.of(program.shape), chain_ticks(program, counts), in_flight_ticks(program, counts))


def bottleneck(busiest: str, total: dict[str, int], ticks: int) -> str:
    """The engine that sets the bound, or the dependency chain where none is busy for nearly all of it."""
    return busiest if total[busiest] * 10 >= ticks * 9 else f"dependencies (busiest: {busiest})"


class Bounds:
    """Lower bounds in ticks of the groups of a program, whose operations take so many `ticks` on each engine,
    in so many `runs`, each visible after its `latency`.
    """

    def __init__(
        self, program: Program, ticks: list[dict[str, int]], runs: list[int], latency: list[int]
    ) -> None:
        self.program, self.ticks, self.runs, self.latency = program, ticks, runs, latency

    def of(self, group: ScheduleNode) -> int:
        """T(group), as the module's text defines it."""
        if group.kind == "op":
            return max(self.ticks[group.op].values(), default=0)
        if group.kind == "sequence":
            rounds = self._rounds(group)
            return sum(self._closed(child, rounds) for child in group.children)
        return max((*(self.of(child) for child in group.children), *self.busy(group).values()), default=0)

    def _closed(self, group: ScheduleNode, rounds: int) -> int:
        """T of a sequence's child: an operation's result must be visible before the next child starts."""
        if group.kind != "op":
            return self.of(group)
        return self.of(group) + self.latency[group.op] * min(rounds, self.runs[group.op])

    def _rounds(self, group: ScheduleNode) -> int:
        """How often a sequence runs: the iterations of the loops that all its children share."""
        ops = _ops(group, self.program)
        depth = 0
        for same in zip(*(op.path for op in ops), strict=False):
            if len(set(same)) > 1:
                break
            depth += 1
        if depth == 0 or len(group.children) == 1:
            return 1
        loops = tuple(self.program.loops[loop] for loop in ops[0].path[:depth])
        return min(Path(loops, {}, self.program.sizes, cut=op.cut).total() for op in ops)

    def busy(self, group: ScheduleNode) -> dict[str, int]:
        """Busy ticks of every engine below a group."""
        total: dict[str, int] = {}
        for op in _ops(group, self.program):
            for engine, ticks in self.ticks[op.id].items():
                total[engine] = total.get(engine, 0) + ticks
        return total


def _ops(group: ScheduleNode, program: Program) -> list[Op]:
    if group.kind == "op":
        return [program.ops[group.op]]
    return [op for child in group.children for op in _ops(child, program)]


def engine_ticks(op: Op, counts: dict[tuple[int, ...], int]) -> dict[str, int]:
    """Ticks that an operation takes on its own engine and on the ports that it streams through."""
    tally, rates = tally_of(op, counts)
    return tally.engine_ticks(op.engine, rates)


def busy_ticks(program: Program, counts: dict[int, dict[tuple[int, ...], int]]) -> dict[str, int]:
    """Ticks that each engine of a program is busy."""
    total = dict.fromkeys((engine.name for engine in program.engines), 0)
    for op in program.ops:
        for engine, busy in engine_ticks(op, counts[op.id]).items():
            total[engine] += busy
    return total


def make_result(
    program: Program,
    machine: Machine,
    books: Books,
    *,
    level: str,
    ticks: int,
    bottleneck: str,
    bound_by: dict[str, int],
    stalls: dict[str, int],
    stalls_by_unit: dict[str, dict[str, int]],
    breakdown_by_unit: dict[str, dict[str, int]],
    timeline: tuple[object, ...] = (),
) -> Result:
    """Put time and books together; used by both levels. In the `ticks` of the tiles every unit does what
    `breakdown_by_unit` says, in those of its start nothing.
    """
    pes = {engine.name: engine.pes for engine in program.engines if engine.kind == "unit"}
    dispatch = machine.start_cycles(program.dispatched, program.clock_hz, program.grouped)
    if dispatch:
        bound_by = {**bound_by, "schedule": bound_by["schedule"] + dispatch}
        stalls = {DISPATCH: dispatch, **stalls}
        stalls_by_unit = {unit: {DISPATCH: dispatch, **rows} for unit, rows in stalls_by_unit.items()}
        breakdown_by_unit = {unit: {**rows, DISPATCH: dispatch} for unit, rows in breakdown_by_unit.items()}
    ticks += dispatch * program.ticks_per_cycle
    return Result(
        workload=program.workload,
        accel=program.accel,
        level=level,
        mapping=program.mapping,
        cycles=-(-ticks // program.ticks_per_cycle),
        latency_s=ticks / program.ticks_per_cycle / program.clock_hz,
        dram_bytes=books.dram_bytes,
        utilization={
            unit: books.active_pe_ticks[unit] / (pes[unit] * ticks) if ticks else 0.0 for unit in pes
        },
        stalls=stalls,
        stalls_by_unit=stalls_by_unit,
        breakdown_by_unit=breakdown_by_unit,
        energy_by=books.energy_by,
        energy_not_stated=books.energy_not_stated,
        energy_beside=books.energy_beside,
        traffic=books.traffic,
        moved_bytes=books.moved_bytes,
        bottleneck=bottleneck,
        bound_by=bound_by,
        by_einsum=books.by_einsum,
        buffers=program.buffers,
        timeline=timeline,  # type: ignore[arg-type]
        notes=program.notes,
        assumed=machine.assumed,
        macs=program.macs,
        area_um2=machine.area_um2,
        area_not_stated=machine.area_not_stated,
        resources=machine.resources,
    )
