"""The pace of stateful groups, held against the simulator, in what the least cycles do not show."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.stateful.point import StatefulPoint, mapping
from einsim.dataflow.mapper.stateful.space import StatefulSpace
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError
from einsim.validation.oracle.draw_cascade import draw_cascade
from einsim.validation.oracle.draw_machine import draw_machine

KINDS = ("running", "last-state", "recurrent", "delta-rule", "one-pass")


def drawn_points(count: int) -> Iterator[tuple[StatefulSpace, StatefulPoint]]:
    """Points with interleaved tiles and several outer ones, where no memory limits."""
    for number in range(count):
        rng = random.Random(f"pace/{number}")
        chip = draw_machine(rng, plain=True)
        free = {"read_bytes_per_s": None, "write_bytes_per_s": None, "shared_port": False}
        memories = tuple(msgspec.structs.replace(memory, **free) for memory in chip.memories)
        chip = msgspec.structs.replace(chip, memories=memories)
        work = draw_cascade(rng.choice(KINDS), rng)
        try:
            space = StatefulSpace(cascade=work, machine=chip, menu="all", layouts="any", flights=(1, 2))
        except EinsimError:
            continue
        point = space.sample(rng, 50)
        if point and point.schedule.interleaved and space.model.outer_tiles(point.tiling) > 1:
            yield space, point


def times(space: StatefulSpace, point: StatefulPoint, sets: int) -> tuple[int, float]:
    """Ticks with so many sets of state buffers, and seconds as simulated."""
    schedule = msgspec.structs.replace(point.schedule, sets=sets)
    point = msgspec.structs.replace(point, schedule=schedule)
    program = lower(mapping(space.group, space.machine, point), space.cascade, space.machine)
    return space.model.figures(point).ticks, simulate(program, space.machine).latency_s


def test_a_single_set_of_state_buffers_waits_for_drains_as_in_the_simulator() -> None:
    waits = []
    for space, point in drawn_points(100):
        (paced, simulated), (paced_two, simulated_two) = (times(space, point, sets) for sets in (1, 2))
        if simulated > 1.05 * simulated_two:
            waits.append(paced > paced_two)
    assert len(waits) > 10
    assert sum(waits) >= 0.8 * len(waits)  # a pace is a mean, which a short run may miss
