"""Jobs of the double-buffered tile loader with its array, from the simulator's fed array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from einsim.rtl_models.bench.job import Event, Job
from einsim.rtl_models.bench.pressure import NO_WAITS, Pressure, hexed
from einsim.rtl_models.systolic.model import CODES
from einsim.sim.arrays.gemm import ArraySpec, Gemm
from einsim.sim.arrays.schedule import COL0, COLS, ROW0, ROWS, START, Table, schedule
from einsim.sim.arrays.stalls import Ports, fed
from einsim.sim.arrays.stepped import step
from einsim.sim.arrays.systolic import elapsed
from einsim.specs.arrays import Ints


def loader_parameters(spec: ArraySpec, depth: int = 32) -> dict[str, int]:
    """RTL parameters of the loaded array; `depth`: the longest k that its buffers hold."""
    return {"R": spec.rows, "C": spec.cols, "W": 8, "ACC": 32, "DEPTH": depth}


def loader_job(
    spec: ArraySpec, a: Ints, b: Ints, *, every: int = 1, pressure: Pressure = NO_WAITS, name: str = ""
) -> Job:
    """Out = a @ b, output-stationary, behind one port of one word every `every` cycles.

    Without pressure the cycles are those of `fed`; with it, waits before words are random and add up in
    the same two-buffer recursion.
    """
    gemm = Gemm(m=a.shape[0], n=b.shape[1], k=a.shape[1])
    run, table = step(spec, a, b), schedule(spec, gemm)
    words, tile_words = _words(table, a, b)
    gaps = pressure.gaps(len(words), 0) or [every - 1] * len(words)
    delays = _delays(table, gemm.k, tile_words, gaps)
    cycles = elapsed(spec, gemm) + delays[-1]
    if pressure.source == 0:
        expected = fed(spec, gemm, Ports(load_words_per_cycle=1 / every)).cycles
        assert cycles == expected, f"two-buffer recursion {cycles}, simulator {expected}"
    active = np.zeros(cycles, np.int64)
    events = []
    for number, (tile, delay) in enumerate(zip(table, delays, strict=True)):
        begin = int(tile[START]) + delay
        for r in range(tile[ROWS]):
            for c in range(tile[COLS]):
                active[begin + r + c : begin + r + c + gemm.k] += 1
                m, n = tile[ROW0] + r, tile[COL0] + c
                events.append(
                    Event(
                        cycle=begin + gemm.k - 1 + r + c, lane=c, value=int(run.outputs[m, n]),
                        where=f"PE ({r}, {c}), tile {number}, out[{m}, {n}]",
                        operands=(tuple(map(int, a[m])), tuple(map(int, b[:, n]))),
                    )
                )  # fmt: skip
    events.sort(key=lambda event: (event.cycle or 0, event.lane))
    return Job(
        name=name or f"loaded {spec.rows}x{spec.cols} {spec.convention} {gemm.m}x{gemm.n}x{gemm.k} /{every}",
        config={
            "convention": CODES[spec.convention], "m_size": gemm.m, "n_size": gemm.n, "slots": gemm.k,
        },
        streams={"word": hexed([word & 0xFF for word in words])},
        events=events,
        active=[int(count) for count in active],
        cycles=cycles,
        clocks=cycles,
        gaps={"word": gaps},
        gaps_while_ready=True,
    )  # fmt: skip


def _words(table: Table, a: Ints, b: Ints) -> tuple[list[int], list[int]]:
    """All words in the order of the port, and how many each tile brings."""
    words: list[int] = []
    counts = []
    before = (-1, -1)
    for tile in table:
        start = len(words)
        row0, col0 = int(tile[ROW0]), int(tile[COL0])
        if row0 != before[0]:
            words += a[row0 : row0 + tile[ROWS]].T.ravel().tolist()
        if col0 != before[1]:
            words += b[:, col0 : col0 + tile[COLS]].ravel().tolist()
        before = (row0, col0)
        counts.append(len(words) - start)
    return words, counts


def _delays(table: Table, stream: int, counts: Sequence[int], gaps: Sequence[int]) -> list[int]:
    """How late each tile begins: `fed`'s rule, a tile loads once the tile two before has left."""
    waits = np.concatenate([[0], np.cumsum([gap + 1 for gap in gaps])])
    starts = np.concatenate([[0], np.cumsum(counts)])
    loaded, late = 0, 0
    begins: list[int] = []
    delays = []
    for i, tile in enumerate(table):
        free = begins[i - 2] + stream if i >= 2 else 0
        loaded = max(loaded, free) + int(waits[starts[i + 1]] - waits[starts[i]])
        late = max(late, loaded - int(tile[START]))
        begins.append(int(tile[START]) + late)
        delays.append(late)
    return delays
