"""`einsim doctor` says what is here, what is missing and how to get it, and fails only for needs."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import PackageNotFoundError

import pytest
from packaging.requirements import Requirement

from einsim.cli import doctor
from einsim.cli.doctor import Finding, findings, one_package
from einsim.cli.main import main


def test_the_machine_that_runs_the_tests_can_run_einsim(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert "einsim works here" in capsys.readouterr().out


def test_json_and_table_name_the_same_things(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json"])
    rows = json.loads(capsys.readouterr().out)
    main(["doctor"])
    table = capsys.readouterr().out
    assert {row["name"] for row in rows} >= {
        "python",
        "numpy",
        "iverilog",
        "verilator",
        "numba cache",
        "CUDA GPU",
    }
    assert all(row["name"] in table for row in rows)


def test_whatever_is_missing_says_how_to_get_it() -> None:
    assert all(finding.remedy for finding in findings() if not finding.ok)
    assert all(not finding.remedy for finding in findings() if finding.ok)


def test_a_missing_requirement_is_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Finding(
        group="einsim", name="numpy", ok=False, found="not installed", required=True, remedy="get it"
    )
    monkeypatch.setattr(doctor, "findings", lambda: [gone])
    assert main(["doctor"]) == 1
    assert "einsim can't work here: numpy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("here", "ok", "found"),
    [("2.4.6", True, "2.4.6"), ("1.26.0", False, "1.26.0, outside <3,>=2.1"), ("", False, "not installed")],
)
def test_a_package_is_held_against_its_bounds(
    monkeypatch: pytest.MonkeyPatch, here: str, ok: bool, found: str
) -> None:
    def version(name: str) -> str:
        if not here:
            raise PackageNotFoundError(name)
        return here

    monkeypatch.setattr(doctor, "version", version)
    finding = one_package(Requirement("numpy>=2.1,<3"), "")
    assert (finding.ok, finding.found, finding.required) == (ok, found, True)


def test_an_optional_program_that_is_missing_does_not_fail(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert main(["doctor"]) == 0
    assert "apt-get install iverilog" in capsys.readouterr().out
