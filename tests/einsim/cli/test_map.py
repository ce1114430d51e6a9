"""`einsim map` finds, prints and writes a mapping that `einsim run` takes back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from einsim.cli.main import main

GEMM = """
name: gemm
ranks: {m: 12, n: 10, k: 14}
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


def test_a_search_of_a_state_obeys_what_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    work = ["attention", "--set", "b=1", "h=1", "e=8", "seq=64", "passes=1", "--accel", "flat-edge"]
    assert main(["map", *work, "--keep", "K=gb"]) == 0
    assert re.search(r"keep [\w ]*\bK\b[\w ]* in gb", capsys.readouterr().out)
    assert main(["map", *work, "--buffers", "1", "--no-templates"]) == 0
    assert "in gb x2" not in capsys.readouterr().out


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(["map", *arguments, "--json"]) == 0
    answer: dict[str, object] = json.loads(capsys.readouterr().out)
    return answer


@pytest.mark.slow  # the search itself: `tests/dataflow/mapper/test_refine.py`
def test_fusemaxs_use_of_both_arrays_is_found_without_templates(capsys: pytest.CaptureFixture[str]) -> None:
    answer = found(
        capsys, "attention-1pass", "--accel", "fusemax-cloud", "--set", "model=t5", "seq=1K", "--no-templates",
    )  # fmt: skip
    result = answer["result"]
    assert isinstance(result, dict)
    assert "(refined)" in str(answer["mapping"])
    assert result["utilization"]["array2d"] == pytest.approx(0.8896103896103896, rel=0.01)  # published
    assert result["utilization"]["array1d"] == pytest.approx(1.0, rel=0.01)


def test_a_dataflow_is_searched_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    answer = found(
        capsys, "attention", "--accel", "flat-cloud", "--set", "model=t5", "seq=1K", "--dataflow", "flat"
    )
    assert answer["workload"] == "attention-3pass"
    assert answer["proven"] is True
    latency = answer["latency_s"]
    assert isinstance(latency, float)
    assert latency <= 0.008924051063829787 * (1 + 1e-9)  # published
    assert main(["map", "attention", "--accel", "flat-cloud", "--dataflow", "flat", "--fuse", "2"]) == 2
    assert "goes with no other restriction" in capsys.readouterr().err


def test_cascades_of_one_function_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "attention",
        "--accel",
        "fusemax-cloud",
        "--set",
        "seq=128",
        "b=1",
        "h=1",
        "--effort",
        "quick",
    ]
    answer = found(capsys, *arguments)
    compared = answer["compared"]
    assert isinstance(compared, list)
    assert {one["workload"] for one in compared} == {f"attention-{passes}pass" for passes in (1, 2, 3)}
    assert answer["workload"] == compared[0]["workload"]
    best, *others = answer["finalists"]  # type: ignore[misc]
    assert all(
        one["simulated"]["latency_s"] >= best["simulated"]["latency_s"] for one in others if one["simulated"]
    )


def test_the_space_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", "attention-1pass", "--accel", "fusemax-cloud", "--space"]) == 0
    assert "mappings, tiles" in capsys.readouterr().out
    assert main(["map", "attention", "--accel", "flat-cloud", "--dataflow", "flat", "--space"]) == 0
    assert capsys.readouterr().out.startswith("template flat of attention-3pass on flat-cloud")
