"""Software pipelining of a fused group: in which order and at which offsets its Einsums share the units.

A group is the operations of one innermost loop that overlap in a pipeline. In the steady state a tile starts
every `ii` cycles (the initiation interval) and an operation of stage s works on the tile that started s
intervals ago. `ii` is at least the busiest unit's time for one tile (resource bound) and at least what a
recurrence takes (a state that the next tile needs). On each unit operations run back to back in program
order; the offsets between units and the stages follow from the dependencies. A tensor needs as many buffers
as intervals pass from the start of its writer to the end of its last reader.

Source: modulo scheduling, Rau, "Iterative modulo scheduling", MICRO 1994, with the order on each unit fixed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import product

import msgspec

from einsim.dataflow.program import Op, Program


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """An operation of the group: `ticks` on `unit`, its result visible `latency` ticks after."""

    name: str
    unit: str
    ticks: int
    latency: int = 0


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """`reader` needs what `writer` made `distance` tiles earlier; `frees`: the bytes that it has left."""

    writer: str
    reader: str
    distance: int = 0
    frees: bool = False


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Initiation interval, start of each task relative to its tile's first (both in ticks), and its stage."""

    ii: int
    starts: dict[str, int]
    edges: tuple[Edge, ...]
    tasks: tuple[Task, ...]

    @property
    def stages(self) -> dict[str, int]:
        """Intervals between a tile's start and each task."""
        return {name: start // self.ii for name, start in self.starts.items()}

    @property
    def depth(self) -> int:
        """Tiles in flight."""
        return 1 + max(self.stages.values(), default=0)

    @property
    def length(self) -> int:
        """Ticks from a tile's first task to its last visible result: what filling and draining cost together
        beyond the intervals.
        """
        return max((self.starts[task.name] + task.ticks + task.latency for task in self.tasks), default=0)

    def buffers(self) -> dict[str, int]:
        """Buffers that each task's result needs so that no writer waits for a reader."""
        ends = {task.name: self.starts[task.name] + task.ticks for task in self.tasks}
        needed = {}
        for task in self.tasks:
            reads = [
                ends[edge.reader] + edge.distance * self.ii for edge in self.edges if edge.writer == task.name
            ]
            if reads:
                needed[task.name] = max(1, -(-(max(reads) - self.starts[task.name]) // self.ii))
        return needed


def resource_bound(tasks: tuple[Task, ...]) -> int:
    """Ticks of the busiest unit for one tile."""
    total: dict[str, int] = {}
    for task in tasks:
        total[task.unit] = total.get(task.unit, 0) + task.ticks
    return max(total.values(), default=0)


def recurrence_bound(tasks: tuple[Task, ...], edges: tuple[Edge, ...]) -> int:
    """The smallest interval at which every state is there when the tile that needs it starts."""
    return least_interval(len(tasks), _delays(tasks, edges))


#: From a task to another: the second starts `ticks` or more after the first, `distance` tiles on.
Delay = tuple[int, int, int, int]


def _delays(tasks: tuple[Task, ...], edges: tuple[Edge, ...]) -> list[Delay]:
    at = {task.name: number for number, task in enumerate(tasks)}
    writers = [tasks[at[edge.writer]] for edge in edges]
    return [
        (
            at[edge.writer],
            at[edge.reader],
            writer.ticks + (0 if edge.frees else writer.latency),
            edge.distance,
        )
        for edge, writer in zip(edges, writers, strict=True)
    ]


def least_interval(count: int, delays: list[Delay], least: int = 1) -> int:
    """The smallest interval, from `least` on, at which starts of `count` tasks exist that keep all delays:
    the largest mean of a closed chain of them, ticks over distance.
    """

    def met(interval: int) -> bool:
        needs = [(first, second, ticks - distance * interval) for first, second, ticks, distance in delays]
        return _earliest(count, needs) is not None

    if met(least):
        return least
    low, high = least + 1, least + 1 + sum(ticks for _, _, ticks, _ in delays)
    while low < high:
        middle = (low + high) // 2
        if met(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _earliest(count: int, needs: list[tuple[int, int, int]]) -> list[int] | None:
    """The least starts from 0 on of which each second is so much after its first; None: a chain closes."""
    starts = [0] * count
    for _ in range(count + 1):
        moved = False
        for first, second, need in needs:
            if starts[first] + need > starts[second]:
                starts[second] = starts[first] + need
                moved = True
        if not moved:
            return starts
    return None


def pipeline(tasks: tuple[Task, ...], edges: tuple[Edge, ...]) -> Schedule:
    """The schedule with the smallest interval, then the fewest ticks from a tile's start to its end."""
    if not tasks:
        return Schedule(ii=0, starts={}, edges=edges, tasks=tasks)
    ii = max(resource_bound(tasks), recurrence_bound(tasks, edges))
    while True:
        found = [
            starts for phases in _phases(tasks, edges, ii) if (starts := _phased(tasks, edges, ii, phases))
        ]
        if not found and (alone := _one_by_one(tasks, edges, ii)):
            found = [alone]
        if found:
            best = min(found, key=lambda starts: (_span(tasks, starts), sorted(starts.items())))
            return Schedule(ii=ii, starts=best, edges=edges, tasks=tasks)
        ii += max(1, ii // 64)


def _span(tasks: tuple[Task, ...], starts: Mapping[str, int]) -> int:
    return max(starts[task.name] + task.ticks + task.latency for task in tasks)


def _offsets(tasks: tuple[Task, ...]) -> dict[str, int]:
    """Start of each task after the ones before it on its unit."""
    used: dict[str, int] = {}
    found = {}
    for task in tasks:
        found[task.name] = used.get(task.unit, 0)
        used[task.unit] = found[task.name] + task.ticks
    return found


def _phases(tasks: tuple[Task, ...], edges: tuple[Edge, ...], ii: int) -> list[dict[str, int]]:
    """Offsets of the units to try: those at which some task starts just as something it needs is ready."""
    offsets = _offsets(tasks)
    by_name = {task.name: task for task in tasks}
    units = list(dict.fromkeys(task.unit for task in tasks))
    choices: dict[str, set[int]] = {unit: {0} for unit in units}
    for edge in edges:
        writer, reader = by_name[edge.writer], by_name[edge.reader]
        if writer.unit != reader.unit:
            ready = offsets[writer.name] + writer.ticks + writer.latency
            choices[reader.unit].add((ready - offsets[reader.name]) % ii)
    options = [sorted(choices[unit])[:16] if at else [0] for at, unit in enumerate(units)]
    return [dict(zip(units, phases, strict=True)) for phases in product(*options)][:256]


def _phased(
    tasks: tuple[Task, ...], edges: tuple[Edge, ...], ii: int, phases: Mapping[str, int]
) -> dict[str, int] | None:
    """Earliest starts with these phases; None when a recurrence can't be met at this interval."""
    offsets = _offsets(tasks)
    slots = [phases[task.unit] + offsets[task.name] for task in tasks]
    needs = [
        (first, second, -(-(slots[first] + ticks - slots[second]) // ii) - distance)
        for first, second, ticks, distance in _delays(tasks, edges)
    ]
    stages = _earliest(len(tasks), needs)
    if stages is None:
        return None
    starts = [slot + stage * ii for slot, stage in zip(slots, stages, strict=True)]
    return {task.name: start - min(starts) for task, start in zip(tasks, starts, strict=True)}


def _one_by_one(tasks: tuple[Task, ...], edges: tuple[Edge, ...], ii: int) -> dict[str, int] | None:
    """A tile as early as its order allows, with gaps on the units: always possible once a tile fits `ii`."""
    free: dict[str, int] = {}
    starts: dict[str, int] = {}
    by_name = {task.name: task for task in tasks}
    for task in tasks:
        ready = [
            starts[edge.writer] + by_name[edge.writer].ticks + by_name[edge.writer].latency
            for edge in edges
            if edge.reader == task.name and not edge.distance
        ]
        starts[task.name] = max([free.get(task.unit, 0), *ready])
        free[task.unit] = starts[task.name] + task.ticks
    for unit in free:
        mine = [task for task in tasks if task.unit == unit]
        if starts[mine[-1].name] + mine[-1].ticks - starts[mine[0].name] > ii:
            return None
    for edge in edges:
        writer = by_name[edge.writer]
        if starts[edge.reader] + edge.distance * ii < starts[edge.writer] + writer.ticks + writer.latency:
            return None
    return starts


def tasks_of(
    program: Program, loop: int, *, capacity: bool = False
) -> tuple[tuple[Task, ...], tuple[Edge, ...]]:
    """Tasks and edges of the computes whose innermost loop is `loop`, for whole tiles; with `capacity`, those
    by which buffers are free again and by which a sequence waits too.
    """
    members = fused(program)[loop]
    names = {op.id: op.name for op in members}
    tasks = tuple(
        Task(name=op.name, unit=op.engine, ticks=_whole(op), latency=op.latency_ticks) for op in members
    )
    edges = tuple(
        Edge(
            writer=names[wait.producer],
            reader=op.name,
            distance=_distance(program, op, wait.lag, wait.lag_loop),
            frees=wait.cause == "capacity",
        )
        for op in members
        for wait in op.waits
        if wait.producer in names
        and (capacity or (wait.cause != "capacity" and not (wait.lag and wait.borrow)))
    )
    return tasks, edges


def _whole(op: Op) -> int:
    """Ticks of an instance with the largest tile."""
    return max(cost.ticks for cost in op.costs.values())


def _distance(program: Program, op: Op, lag: int, lag_loop: int) -> int:
    """Tiles between an instance and the one `lag` iterations of a loop before it."""
    if not lag:
        return 0
    tiles = lag
    for loop in op.path[op.path.index(lag_loop) + 1 :]:
        tiles *= program.loops[loop].count
    return tiles


def schedules(program: Program) -> dict[int, Schedule]:
    """The schedule of every innermost loop that several Einsums share, by loop id.

    Operations inside a sequence are ordered by it and have no schedule of this kind.
    """
    found = {}
    serial = _serial(program)
    for loop, members in fused(program).items():
        tasks, edges = tasks_of(program, loop)
        if len(tasks) > 1 and serial.isdisjoint(op.id for op in members):
            found[loop] = pipeline(tasks, edges)
    return found


def _serial(program: Program) -> set[int]:
    """Operations that a sequence orders inside their innermost loop: they wait for an earlier iteration."""
    found = set()
    for op in program.ops:
        for wait in op.waits:
            same = program.ops[wait.producer].path == op.path and op.path
            if same and wait.ends_round:
                found.add(op.id)
    return found


def paced_ticks(program: Program) -> int:
    """Ticks that the fused loops of a program take at the pace of their schedules, with as many tiles in
    flight as buffers allow: about what a run takes, no bound.
    """
    found = 0
    for loop, members in fused(program).items():
        tasks, edges = tasks_of(program, loop, capacity=True)
        if len(tasks) > 1:
            runs = max(tiles_in(program, op, op.path) for op in members)
            found = max(found, pipeline(tasks, edges).ii * runs)
    return found


def fused(program: Program) -> dict[int, list[Op]]:
    """The computes of every innermost loop, by loop id."""
    found: dict[int, list[Op]] = {}
    for op in program.ops:
        if op.kind == "compute" and op.path:
            found.setdefault(op.path[-1], []).append(op)
    return found


def tiles_in(program: Program, op: Op, loops: Iterable[int]) -> int:
    """Tiles of an operation in all iterations of some of its loops, as if bounds cut none."""
    return math.prod(program.loops[loop].count for loop in loops if loop not in op.when)
