"""Jobs of the N:M array behind its sorter, from the simulator's array, sorter and the clocks of both."""

from __future__ import annotations

import msgspec
import numpy as np

from einsim.rtl_models.bench.job import Job
from einsim.rtl_models.bench.pressure import NO_WAITS, Pressure, hexed
from einsim.rtl_models.bench.scoreboard import pack
from einsim.rtl_models.systolic.model import systolic_job
from einsim.sim.arrays.gemm import ArraySpec, Gemm
from einsim.sim.arrays.schedule import COL0, COLS, schedule
from einsim.sim.arrays.sorted_feed import sorted_clocks
from einsim.sim.arrays.sorter import SorterSpec, prune
from einsim.specs.arrays import Ints


def sorted_parameters(spec: ArraySpec, nm: tuple[int, int], *, bits: int = 8) -> dict[str, int]:
    """RTL parameters of the array and its sorter, a lane a column."""
    sorter = SorterSpec(lanes=spec.cols, nm=nm)
    n, m = sorter.nm
    return {
        "R": spec.rows, "C": spec.cols, "N": n, "M": m, "W": bits, "ACC": 32,
        "IXW": max(1, (m - 1).bit_length()),
    }  # fmt: skip


def sorted_job(
    spec: ArraySpec, a: Ints, b: Ints, nm: tuple[int, int], *, bits: int = 8, pressure: Pressure = NO_WAITS
) -> Job:
    """Out = a @ (what the sorter keeps of b): dense b goes in; k is filled up to whole groups with zeros."""
    n, m = nm
    missing = -a.shape[1] % m
    a, b = np.pad(a, ((0, 0), (0, missing))), np.pad(b, ((0, missing), (0, 0)))
    gemm = Gemm(m=a.shape[0], n=b.shape[1], k=a.shape[1], nm=nm)
    array = systolic_job(spec, a, prune(b, nm), nm=nm, bits=bits, group=m, pressure=pressure)
    words = []
    for tile in schedule(spec, gemm):
        columns = b[:, tile[COL0] : tile[COL0] + tile[COLS]]
        words += [pack(row, bits) for row in columns]
    gaps = {"a": pressure.gaps(len(array.streams["a"]), 0), "in": pressure.gaps(len(words), 1)}
    gives = np.zeros(array.cycles, bool)
    gives[[event.cycle for event in array.events if event.cycle is not None]] = True
    config = {name: value for name, value in array.config.items() if name != "tile_ready"}
    return msgspec.structs.replace(
        array,
        name=f"sorted {n}:{m} {array.name}",
        config={**config, "groups": len(words) // m * spec.cols},
        streams={"a": array.streams["a"], "in": hexed(words)},
        clocks=sorted_clocks(spec, gemm, waits=gaps, gives=[bool(x) for x in gives], ready=pressure.ready()),
        gaps=gaps,
    )
