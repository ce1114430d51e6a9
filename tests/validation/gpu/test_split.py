"""The split leaves whole shapes and whole variants out, and always the same ones."""

from __future__ import annotations

from pathlib import Path

from einsim.validation.gpu import split as rule
from einsim.validation.gpu.measurement import read

ROWS = read(Path(rule.__file__).parent / "captures" / "nvidia-h200.csv")


def test_halves_share_no_row_and_lose_none() -> None:
    fit, held = rule.split(ROWS)
    keys = [row.key for row in (*fit, *held)]
    assert len(set(keys)) == len(keys) == sum(row.family != "micro" for row in ROWS)


def test_a_held_shape_is_in_no_fit_row_of_its_family() -> None:
    fit, held = rule.split(ROWS)
    variants = rule.held_variants(ROWS)
    shapes = {(row.family, row.sizes) for row in held if (row.family, row.variant) not in variants}
    assert shapes.isdisjoint({(row.family, row.sizes) for row in fit})


def test_a_held_variant_is_in_no_fit_row() -> None:
    fit, _ = rule.split(ROWS)
    assert rule.held_variants(ROWS).isdisjoint({(row.family, row.variant) for row in fit})


def test_every_family_has_rows_on_both_sides() -> None:
    fit, held = rule.split(ROWS)
    families = {row.family for row in ROWS} - {"micro"}
    assert {row.family for row in fit} == {row.family for row in held} == families


def test_the_order_of_rows_does_not_matter() -> None:
    backward = rule.split(reversed(ROWS))[1]
    assert {row.key for row in backward} == {row.key for row in rule.split(ROWS)[1]}
