"""`einsim run` on a GPU: the same object as everywhere, and one line for what a GPU doesn't take."""

from __future__ import annotations

import json
from types import NoneType

import pytest

from einsim.cli.main import main
from tests.einsim.cli.test_run import KEYS

RUN = ["run", "attention", "--accel", "h100-sxm", "--set", "seq=2K", "b=1"]


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main([*RUN, *arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def test_the_object_has_the_documented_keys(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys)
    assert list(found) == list(KEYS)
    assert all(isinstance(found[key], kind) for key, kind in {**KEYS, "area_mm2": NoneType}.items())
    assert found["workload"] == "attention-1pass"


def test_less_bandwidth_is_never_faster(capsys: pytest.CaptureFixture[str]) -> None:
    cycles = [as_json(capsys, f"dram_bytes_per_s={rate}")["latency_s"] for rate in ("3e12", "1e12", "1e11")]
    assert cycles == sorted(cycles)
    assert cycles[0] < cycles[-1]


def test_a_person_sees_the_kernel_and_its_clock(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(RUN) == 0
    out = capsys.readouterr().out
    assert "attention_fused" not in out
    for words in ("kernel attention-wgmma", "MHz", "blocks of", "bottleneck"):
        assert words in out


def test_gpus_are_among_the_accelerators(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "accels", "--json"]) == 0
    assert {"h100-sxm", "h200-sxm"} <= set(json.loads(capsys.readouterr().out)["accels"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "conv", "--accel", "h100-sxm"], "a GPU takes one matrix product"),
        (["run", "attention", "--accel", "h10-sxm"], "did you mean 'h100-sxm'"),
        (["run", "softmax", "--accel", "h100-sxm", "--mapping", "onlin"], "did you mean 'online'"),
        (["run", "softmax", "--accel", "h100-sxm", "--set", "energy.cap=5"], "did you mean 'cap_w'"),
        (["run", "softmax", "--accel", "h100-sxm", "--set", "sms=0"], "must be > 0"),
        (["map", "attention", "--accel", "h100-sxm"], "is a GPU"),
        (["trace", "attention", "--accel", "h200-sxm", "-o", "x.pftrace"], "is a GPU"),
        (["capture", "gpu", "--quick", "--unseen"], "give one"),
        (["capture", "gpu", "--family", "gemm-f15"], "gemm-f16"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert words in err


def test_a_report_takes_a_gpu_beside_an_array(tmp_path: pytest.TempPathFactory) -> None:
    page = tmp_path / "out.html"
    wanted = ["attention", "--set", "seq=1K", "b=1", "--accel", "h100-sxm", "--accel", "fusemax-cloud"]
    assert main(["report", *wanted, "-o", str(page)]) == 0
    assert "h100-sxm" in page.read_text()
