"""Jobs of the systolic arrays, from the simulator's own stepped array and schedule."""

from __future__ import annotations

from typing import Final

import numpy as np

from einsim.rtl_models.bench.job import Event, Job
from einsim.rtl_models.bench.pressure import NO_WAITS, Pressure, clocks, hexed
from einsim.rtl_models.bench.scoreboard import pack
from einsim.sim.arrays.gemm import CONVENTIONS, ArraySpec, Gemm
from einsim.sim.arrays.nm import compress
from einsim.sim.arrays.schedule import COL0, COLS, LOAD, ROW0, ROWS, SKIP, START, schedule
from einsim.sim.arrays.stepped import step, wrap
from einsim.specs.arrays import Ints

CODES: Final = {name: code for code, name in enumerate(CONVENTIONS)}
"""The RTL's `convention` input: scale-sim 0, edge-aware 1, overlapped 2."""


def systolic_parameters(
    spec: ArraySpec, *, bits: int = 8, accumulator_bits: int = 32, group: int = 1
) -> dict[str, int]:
    """RTL parameters of an array; `group`: the largest m of the N:M patterns it takes, 1 for dense only."""
    return {
        "R": spec.rows, "C": spec.cols, "W": bits, "ACC": accumulator_bits, "G": group,
        "IXW": max(1, (group - 1).bit_length()),
    }  # fmt: skip


def systolic_job(
    spec: ArraySpec, a: Ints, b: Ints, *, nm: tuple[int, int] | None = None, bits: int = 8,
    accumulator_bits: int = 32, group: int = 1, pressure: Pressure = NO_WAITS, name: str = "",
) -> Job:  # fmt: skip
    """Out = a @ b on the RTL of `spec`, a [m, k], b [k, n]: what goes in, and what must come out when.

    RuleError where the simulator refuses the operands. Input-stationary: the weight-stationary array on
    the transposes, dense only.
    """
    gemm = Gemm(m=a.shape[0], n=b.shape[1], k=a.shape[1], nm=nm)
    run = step(spec, a, b, nm=nm, accumulator_bits=accumulator_bits)
    across, down = (b.T, a.T) if spec.dataflow == "input-stationary" else (a, b)
    assert nm is None or spec.dataflow != "input-stationary", "N:M is built output- and weight-stationary"
    maker = _Maker(spec, gemm, across, down, bits, accumulator_bits, group)
    job = maker.held(run.outputs) if spec.stationary else maker.streamed(run.outputs)
    config, streams, events, needs = job
    cycles = len(run.macs_per_cycle)
    gives = np.zeros(cycles, bool)
    gives[[event.cycle for event in events if event.cycle is not None]] = True
    gaps = {stream: pressure.gaps(len(words), i) for i, (stream, words) in enumerate(streams.items())}
    return Job(
        name=name
        or f"{spec.dataflow} {spec.rows}x{spec.cols} {spec.convention} m{gemm.m} n{gemm.n} k{gemm.k}",
        config={"convention": CODES[spec.convention], **config},
        streams={stream: hexed(words) for stream, words in streams.items()},
        events=events,
        active=[int(count) for count in run.macs_per_cycle],
        cycles=cycles,
        clocks=clocks(cycles, needs, [bool(x) for x in gives], gaps, pressure.ready()),
        gaps=gaps,
        out_ready=pressure.ready(),
    )


Parts = tuple[dict[str, int], dict[str, list[int]], list[Event], dict[str, list[bool]]]


