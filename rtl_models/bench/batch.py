"""A batch of runs on one build, and what the designs' grids are drawn from: shapes, operands, waits."""

from __future__ import annotations

import msgspec
import numpy as np

from einsim.rtl_models.bench.job import Job
from einsim.rtl_models.bench.pressure import Pressure
from einsim.specs.arrays import Ints

Shape = tuple[int, int, int]


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of one design with one set of parameters: one build, one simulation."""

    design: str
    about: str
    parameters: dict[str, int]
    jobs: list[Job]


def shapes(rows: int, cols: int, rng: np.random.Generator, count: int) -> list[Shape]:
    """(m, n, k): one tile; 1; ragged tiles back to back; a last row alone, tiles after it; then random."""
    fixed = [
        (rows, cols, rows), (1, 1, 1), (2 * rows + 1, 2 * cols + 1, max(1, rows - 1)),
        (cols + 1, cols + 1, rows + 1),
    ]  # fmt: skip
    drawn = rng.integers(1, (2 * rows + 3, 2 * cols + 3, 2 * rows + 5), (max(0, count - 4), 3))
    return (fixed + [(int(m), int(n), int(k)) for m, n, k in drawn])[:count]


def pressures(number: int) -> tuple[Pressure, Pressure]:
    """No waits, and random waits on every stream."""
    return Pressure(), Pressure(source=0.25, sink=0.25, seed=number)


def integers(rng: np.random.Generator, *shape: int) -> Ints:
    """Every 8-bit value."""
    return rng.integers(-128, 128, shape)
