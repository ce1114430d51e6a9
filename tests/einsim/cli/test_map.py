"""`einsim map` finds, prints and writes a mapping that `einsim run` takes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from einsim.cli.main import main

GEMM = """
name: gemm
ranks: {m: 48, n: 40, k: 56}
einsums: "Z[m,n] = A[m,k] * B[k,n]"
"""


@pytest.fixture
def gemm(tmp_path: Path) -> str:
    path = tmp_path / "gemm.yaml"
    path.write_text(GEMM, encoding="utf-8")
    return str(path)


def test_it_writes_a_mapping_that_run_takes(
    gemm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "mapping.yaml")
    assert (
        main(
            [
                "map",
                gemm,
                "--accel",
                "flat-edge",
                "--budget",
                "600s",
                "--objective",
                "energy",
                "--json",
                "-o",
                out,
            ]
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["proven"] is True
    assert main(["run", gemm, "--accel", "flat-edge", "--mapping", out, "--level", "sim", "--json"]) == 0
    run = json.loads(capsys.readouterr().out)
    assert run["traffic"] == found["result"]["traffic"]
    assert run["latency_s"] >= found["latency_s"]


def test_it_prints_the_same_each_time_and_nothing_on_stderr(
    gemm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for _ in range(2):
        assert main(["map", gemm, "--accel", "flat-edge", "--budget", "600s"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        texts.append([line for line in out.splitlines() if "partial mappings" not in line])
    assert texts[0] == texts[1]


def test_the_space_in_words(gemm: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", gemm, "--accel", "flat-edge", "--tiles", "perfect", "--keep", "B=gb", "--space"]) == 0
    assert "keep B whole in gb" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--objective", "speed"], "--objective: unknown name (got 'speed')"),
        (["--within", "lots"], "--within: "),
        (["--within", "2B"], "found no mapping of gemm that fits within 2 bytes"),
        (["--keep", "B"], "--keep: must be TENSOR=MEMORY (got 'B')"),
        (["--keep", "B=gv"], "space.keep.B: unknown memory (got 'gv')"),
        (["--fuse", "0"], "--fuse: "),
    ],
)
def test_mistakes_are_one_line(
    gemm: str, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["map", gemm, "--accel", "flat-edge", *options]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
