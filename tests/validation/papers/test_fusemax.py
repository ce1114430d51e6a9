"""FuseMax's figures are reproduced within their limits, and a figure that isn't fails loudly."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from einsim.cli.main import main
from einsim.specs.errors import SpecError
from einsim.validation.papers import fusemax
from einsim.validation.papers.fusemax import (
    QUANTITIES,
    PaperCase,
    published,
    read_case,
    references,
    rows,
    stored_cases,
    suite,
)
from einsim.validation.papers.run import run

CONFIGURATIONS = ("unfused", "flat", "cascade", "arch", "binding")


def test_the_five_configurations_are_the_papers() -> None:
    assert tuple(suite().configurations) == CONFIGURATIONS
    assert {case.configuration for case in stored_cases()} == set(CONFIGURATIONS)


def test_the_stored_figures_are_whole_and_scale_with_the_heads() -> None:
    assert len(stored_cases()) == 35
    for case, figures in references().items():
        assert set(figures) == set(QUANTITIES)
        if case.model == "T5":
            bert = references()[msgspec.structs.replace(case, model="BERT")]
            # 8 heads instead of 12, everything else equal.
            assert figures["latency_s"] == pytest.approx(bert["latency_s"] * 8 / 12)
            assert figures["energy_j"] == pytest.approx(bert["energy_j"] * 8 / 12)


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_a_short_case_of_each_configuration_is_within_its_limits(configuration: str) -> None:
    found = list(rows(PaperCase(configuration=configuration, model="T5", length="1K")))
    assert [row for row in found if not row.ok] == []
    assert [(row.level, row.quantity) for row in found] == [
        *((level, quantity) for level in ("analytical", "sim") for quantity in QUANTITIES),
        ("sim", "latency_over_bound"),
    ]
    limited = {row.quantity for row in found if row.limit is not None and row.level == "analytical"}
    energy = {"energy_j"} if configuration in {"arch", "binding"} else set()
    assert limited == {"dram_bytes", "latency_s", "util_2d", "util_1d"} | energy


@pytest.mark.slow
@pytest.mark.parametrize("case", stored_cases(), ids=str)
def test_every_stored_case_is_within_its_limits(case: PaperCase) -> None:
    assert [row for row in rows(case) if not row.ok] == []


@pytest.mark.slow
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_a_million_tokens_of_the_largest_model_are_judged(configuration: str) -> None:
    assert [
        row for row in rows(PaperCase(configuration=configuration, model="XLM", length="1M")) if not row.ok
    ] == []


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_traffic_is_the_same_at_both_levels_byte_for_byte(configuration: str) -> None:
    found = {
        (row.level, row.quantity): row.ours for row in rows(read_case(f"fusemax:{configuration}:BERT:1K"))
    }
    assert found["sim", "dram_bytes"] == found["analytical", "dram_bytes"]
    assert found["sim", "latency_s"] >= found["analytical", "latency_s"]


def test_a_difference_in_energy_is_explained_by_component() -> None:
    (row,) = (
        row
        for row in rows(read_case("fusemax:flat:BERT:1K"))
        if (row.level, row.quantity) == ("analytical", "energy_j")
    )
    assert row.limit is None
    assert "array2d mac" in row.note
    assert "pJ for each point (m, p) beyond these" in row.note


def test_a_case_without_a_stored_figure_has_null_references() -> None:
    found = [row for row in rows(read_case("fusemax:binding:XLM:2K")) if row.quantity in QUANTITIES]
    assert len(found) == 10
    assert all(row.reference is row.error is row.limit is None and row.ok and row.ours > 0 for row in found)


@pytest.mark.parametrize(
    ("written", "case"), [("4K", "4K"), ("4096", "4K"), ("1M", "1M"), ("1024K", "1M"), ("64k", "64K")]
)
def test_lengths_are_read_as_people_write_them(written: str, case: str) -> None:
    assert str(read_case(f"fusemax:flat:BERT:{written}")) == f"fusemax:flat:BERT:{case}"


def test_progress_names_each_case_before_it_runs() -> None:
    named: list[str] = []
    found = run(["fusemax:arch:T5:1K", "fusemax:binding:T5:1K"], named.append)
    next(found)
    assert named == ["fusemax:arch:T5:1K"]
    list(found)
    assert named == ["fusemax:arch:T5:1K", "fusemax:binding:T5:1K"]


def validated(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    code = main(["validate", "papers", "--case", "fusemax:binding:T5:1K", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_the_json_rows_have_the_documented_keys(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = validated(capsys)
    assert code == 0
    keys = {"suite", "case", "quantity", "reference", "ours", "error", "limit", "ok", "source"}
    assert all(keys <= set(row) for row in found)
    assert {row["suite"] for row in found} == {"papers"}


def test_a_figure_outside_its_limit_is_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = msgspec.structs.replace(suite(), limits=dict.fromkeys(suite().limits, -1.0))
    monkeypatch.setattr(fusemax, "suite", lambda: strict)
    code, found = validated(capsys)
    assert code == 1
    assert {row["quantity"] for row in found if not row["ok"]} == {
        "dram_bytes",
        "latency_s",
        "util_2d",
        "util_1d",
    }
    assert main(["validate", "papers", "--case", "fusemax:binding:T5:1K"]) == 1
    assert "outside its limit" in capsys.readouterr().out


def test_what_is_published_is_public() -> None:
    assert published("fusemax:binding:BERT:4K") == references()[read_case("fusemax:binding:BERT:4K")]
    with pytest.raises(SpecError, match="unknown configuration"):
        published("fusemax:bindings:BERT:4K")
