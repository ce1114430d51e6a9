"""Jobs of the N:M DSP chains, from the simulator's stepped chain."""

from __future__ import annotations

from typing import Final

import numpy as np

from einsim.rtl_models.bench.job import Event, Job
from einsim.rtl_models.bench.pressure import NO_WAITS, Pressure, clocks, hexed
from einsim.rtl_models.bench.scoreboard import pack
from einsim.sim.arrays.dsp_chain import ChainSpec, beats, step_chain
from einsim.sim.arrays.gemm import Gemm
from einsim.sim.arrays.nm import compress
from einsim.specs.arrays import Ints

MODES: Final[dict[tuple[int, int], int]] = {(1, 1): 0, (2, 4): 1, (1, 4): 2, (2, 8): 3}
"""The RTL's `mode` input by (n, m); dense is 1:1."""


def chain_parameters(spec: ChainSpec, *, bits: int = 8) -> dict[str, int]:
    """RTL parameters of the chains."""
    return {"ROWS": spec.rows, "COLS": spec.cols, "LENGTH": spec.length, "W": bits, "P": 48}


def chain_job(
    spec: ChainSpec, a: Ints, b: Ints, *, nm: tuple[int, int] | None = None, bits: int = 8,
    pressure: Pressure = NO_WAITS, name: str = "",
) -> Job:  # fmt: skip
    """Out = a @ b on the chains, a [m, k], b [k, n]; `nm` is one of MODES or None for dense.

    RuleError where the simulator refuses the operands; KeyError for a pattern that is not in MODES.
    """
    n, m = nm or (1, 1)
    gemm = Gemm(m=a.shape[0], n=b.shape[1], k=a.shape[1], nm=nm)
    run = step_chain(spec, a, b, nm=nm)
    small = compress(b, (n, m))
    count, per_beat = beats(spec, gemm), spec.length // n
    span, wide = per_beat * n, 8 * ((spec.length + 1) // 2)
    padded = np.zeros((gemm.m, (count + 1) * per_beat * m), np.int64)
    padded[:, : gemm.k] = a
    a_words, b_words, events = [], [], []
    turns = [(i, j) for i in range(0, gemm.m, spec.rows) for j in range(0, gemm.n, spec.cols)]
    for turn, (m0, n0) in enumerate(turns):
        rows, cols = min(spec.rows, gemm.m - m0), min(spec.cols, gemm.n - n0)
        for beat in range(count):
            groups = np.zeros((spec.rows, wide), np.int64)
            # A group's m values stand at g * m; in modes of n = 2 two slices share them.
            groups[:rows, : per_beat * m] = padded[
                m0 : m0 + rows, beat * per_beat * m : (beat + 1) * per_beat * m
            ]
            a_words.append(pack(groups.ravel(), bits))
            slots = slice(beat * span, min((beat + 1) * span, gemm.slots))
            lanes = np.zeros((spec.cols, spec.length), np.int64)
            taken = slots.stop - slots.start
            lanes[:cols, :taken] = (small.values[slots, n0 : n0 + cols] & ((1 << bits) - 1)).T
            lanes[:cols, :taken] |= small.index[slots, n0 : n0 + cols].T << bits
            b_words.append(pack(lanes.ravel(), bits + 3))
        events += [
            Event(
                cycle=(turn + 1) * count - 1 + spec.length + 2, lane=r * spec.cols + c,
                value=int(run.outputs[m0 + r, n0 + c]),
                where=f"chain ({r}, {c}), out[{m0 + r}, {n0 + c}]",
                operands=(tuple(map(int, a[m0 + r])), tuple(map(int, b[:, n0 + c]))),
            )
            for r, c in np.ndindex(rows, cols)
        ]  # fmt: skip
    need = [cycle < len(a_words) for cycle in range(run.cycles)]
    gives = np.zeros(run.cycles, bool)
    gives[[event.cycle for event in events if event.cycle is not None]] = True
    gaps = {"a": pressure.gaps(len(a_words), 0), "b": pressure.gaps(len(b_words), 1)}
    return Job(
        name=name or f"chain {spec.rows}x{spec.cols}x{spec.length} {n}:{m} m{gemm.m} n{gemm.n} k{gemm.k}",
        config={"mode": MODES[n, m], "m_size": gemm.m, "n_size": gemm.n, "slots": gemm.slots},
        streams={"a": hexed(a_words), "b": hexed(b_words)},
        events=events,
        active=[int(count) for count in run.macs_per_cycle],
        cycles=run.cycles,
        clocks=clocks(run.cycles, {"a": need, "b": need}, [bool(x) for x in gives], gaps, pressure.ready()),
        gaps=gaps,
        out_ready=pressure.ready(),
    )
