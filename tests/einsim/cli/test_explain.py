"""`einsim explain` shows the loop nest, the limits and the changes."""

from __future__ import annotations

import json

import pytest

from einsim.cli.main import main

CASE = ["--workload", "attention", "--set", "seq=512", "b=1", "h=2", "--accel", "fusemax-cloud"]


def test_it_explains_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "template", *CASE]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for part in ("pipeline", "bound by", "roofline", "twice as fast"):
        assert part in out


def test_it_explains_for_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "template", *CASE, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    gains = [change["speedup"] for change in found["changes"]]
    assert gains == sorted(gains, reverse=True)
    assert found["limits"][0]["engine"]


def test_a_missing_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "nowhere.yaml", *CASE]) == 2
    assert capsys.readouterr().err.startswith("error: ")
