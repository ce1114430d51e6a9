"""Whether what a search has proven stands: then no refinement looks for better."""

from __future__ import annotations

from einsim.dataflow.analytical import seconds_of
from einsim.dataflow.ends import Ends
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.bound import alike_over_units
from einsim.dataflow.mapper.judged import Judged
from einsim.dataflow.mapper.objective import key_by
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.schedule import paced_ticks

#: What tiles wait for may make the best of a space dearer by this share at most: no other gains more by less.
WAITED = 0.03


def settled(space: MapSpace, best: Judged, objective: str) -> bool:
    """Whether the best of a space, as the search counts, is as good as what moves lead to: they know no
    layouts and no registers that the space doesn't, and in what the search leaves out, tiles that wait for
    others, hardly anything is to be gained.
    """
    machine, einsums = space.machine, space.cascade.einsums
    if any(len(space.every_leaf(einsum)) > len(space.leaves(einsum)) for einsum in einsums):
        return False
    spreads = (some for einsum in einsums for some in alike_over_units(space, einsum).values())
    if any(machine.unit(unit).registers for some in spreads for unit, _ in some):
        return False
    result, program = best[1], lower(best[0], space.cascade, machine)
    ticks = max(Ends(program).bound()[0], paced_ticks(program))
    seconds = max(result.latency_s, seconds_of(program, machine, ticks))
    joules, held = result.energy_stated_j or 0.0, float(sum(result.buffers.values()))
    waiting = joules + machine.static_w * (seconds - result.latency_s)
    late = key_by(objective, seconds, waiting, held)[0]
    return late <= key_by(objective, result.latency_s, joules, held)[0] * (1 + WAITED)
