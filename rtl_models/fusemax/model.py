"""Jobs of FuseMax's array, from the simulator's stepped FuseMax."""

from __future__ import annotations

import numpy as np

from einsim.rtl_models.bench.job import Event, Job
from einsim.rtl_models.bench.pressure import NO_WAITS, Pressure, clocks, hexed
from einsim.rtl_models.bench.scoreboard import pack
from einsim.sim.arrays.exp_fixed import FRACTION_BITS, LOG2E_BITS
from einsim.sim.arrays.fusemax import FuseMaxSpec, HeadShape, starts, tiles
from einsim.sim.arrays.step_fusemax import QK, SLNV, program, step_fusemax
from einsim.specs.arrays import Ints

SUM_CYCLE = 7
"""Local cycles from a tile's SUB to its SLD: one subtraction, six macs."""


def fusemax_parameters(spec: FuseMaxSpec, *, bits: int = 8) -> dict[str, int]:
    """RTL parameters of the array."""
    return {
        "R": spec.rows, "C": spec.cols, "W": bits, "ACC": 32, "XW": 48, "DEPTH": spec.depth,
        "SLOT": max(1, (spec.depth - 1).bit_length()),
    }  # fmt: skip


def fusemax_job(
    spec: FuseMaxSpec, q: Ints, k: Ints, v: Ints, *, score_fraction_bits: int, bits: int = 8,
    pressure: Pressure = NO_WAITS, name: str = "",
) -> Job:  # fmt: skip
    """Attention of q [p, e] over k [m, e] and v [m, f] on the RTL of `spec`.

    Results of each tile and query: the running maximum, the sum of exp, and f sums of exp * v.
    """
    run = step_fusemax(spec, q, k, v, score_fraction_bits=score_fraction_bits)
    work = HeadShape(m=len(k), p=len(q), e=q.shape[1], f=v.shape[1])
    along_m, _ = tiles(spec, work)
    code, tile, index = program(spec, work)
    left, top = [], []
    for op, number, i in zip(code, tile, index, strict=True):
        m0, p0 = number % along_m * spec.rows, number // along_m * spec.cols
        if op == QK:
            left.append(pack(k[m0 : m0 + spec.rows, i], bits))
            top.append(pack(q[p0 : p0 + spec.cols, i], bits))
        if op == SLNV:
            left.append(pack(v[m0 : m0 + spec.rows, i], bits))
    events = _events(spec, work, run.maxima, run.denominators, run.numerators)
    needs = {
        stream: [t < len(code) and int(code[t]) in ops for t in range(run.cycles)]
        for stream, ops in {"left": (QK, SLNV), "top": (QK,)}.items()
    }
    gives = np.zeros(run.cycles, bool)
    gives[[event.cycle for event in events if event.cycle is not None]] = True
    gaps = {"left": pressure.gaps(len(left), 0), "top": pressure.gaps(len(top), 1)}
    return Job(
        name=name
        or f"fusemax {spec.rows}x{spec.cols} depth {spec.depth} m{work.m} p{work.p} e{work.e} f{work.f}",
        config={
            "keys": work.m, "queries": work.p, "e_size": work.e, "f_size": work.f,
            "shift": score_fraction_bits + LOG2E_BITS - FRACTION_BITS,
        },
        streams={"left": hexed(left), "top": hexed(top)},
        events=events,
        active=[int(count) for count in run.busy_per_cycle],
        cycles=run.cycles,
        clocks=clocks(run.cycles, needs, [bool(x) for x in gives], gaps, pressure.ready()),
        gaps=gaps,
        out_ready=pressure.ready(),
    )  # fmt: skip


def _events(
    spec: FuseMaxSpec, work: HeadShape, maxima: Ints, denominators: Ints, numerators: Ints
) -> list[Event]:
    """What leaves each column below the last row, and in which cycle."""
    qk, sub, _ = starts(spec, work)
    along_m, _ = tiles(spec, work)
    events = []
    for number, (one, two) in enumerate(zip(qk, sub, strict=True)):
        m_tile, p0 = number % along_m, number // along_m * spec.cols
        for c in range(min(spec.cols, work.p - p0)):
            down = spec.rows - 1 + c
            where = f"column {c}, tile {number}, query {p0 + c}"
            found = [(one + work.e + down + 1, maxima[m_tile, p0 + c], "maximum")]
            found.append((two + SUM_CYCLE + down, denominators[m_tile, p0 + c], "sum of exp"))
            for f in range(work.f):
                at = two + SUM_CYCLE + 1 + f + down
                found.append((at, numerators[m_tile, f, p0 + c], f"sum of exp * v[{f}]"))
            events += [
                Event(cycle=at, lane=c, value=int(value), where=f"{where}, {what}")
                for at, value, what in found
            ]
    return sorted(events, key=lambda event: (event.cycle or 0, event.lane))
