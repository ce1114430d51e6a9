"""`einsim run` prints what it computed, the same way each time, for a person or for a script."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from einsim.cli.main import main

# docs/cli.md, JSON: what the object holds, and what kind of value each is.
KEYS = {
    "workload": str, "accel": str, "level": str, "cycles": int, "latency_s": float, "energy_j": float,
    "dram_bytes": int, "utilization": dict, "stalls": dict, "energy_by": dict, "traffic": dict, "mapping": str,
    "power_w": float, "tops": float, "tops_per_w": float, "area_mm2": float, "resources": type(None),
    "energy_stated_j": float, "energy_not_stated": list, "area_not_stated": list, "evidence": list,
    "version": str,
}  # fmt: skip
SMALL = ["run", "attention", "--set", "seq=512", "b=1", "h=2", "--accel", "fusemax-cloud"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*SMALL, *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    found = json.loads(run(capsys, "--json", *arguments))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("level", ["analytical", "sim"])
def test_the_object_has_the_documented_keys_in_order(capsys: pytest.CaptureFixture[str], level: str) -> None:
    found = as_json(capsys, "--level", level)
    assert list(found) == list(KEYS)
    assert all(isinstance(found[key], kind) for key, kind in KEYS.items())
    assert found["level"] == level


def test_the_objects_figures_agree_with_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys)
    assert all(0 <= share <= 1 for share in found["utilization"].values())
    assert sum(found["energy_by"].values()) == pytest.approx(found["energy_j"])
    assert sum(found["traffic"]["dram"].values()) == found["dram_bytes"]
    assert found["cycles"] - 1 < found["latency_s"] * 940e6 <= found["cycles"] + 1e-6
    waiting = sum(found["stalls"].values()) / found["cycles"]
    assert max(found["utilization"].values()) == pytest.approx(1 - waiting, abs=2 / found["cycles"])


def test_the_same_run_prints_the_same_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--json") == run(capsys, "--json")


def test_the_simulation_is_never_faster_than_its_bound(capsys: pytest.CaptureFixture[str]) -> None:
    bound, simulated = as_json(capsys, "--level", "analytical"), as_json(capsys)
    assert simulated["cycles"] >= bound["cycles"]
    assert simulated["traffic"] == bound["traffic"]


def test_the_table_shows_the_figures_the_mapping_and_what_is_assumed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = run(capsys)
    found = as_json(capsys)
    assert f"{found['cycles']:,}" in out
    assert all(unit in out for unit in found["utilization"])
    assert found["mapping"].splitlines()[0] in out
    assert "assumed, no published figure: " in out


def test_where_the_time_went_adds_up_on_the_terminal_and_is_kept_in_the_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kept = tmp_path / "kept.json"
    out = run(capsys, "-o", str(kept))
    result = json.loads(kept.read_text())
    lines = re.findall(r"^(\w*) +(\S.*?) {3,}([\d,]+) {2,}([\d.]+) %$", out, re.MULTILINE)
    cycles, shares, units = 0, 0.0, []
    for unit, reason, number, share in lines:
        units += [unit] if unit else []
        if reason == "all":
            assert int(number.replace(",", "")) == cycles == result["cycles"]
            assert share == "100.00"
            assert shares == pytest.approx(100, abs=1e-9)
            cycles, shares = 0, 0.0
        else:
            cycles, shares = cycles + int(number.replace(",", "")), shares + float(share)
    assert units == list(result["breakdown_by_unit"]) == list(result["utilization"])
    for reasons in result["breakdown_by_unit"].values():
        assert sum(reasons.values()) == result["cycles"]


def test_a_setting_of_the_machine_reaches_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    fast = as_json(capsys)
    slow = as_json(capsys, "--set", "accel.clock=470MHz")
    assert slow["latency_s"] > 1.5 * fast["latency_s"]


def test_a_named_template_is_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "--set", "passes=3", "--mapping", "unfused")
    assert found["workload"] == "attention-3pass"
    assert "(unfused)" in found["mapping"].splitlines()[0]


@pytest.mark.parametrize(
    ("accel", "workload"), [("fusemax-cloud", "attention-1pass"), ("flat-cloud", "attention-3pass")]
)
def test_auto_takes_the_cascade_that_suits_the_machine(
    capsys: pytest.CaptureFixture[str], accel: str, workload: str
) -> None:
    assert main([*SMALL[:-1], accel, "--json", "--level", "analytical"]) == 0
    assert json.loads(capsys.readouterr().out)["workload"] == workload


def test_a_mapping_that_was_saved_gives_the_same_result(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "mapping.yaml"
    first = run(capsys, "--set", "passes=1", "--save-mapping", str(file), "--json")
    assert run(capsys, "--set", "passes=1", "--mapping", str(file), "--json") == first


def test_a_cascade_that_is_named_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "attention-3pass", *SMALL[2:], "--json", "--level", "analytical"]) == 0
    assert json.loads(capsys.readouterr().out)["workload"] == "attention-3pass"


@pytest.mark.parametrize("file", ["saved", "json"])
def test_a_report_is_made_from_what_a_run_wrote(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, file: str
) -> None:
    result, html = tmp_path / "result.json", tmp_path / "out.html"
    if file == "saved":
        run(capsys, "-o", str(result))
    else:
        result.write_text(run(capsys, "--json"))
    assert main(["report", str(result), "-o", str(html)]) == 0
    assert capsys.readouterr().out == f"wrote {html}\n"
    page = html.read_text()
    assert ('id="timeline"' in page) == (file == "saved")
    assert "fusemax-cloud" in page


def test_a_report_of_two_machines_has_both(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    html = tmp_path / "out.html"
    arguments = ["report", *SMALL[1:], "--accel", "flat-cloud", "-o", str(html)]
    assert main(arguments) == 0
    page = html.read_text()
    assert "the speed of" in page
    assert page.count("Again: ") == 2
    assert len(page) < 3_000_000


LAYER = "bert-base", "--set", "part=layer", "seq=128", "b=1", "--accel", "fusemax-cloud"
FFN = "ffn", "--set", "b=1", "p=48", "d=64", "s=96", "--accel", "tpu-v4i"


@pytest.mark.parametrize("work", [FFN, pytest.param(LAYER, marks=pytest.mark.slow)])
def test_auto_is_the_mappers_and_faster_than_the_template(
    capsys: pytest.CaptureFixture[str], work: tuple[str, ...]
) -> None:
    cycles = []
    for mapping in ("template", "auto"):
        assert main(["run", *work, "--json", "--level", "sim", "--mapping", mapping]) == 0
        cycles.append(json.loads(capsys.readouterr().out)["cycles"])
    assert cycles[1] < cycles[0]


@pytest.mark.parametrize("option", ["--accel", "--mapping", "--level"])
def test_an_option_of_one_value_is_not_taken_twice(capsys: pytest.CaptureFixture[str], option: str) -> None:
    value = {"--accel": "fusemax-cloud", "--mapping": "template", "--level": "sim"}[option]
    twice = [option, value, option, value] if option != "--accel" else [option, value]
    assert main([*SMALL, *twice]) == 2
    assert f"{option} is given 2 times; it takes one value" in capsys.readouterr().err
