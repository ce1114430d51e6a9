"""The tables of docs/gpu.md are those that the captures give now."""

from __future__ import annotations

from pathlib import Path

import pytest

from einsim.validation.gpu.tables import TABLES

PAGE = (Path(__file__).parents[3] / "docs" / "gpu.md").read_text()


@pytest.mark.parametrize(
    ("kind", "preset"), [("errors", "h100-sxm"), ("errors", "h200-sxm"), ("sparse", "h100-sxm")]
)
def test_the_page_has_the_table_as_it_is(kind: str, preset: str) -> None:
    assert "\n".join(TABLES[kind](preset)) in PAGE


def test_the_page_shows_lines_of_the_longer_tables() -> None:
    lines = set(TABLES["lean"]("h100-sxm"))
    shown = [line for line in PAGE.splitlines() if line.startswith(("| 64 |", "| 128 |"))]
    assert len(shown) > 20
    assert set(shown) <= lines


def test_no_share_of_a_roofline_is_above_it_by_more_than_its_own_error() -> None:
    for line in list(TABLES["kernels"]("h100-sxm"))[2:]:
        assert 0.3 <= float(line.split("|")[7].strip(" %")) / 100 <= 1.02, line
