"""Modulo schedules: no unit does two things at once, nothing is read before it is there, the interval is least."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.dataflow.lower import lower
from einsim.dataflow.schedule import Edge, Schedule, Task, pipeline, resource_bound, schedules
from einsim.dataflow.templates import build_mapping
from einsim.workloads.library import build


@st.composite
def groups(draw: st.DrawFn) -> tuple[tuple[Task, ...], tuple[Edge, ...]]:
    """Random chains of tasks on up to three units, with forward edges and recurrences."""
    count = draw(st.integers(1, 8))
    tasks = tuple(
        Task(
            name=f"t{at}", unit=draw(st.sampled_from("abc")), ticks=draw(st.integers(1, 40)),
            latency=draw(st.integers(0, 60)),
        )
        for at in range(count)
    )  # fmt: skip
    edges = []
    for reader in range(1, count):
        writers = draw(st.sets(st.integers(0, reader - 1), max_size=3))
        edges.extend(Edge(writer=f"t{writer}", reader=f"t{reader}") for writer in writers)
    if count > 1 and draw(st.booleans()):
        edges.append(Edge(writer=f"t{count - 1}", reader="t0", distance=draw(st.integers(1, 4))))
    return tasks, tuple(edges)


def clashes(schedule: Schedule) -> bool:
    """Whether two tasks hold one unit at the same time in the steady state."""
    for at, first in enumerate(schedule.tasks):
        for second in schedule.tasks[at + 1 :]:
            if first.unit != second.unit:
                continue
            apart = (schedule.starts[second.name] - schedule.starts[first.name]) % schedule.ii
            if apart < first.ticks or schedule.ii - apart < second.ticks:
                return True
    return False


@settings(max_examples=60, deadline=None)
@given(groups())
def test_a_schedule_keeps_units_and_dependencies(group):
    tasks, edges = group
    schedule = pipeline(tasks, edges)
    by_name = {task.name: task for task in tasks}
    assert not clashes(schedule)
    for edge in edges:
        ready = schedule.starts[edge.writer] + by_name[edge.writer].ticks + by_name[edge.writer].latency
        assert schedule.starts[edge.reader] + edge.distance * schedule.ii >= ready
    assert schedule.ii >= resource_bound(tasks)
    if not any(edge.distance for edge in edges):
        assert schedule.ii == resource_bound(tasks)


@settings(max_examples=32, deadline=None)
@given(groups())
def test_buffers_cover_the_lifetime_of_every_result(group):
    tasks, edges = group
    schedule = pipeline(tasks, edges)
    for name, buffers in schedule.buffers().items():
        ends = [
            schedule.starts[edge.reader]
            + next(task.ticks for task in tasks if task.name == edge.reader)
            + edge.distance * schedule.ii
            for edge in edges
            if edge.writer == name
        ]
        assert buffers * schedule.ii >= max(ends) - schedule.starts[name]
        assert buffers == 1 or (buffers - 1) * schedule.ii < max(ends) - schedule.starts[name]


def test_fusemax_starts_a_tile_every_138_cycles_with_four_in_flight():
    """64 + 1 + 7 + 1 + 64 = 137 cycles on the array and 1 + 7 + 1 + 1 + 64 + 64 = 138 on the vector unit; the
    column maximum's 256 cycles put its readers two tiles later.
    """
    machine = load_machine("fusemax-cloud")
    cascade = build("attention-1pass", seq="4K", b=1, h=1, e=64)
    program = lower(build_mapping(cascade, machine, "fusemax-interleaved"), cascade, machine)
    (schedule,) = schedules(program).values()
    assert schedule.ii == 138 * program.ticks_per_cycle
    assert schedule.depth == 4
    assert schedule.stages["BQK"] == schedule.stages["LM"] == 0
    assert schedule.stages["RM"] == 2
    assert schedule.buffers()["BQK"] == 3


def test_a_sequence_has_no_software_pipeline():
    machine = load_machine("fusemax-cloud")
    cascade = build("attention-1pass", seq="4K", b=1, h=1, e=64)
    program = lower(build_mapping(cascade, machine, "fusemax-stalled"), cascade, machine)
    assert not schedules(program)