class _Maker:
    """Lays operands over the schedule: `across` [stream or rows, k] moves right, `down` [k, cols] down."""

    def __init__(
        self, spec: ArraySpec, gemm: Gemm, across: Ints, down: Ints, bits: int, acc: int, group: int
    ):
        self.spec, self.gemm, self.bits, self.acc, self.group = spec, gemm, bits, acc, group
        self.table = schedule(spec, gemm)
        self.index_bits = max(1, (group - 1).bit_length())
        self.across, self.down = across, down
        n, m = gemm.nm or (1, 1)
        small = compress(down, (n, m))
        self.value, self.index = small.values.astype(np.int64), small.index.astype(np.int64)
        self.slots = gemm.slots
        padded = np.zeros((across.shape[0], (gemm.slots // n + 1) * m + group), np.int64)
        padded[:, : across.shape[1]] = across
        # groups[row, slot]: the values that come with the slot, the wire's width of them
        first = np.arange(self.slots) // n * m
        self.groups = padded[:, first[:, None] + np.arange(group)[None, :]]

    def sparse_word(self, values: Ints, index: Ints) -> int:
        """Lanes of {index, value}."""
        mask = (1 << self.bits) - 1
        lanes = [(int(i) << self.bits) | (int(v) & mask) for v, i in zip(values, index, strict=True)]
        return pack(lanes, self.bits + self.index_bits)

    def streamed(self, outputs: Ints) -> Parts:
        """Output-stationary: A's slots and B's slots, a tile at a time."""
        a_words, b_words, events = [], [], []
        cycles = int(self.table[-1, START]) + self.slots + self.spec.rows + self.spec.cols + 4
        need = [False] * cycles
        for number, tile in enumerate(self.table):
            rows = slice(tile[ROW0], tile[ROW0] + tile[ROWS])
            cols = slice(tile[COL0], tile[COL0] + tile[COLS])
            for k in range(self.slots):
                need[tile[START] + k] = True
                a_words.append(pack(self.groups[rows, k].ravel(), self.bits))
                b_words.append(self.sparse_word(self.value[k, cols], self.index[k, cols]))
            for r in range(tile[ROWS]):
                for c in range(tile[COLS]):
                    m, n = tile[ROW0] + r, tile[COL0] + c
                    events.append(
                        Event(
                            cycle=int(tile[START] + self.slots - 1 + r + c), lane=c, value=int(outputs[m, n]),
                            where=f"PE ({r}, {c}), tile {number}, out[{m}, {n}]",
                            operands=(_ints(self.across[m]), _ints(self.down[:, n])),
                        )
                    )  # fmt: skip
        events.sort(key=_by_cycle)
        config = {"m_size": self.gemm.m, "n_size": self.gemm.n, "slots": self.slots, "tile_ready": 1}
        return config, {"a": a_words, "b": b_words}, events, {"a": need, "b": need}

    def held(self, outputs: Ints) -> Parts:
        """Weight- and input-stationary: streamed words and held rows, a tile at a time."""
        rows, cols, edge = self.spec.rows, self.spec.cols, self.spec.convention == "edge-aware"
        stream = self.across.shape[0]
        width = self.down.shape[1]
        x_words, h_words, events = [], [], []
        cycles = int(self.table[-1, START]) + stream + rows + cols + 4
        need = {"x": [False] * cycles, "h": [False] * cycles}
        total = np.zeros((stream, width), np.int64)
        for number, tile in enumerate(self.table):
            k = np.arange(tile[ROW0], tile[ROW0] + tile[ROWS])
            n = slice(tile[COL0], tile[COL0] + tile[COLS])
            at = slice(tile[SKIP], tile[SKIP] + tile[ROWS])
            for j in range(stream):
                need["x"][tile[START] + j] = True
                lanes = np.zeros((rows, self.group), np.int64)
                lanes[at] = self.groups[j, k]
                x_words.append(pack(lanes.ravel(), self.bits))
            for i in range(int(tile[ROWS]) if edge else rows):
                need["h"][tile[LOAD] + i] = True
                inside = i < tile[ROWS]
                h_words.append(self.sparse_word(self.value[k[i], n], self.index[k[i], n]) if inside else 0)
            # What each element multiplies: the value of A's group that B's index selects.
            chosen = np.take_along_axis(
                self.groups[:, k, None, :], self.index[None, k, n, None], axis=3
            )[..., 0]  # fmt: skip
            sums = (chosen * self.value[None, k, n]).sum(axis=1)
            total[:, n] += sums
            exits = tile[START] + rows - 1 - tile[SKIP]
            for j in range(stream):
                for c in range(tile[COLS]):
                    column = tile[COL0] + c
                    events.append(
                        Event(
                            cycle=int(exits + j + c), lane=c,
                            value=int(wrap(sums[j : j + 1, c], self.acc)[0]),
                            where=f"column {c}, tile {number}, sum of rows {tile[SKIP]} to {rows - 1}, "
                            f"word {j}",
                            operands=(_ints(chosen[j, :, c]), _ints(self.value[k, column])),
                        )
                    )  # fmt: skip
        turned = outputs.T if self.spec.dataflow == "input-stationary" else outputs
        assert (wrap(total, self.acc) == turned).all(), (
            "partial sums do not add up to the simulator's outputs"
        )
        events.sort(key=_by_cycle)
        config = {"k_size": self.slots, "n_size": width, "stream": stream}
        return config, {"x": x_words, "h": h_words}, events, need


def _by_cycle(event: Event) -> tuple[int, int]:
    return event.cycle or 0, event.lane


def _ints(values: Ints) -> tuple[int, ...]:
    return tuple(int(value) for value in values)
