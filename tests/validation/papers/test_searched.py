"""What the mapper finds holds against FuseMax's published rows, and a worse mapping would fail."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest

from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.templates import build_mapping
from einsim.specs.errors import SpecError
from einsim.validation.papers import searched
from einsim.validation.papers.fusemax import PaperCase, references
from einsim.validation.papers.run import run

searched_once = cache(searched.search)


@pytest.fixture(autouse=True)
def _each_case_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searched, "search", searched_once)


@pytest.mark.parametrize("kind", searched.KINDS)
def test_a_short_case_holds(kind: str) -> None:
    found = list(searched.rows(PaperCase(configuration=kind, model="T5", length="1K")))
    assert [row for row in found if not row.ok] == []
    limited = {(row.level, row.quantity) for row in found if row.limit is not None}
    assert {("analytical", "latency_s"), ("sim", "latency_s")} <= limited
    if kind == "binding":
        assert {("analytical", "util_2d"), ("sim", "util_2d"), ("sim", "util_1d")} <= limited


@pytest.mark.slow
@pytest.mark.parametrize("case", searched.stored(), ids=str)
def test_every_stored_case_holds(case: PaperCase) -> None:
    assert [row for row in searched.rows(case) if not row.ok] == []


def test_every_published_row_of_both_kinds_is_a_case() -> None:
    assert len(searched.stored()) == 14
    assert {case.configuration for case in searched.stored()} == set(searched.KINDS)
    assert all(case in references() for case in searched.stored())


def test_a_slower_mapping_is_outside_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    case = PaperCase(configuration="binding", model="T5", length="1K")
    work, machine, answer = searched.search(case)
    tree = build_mapping(work, machine, "fusemax-stalled")
    worse = msgspec.structs.replace(answer, mapping=tree, result=analyse(lower(tree, work, machine), machine))
    monkeypatch.setattr(searched, "search", lambda _: (work, machine, worse))
    failed = {(row.level, row.quantity) for row in searched.rows(case) if not row.ok}
    assert {("analytical", "latency_s"), ("sim", "latency_s"), ("sim", "util_1d")} <= failed


def test_cases_are_named_and_wrong_names_are_refused() -> None:
    names: list[str] = []
    next(run(["mapper:flat:T5:1K"], names.append))
    assert names == ["mapper:flat:T5:1K"]
    with pytest.raises(SpecError, match="unknown search"):
        list(run(["mapper:flatt:T5:1K"]))
    with pytest.raises(SpecError, match="unknown model"):
        list(run(["mapper:flat:T6:1K"]))
