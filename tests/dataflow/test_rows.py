"""Rows told apart and the numbers that runs cover are what sets of tuples say."""

from __future__ import annotations

import numpy as np
import pytest

from einsim.dataflow.rows import covered, different, number


@pytest.mark.parametrize("count", [0, 1, 7, 60])
@pytest.mark.parametrize("spread", [1, 3, 10**6])
def test_rows_are_told_apart_as_tuples_are(count: int, spread: int) -> None:
    rng = np.random.default_rng(count * spread)
    columns = [rng.integers(-spread, spread, count) for _ in range(3)]
    rows = [tuple(map(int, row)) for row in zip(*columns, strict=True)]
    order = sorted(set(rows))
    assert [tuple(map(int, row)) for row in zip(*different(columns), strict=True)] == order
    assert number(columns, count).tolist() == [order.index(row) for row in rows]


@pytest.mark.parametrize("count", [0, 1, 7, 60])
@pytest.mark.parametrize("spread", [1, 2, 10**6])
def test_runs_of_a_row_cover_each_number_once(count: int, spread: int) -> None:
    """Of rows that all differ, and of such that runs share, nested and apart."""
    rng = np.random.default_rng(count * spread)
    columns = [rng.integers(0, spread, count) for _ in range(2)]
    first = rng.integers(-9, 9, count)
    last = first + rng.integers(0, 12, count)
    sets: dict[tuple[int, int], set[int]] = {}
    for one, other, low, high in zip(*columns, first, last, strict=True):
        sets.setdefault((int(one), int(other)), set()).update(range(low, high + 1))
    rows, many = covered(columns, first, last)
    found = zip(*(row.tolist() for row in rows), many.tolist(), strict=True)
    assert {(one, other): size for one, other, size in found} == {row: len(its) for row, its in sets.items()}
