"""`einsim run --check`: what it says, its exit codes, and what it is not for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from einsim.cli.main import main
from einsim.validation.oracle import compare

SMALL = ["run", "softmax", "--set", "p=8", "d=8", "--accel", "tpu-v4i", "--check"]


@pytest.mark.parametrize("mapping", ["template", "auto", "unfused"])
def test_it_says_what_was_compared(capsys: pytest.CaptureFixture[str], mapping: str) -> None:
    assert main([*SMALL, "--mapping", mapping]) == 0
    text = capsys.readouterr().out.partition("checked against the oracle\n")[2]
    assert text.startswith(
        "as it is: small enough to be walked whole\nfigures compared, of both levels: values of outputs 64, points"
    )
    assert text.endswith("all are equal\n")
    assert main([*SMALL, "--mapping", mapping, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["check"]
    assert (found["equal"], found["differences"], found["sizes"]) == (True, [], {})
    assert found["compared"]["points"] == 8


def test_what_is_shrunk_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL[:3], "p=4K", "d=768", *SMALL[5:]]) == 0
    text = capsys.readouterr().out
    assert re.search(r"\nshrunk to p 4,096 -> \d+, d 768 -> \d+, array1d lanes 128 -> \d+\n", text)
    assert "all are equal" in text


def test_a_difference_is_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate = compare.simulate

    def wrong(*arguments: object) -> object:
        result = simulate(*arguments)  # type: ignore[arg-type]
        return msgspec.structs.replace(result, energy_by={**result.energy_by, "dram": 0.0, "gb": 0.0})

    monkeypatch.setattr(compare, "simulate", wrong)
    assert main(SMALL) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("DIFFERS: sim only: energy ")
    assert lines[-1] == "and 1 more: --json has them all"
    assert main([*SMALL, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["check"]
    assert (found["equal"], len(found["differences"])) == (False, 2)


STATE = "name: w\nranks: {m: 6, p: 6, q: 3}\ninitial: {T0: 0}\neinsums: |\n  T0[m+1] = T0[m]\n  T1 = T0[p]\n  T2[q] = T0[0] * T1\n"


def test_upper_values_are_said_and_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state of which all steps are kept: its initial step counts where it is read (docs/mappings.md)."""
    file = tmp_path / "w.yaml"
    file.write_text(STATE)
    words = ["run", str(file), "--accel", "flat-cloud", "--check"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert (
        "\nupper values, of states of which all steps are kept: bytes dram more: dram T0 24, oracle 20\n"
        in text
    )
    assert text.endswith("all others are equal\n")
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["check"]
    assert (found["equal"], found["differences"], len(found["upper"])) == (True, [], 4)
    execute = compare.dynamic_energy
    monkeypatch.setattr(compare, "dynamic_energy", lambda *a: {**execute(*a), "array2d add": 1.0})
    assert main(words) == 1  # what is of something else is a difference


def test_it_is_not_for_kernels(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "softmax", "--accel", "h100-sxm", "--check"]) == 2
    assert capsys.readouterr().err == (
        "error: --check: is for mappings, and a GPU runs kernels (got 'h100-sxm')\n"
    )
