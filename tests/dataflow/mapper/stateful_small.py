"""Small problems with carried state, and a brute force over their whole space that prunes nothing."""

from __future__ import annotations

import itertools
import random

from small import with_outputs

from einsim.accel.machine import Machine, Memory, OpCost, RegisterFile, Unit
from einsim.dataflow.mapper.objective import Key, key_by
from einsim.dataflow.mapper.stateful.space import StatefulSpace
from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import parse

TEXTS = (
    ("initial R = -inf\nR[s+1,p] = max(R[s,p], X[s,p])\nZ[p] = exp(R[S,p])", "sp"),
    ("initial R = 0\nR[s+1,p] = X[s,p] + R[s,p]", "sp"),
    ("initial D = 0\nE[s,p] = exp(X[s,p])\nD[s+1,p] = E[s,p] + D[s,p]\nZ[p] = 1 / D[S,p]", "sp"),
    (
        (
            "initial R = -inf\nL[s,p] = max[k](X[s,k,p])\nR[s+1,p] = max(R[s,p], L[s,p])\n"
            "P[s,p] = exp(R[s,p] - R[s+1,p])"
        ),
        "skp",
    ),
    ("initial D = 0\nY[s,p] = A[s,k] * B[k,p]\nD[s+1,p] = Y[s,p] + D[s,p]\nZ[p] = exp(D[S,p])", "skp"),
    ("initial R = -inf\nR[s+1,b,p] = max(R[s,b,p], X[s,b,p])\nS[b,p] = sum[s](X[s,b,p])", "sbp"),
)


def machine(rng: random.Random) -> Machine:
    """An array and a vector unit with different ops behind one on-chip memory, or a second one inside it."""
    ops = {op: OpCost(cycles=rng.choice((1, 1, 2, 3)), energy_pj=rng.choice((1.0, 1.5)),
                      latency_cycles=rng.choice((0, 0, 4)))
           for op in ("mac", "mul", "add", "max", "exp", "div")}  # fmt: skip

    def memory(name: str, parent: str | None) -> Memory:
        read, write = (rng.choice((None, 1, 2, 3, 8)) for _ in "rw")
        capacity = rng.choice((None, 400, rng.randint(40, 200))) if parent else None
        return Memory(
            name=name, parent=parent, capacity_bytes=capacity, shared_port=rng.random() < 0.5,
            read_bytes_per_s=read and read * 10**9, write_bytes_per_s=write and write * 10**9,
            access_bytes=rng.choice((1, 2)), read_pj=rng.choice((1.0, 2.5)), write_pj=rng.choice((1.0, 3.5)),
            leakage_w=rng.choice((0.0, 0.25)),
        )  # fmt: skip

    memories = [memory("dram", None), memory("gb", "dram"), memory("l1", "gb")][: rng.choice((2, 2, 3))]
    registers = RegisterFile(bytes_per_pe=rng.choice((4, 16, 64)), read_pj=0.5, write_pj=0.25)
    wide = random.Random(repr(memories))
    array = Unit(
        name="mm", kind="array", dims={"rows": rng.randint(1, 3), "cols": rng.randint(1, 3)},
        ops={op: ops[op] for op in rng.choice((("mac", "max", "exp", "add"), ("mac", "add", "max"), tuple(ops)))},
        reads_from=memories[-1].name, registers=rng.choice((None, registers)),
        reduction_latency_cycles={"max": rng.choice((0, 3))}, accumulator_bits=wide.choice((None, 20, 32)),
    )  # fmt: skip
    vector = Unit(
        name="vec", kind="vector", dims={"lanes": rng.randint(1, 3)}, ops=ops,
        reads_from=rng.choice(memories[1:]).name, registers=rng.choice((None, registers)),
        clock_hz=rng.choice((None, 5e8)), accumulator_bits=wide.choice((None, 32)),
    )  # fmt: skip
    return Machine(
        name="chip", family="generic", clock_hz=1e9, memories=tuple(memories), units=(array, vector)
    )


def cascade(rng: random.Random) -> Cascade:
    """One to three Einsums with ranks of a few points, one of which carries state."""
    text, ranks = rng.choice(TEXTS)
    sizes = {rank: rng.choice((1, 2, 2, 3, 4)) for rank in ranks}
    return with_outputs(parse(text, name="small", sizes={**sizes, "s": rng.randint(1, 3)}))


def problem(seed: int, most: int = 6000) -> StatefulSpace:
    """A space of at most `most` mappings: the first of those that the seed draws."""
    rng = random.Random(seed)
    while True:
        space = StatefulSpace(
            cascade=cascade(rng), machine=machine(rng), menu=rng.choice(("all", "perfect")),
            layouts=rng.choice(("full", "any")), flights=rng.choice(((1, 2), (1, 2, 3), (2,))),
        )  # fmt: skip
        if 1 < space.count() <= most:
            return space


def best(space: StatefulSpace, objective: str, within: float) -> Key | None:
    """The best key of the whole space, by looking at every point."""
    model, group = space.model, space.group
    found: Key | None = None
    assignments = list(space.assignments())
    for tiling in space.tilings:
        counts = model.counts(tiling)
        placings = list(itertools.product(*(space.places(name, tiling) for name in group.inputs)))
        for places, assignment in itertools.product(placings, assignments):
            homes = dict(zip(group.made, assignment.homes, strict=True))
            homes |= {name: place.memory for name, place in zip(group.inputs, places, strict=True)}
            parts = [*model.parts(assignment.nodes, homes, counts), *model.loads(places, tiling, counts)]
            ticks: dict[str, int] = {}
            for part in parts:
                for engine, number in part.ticks:
                    ticks[engine] = ticks.get(engine, 0) + number
            joules = sum(part.joules for part in parts)
            for schedule in space.schedules:
                held = model.held_inputs(places, tiling)
                for home, size in model.held_made(assignment, tiling, schedule):
                    held[home] = held.get(home, 0) + size
                if not model.fits(held) or sum(held.values()) > within:
                    continue
                time = model.timed(assignment.nodes, homes, tiling, counts, schedule, max(ticks.values()))
                key = key_by(objective, time, joules + model.leak_j * time, sum(held.values()))
                found = key if found is None or key < found else found
    return found
