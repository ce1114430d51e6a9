"""The least costs of all nests of a list at once are those of each by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.clock import port_name
from einsim.dataflow.holds import levels
from einsim.dataflow.templates.layerwise import Branches
from einsim.dataflow.templates.least import ListLeast
from einsim.dataflow.templates.room import Stays
from einsim.dataflow.templates.worth import worth_of
from einsim.workloads.cascade import Cascade
from einsim.workloads.load import load_workload


def ends(
    part: Cascade, machine: Machine, least: ListLeast, stays: Stays, rates: Mapping[str, int], at: int
) -> tuple[dict[str, float], float]:
    """Of one nest: ticks before each unit's first tile and after its last, and DRAM's until its last loads are
    used up.
    """

    def passing(tensor: str, size: float, *, reads: bool) -> float:
        ticks = 0.0
        for (name, memory), there in least.ways.items():
            outer = machine.memory(machine.memory(memory).parents[0])
            inside = name == tensor and there[at] and (name, outer.name) in least.ways
            if inside and least.ways[name, outer.name][at] and memory not in stays.get(name, ()):
                ticks += rates.get(port_name(outer, reads), 0)
        if tensor in least.moved and tensor not in stays:
            ticks += rates.get(port_name(machine.dram, reads), 0)
        return size * ticks

    near = {name for unit in machine.units for name in unit.memories.values()}
    one_port = len(near) == 1 and all(levels(machine, name) == (name,) for name in near)
    one_port &= not any(machine.memory(name).holds for name in near)
    names = [einsum.name for einsum in part.einsums]
    reads = {einsum.name: dict.fromkeys(read.tensor for read in einsum.reads) for einsum in part.einsums}
    on = {name: unit for (name, unit), ticks in least.one.items() if ticks[at]}
    one, short, late = (dict.fromkeys(names, 0.0) for _ in range(3))
    for name, unit in on.items():
        one[name], short[name] = (of[name, unit][at] * rates[unit] for of in (least.one, least.shortest))
        late[name] = least.results[name, unit][at] * rates[unit]
    last = {name: size[at] for name, size in least.last.items()}
    heads, tails = dict[str, float](), {name: passing(name, last.get(name, 0), reads=False) for name in names}
    for name in names:
        loads = [passing(r, least.first[r][at], reads=True) for r in reads[name] if r in least.first]
        load = sum(loads) if one_port else max(loads, default=0)
        heads[name] = max([load, *(heads[r] + one[r] + late[r] for r in reads[name] if r in heads)])
    loaded = {name: 0.0 for name in least.after if name not in stays}
    for name in reversed(names):
        tails[name] += late[name]
        for read in reads[name]:
            if read in tails:
                tails[read] = max(tails[read], tails[name] + short[name])
            if read in loaded:
                loaded[read] = max(loaded[read], least.after[read][at] * short[name] + tails[name])
    each = rates[port_name(machine.dram, reads=True)]
    behind = {
        r: t + passing(r, last.get(r, 0), reads=True) - last.get(r, 0) * each for r, t in loaded.items()
    }
    port = 0.0
    for left in behind.values():
        total = sum(least.moved[r][at] * each for r, t in behind.items() if t >= left)
        port = max(port, total + left if total else 0)
    by_unit = {
        unit: min(heads[n] for n in on if on[n] == unit) + min(tails[n] for n in on if on[n] == unit)
        for unit in on.values()
    }
    return by_unit, port


@pytest.mark.parametrize(
    ("name", "sizes", "accel"),
    [
        ("attention-3pass", {"b": 1, "h": 2, "e": 64, "seq": 300}, "sa8295p"),
        ("attention-2pass", {"b": 1, "h": 2, "e": 32, "seq": 96}, "tpu-v4i"),
        ("linear-training", {"n": 96, "i": 200, "o": 160}, "u280-flightllm"),
    ],
)
def test_ends_of_all_nests_are_those_of_each(name: str, sizes: dict[str, int], accel: str) -> None:
    work, machine = load_workload(name, sizes), load_machine(accel)
    made, rates = Branches(work, machine, ()), worth_of(machine, "latency").rates
    for run in (runs[0] for runs in made.outline.runs.values()):
        for names, _ in (made.sets[0], made.sets[-1]):
            known, stays = made.chooser._stays(run, names)
            table, part = known.table(stays), known._leaves.cascade
            found, port = table._ends(rates)
            for at in range(0, len(known.nests), 5):
                each, until = ends(part, machine, known._least, stays, rates, at)
                assert math.isclose(port[at], until, rel_tol=1e-12)
                mine = {unit: found[number, at] for number, unit in enumerate(table.units)}
                assert {unit: ticks for unit, ticks in mine.items() if unit in each} == pytest.approx(each)
                assert not np.any([ticks for unit, ticks in mine.items() if unit not in each])
