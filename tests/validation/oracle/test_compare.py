"""Drawn cases: what legality accepts is computed right, and all figures of both levels are the oracle's."""

from __future__ import annotations

import pytest

from einsim.validation.oracle.compare import Verdict, draw, judge
from einsim.validation.oracle.draw_cascade import KINDS

FAST, SLOW = 60, 3000


def verdicts(cases: range) -> list[Verdict]:
    return [judge(case) for number in cases if (case := draw(0, number)) is not None]


@pytest.fixture(scope="module")
def fast() -> list[Verdict]:
    return verdicts(range(FAST))


def broken(found: list[Verdict]) -> list[str]:
    return [
        f"case {verdict.case.name} ({verdict.case.kind}) {one.kind}: {one.text}"
        for verdict in found
        for one in verdict.found
        if not one.kind.startswith("refused")
    ]


def test_what_legality_accepts_is_right_in_every_figure(fast: list[Verdict]) -> None:
    assert not broken(fast), "\n".join(broken(fast))


def test_nine_in_ten_that_are_right_are_accepted(fast: list[Verdict]) -> None:
    right = [verdict for verdict in fast if verdict.right]
    assert sum(verdict.legal for verdict in right) >= 0.9 * len(right)


def test_a_case_is_drawn_again_from_its_name() -> None:
    assert draw(3, 17) == draw(3, 17) != draw(4, 17)


@pytest.mark.slow
def test_what_legality_accepts_is_right_in_many() -> None:
    found = verdicts(range(FAST, SLOW))
    assert {verdict.case.kind for verdict in found if verdict.legal and verdict.right} == set(KINDS)
    assert not broken(found), "\n".join(broken(found))
