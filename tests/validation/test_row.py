"""A row's verdict follows from its figures."""

from __future__ import annotations

import pytest

from einsim.validation.row import Row, held


def row(reference: float | None, ours: float, limit: float | None, *, never_below: bool = False) -> Row:
    return held(
        suite="s", case="c", quantity="q", level="sim", reference=reference, ours=ours, limit=limit, source="x",
        never_below=never_below,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "ours", "limit", "ok"),
    [
        (100.0, 101.9, 0.02, True),
        (100.0, 102.1, 0.02, False),
        (100.0, 97.9, 0.02, False),
        (100.0, 500.0, None, True),
        (None, 1.0, 0.02, True),
        (0.0, 0.0, 0.02, True),
        (0.0, 1e-9, 0.02, False),
    ],
)
def test_a_row_is_ok_within_its_limit(
    reference: float | None, ours: float, limit: float | None, ok: bool
) -> None:
    assert row(reference, ours, limit).ok is ok


def test_below_a_bound_is_never_ok() -> None:
    assert row(1.0, 1.049, 0.05, never_below=True).ok
    assert not row(1.0, 0.9999, 0.05, never_below=True).ok


def test_a_limit_without_a_reference_is_not_claimed() -> None:
    assert row(None, 1.0, 0.02).limit is None
