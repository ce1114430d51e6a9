"""What is kept can be read again, and what another version kept says the way on, in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import einsim
from einsim.cli.main import main
from einsim.dataflow.mapping_file import load_mapping
from einsim.saved import read_saved, series
from einsim.version import VERSION

OLD = Path(__file__).parent / "upgrade"


@pytest.fixture(scope="module")
def found() -> einsim.Evaluation:
    return einsim.evaluate("ffn", "fusemax-cloud", settings={"b": 1, "p": 64, "d": 64, "s": 128})


def test_a_result_is_read_as_it_was_kept(found, tmp_path):
    einsim.save_result(found, tmp_path / "r.json")
    assert einsim.load_result(tmp_path / "r.json") == found.result
    assert read_saved(tmp_path / "r.json").machine == found.machine


def test_what_run_prints_is_a_result_without_its_pictures(found, tmp_path, capsys):
    assert (
        main(["run", "ffn", "--accel", "fusemax-cloud", "--set", "b=1", "p=64", "d=64", "s=128", "--json"])
        == 0
    )
    (tmp_path / "r.json").write_text(capsys.readouterr().out)
    read = einsim.load_result(tmp_path / "r.json")
    assert (read.cycles, read.energy_j, read.traffic) == (
        found.result.cycles,
        found.result.energy_j,
        found.result.traffic,
    )
    assert read.timeline == ()


@pytest.mark.parametrize(
    ("file", "again"),
    [
        ("result-0.1.json", "einsim run attention-1pass --accel tpu-v4i -o result-0.1.json"),
        ("printed-0.1.json", "einsim run softmax --accel tpu-v4i -o printed-0.1.json"),
    ],
)
def test_a_result_of_the_version_before_says_how_to_make_it_anew(file, again, capsys, tmp_path):
    assert main(["report", str(OLD / file), "-o", str(tmp_path / "page.html")]) == 2
    assert capsys.readouterr().err == (
        f"error: {OLD / file}: holds a result of einsim 0.1.0, whose figures this {VERSION} would not give; "
        f"make it anew, with its settings: {again}\n"
    )
    assert not (tmp_path / "page.html").exists()


def test_a_result_of_a_later_version_is_for_that_one(found, tmp_path):
    einsim.save_result(found, tmp_path / "r.json")
    data = json.loads((tmp_path / "r.json").read_text())
    (tmp_path / "r.json").write_text(json.dumps({**data, "version": "9.1.2"}))
    with pytest.raises(
        einsim.SpecError, match=r"holds a result of einsim 9\.1\.2, .*; read it with that version$"
    ):
        einsim.load_result(tmp_path / "r.json")
    (tmp_path / "r.json").write_text(json.dumps({**data, "version": f"{VERSION}.post1"}))
    assert einsim.load_result(tmp_path / "r.json") == found.result


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{", "no JSON"), ("[]", "no workload, accel and cycles"), ('{"workload": 1}', "no workload, accel and cycles"),
        (f'{{"workload": "x", "accel": "y", "cycles": "z", "version": "{VERSION}"}}', "is not a result of einsim: "),
    ],
)  # fmt: skip
def test_what_is_no_result_says_so(text, rule, tmp_path):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(einsim.SpecError, match=rule):
        einsim.load_result(tmp_path / "r.json")


def test_versions_are_compared_as_numbers():
    assert series("1.0") > series("0.10.1") > series("0.9.9") == series("0.9") == series("0.9.3rc1")


def test_a_mapping_of_the_version_before_loads_and_is_the_same():
    cascade = einsim.load_workload("attention-1pass", {"b": 1, "h": 1, "e": 64, "p": 256, "m": 512})
    machine = einsim.load_machine("tpu-v4i")
    old = load_mapping(OLD / "mapping-0.1.yaml", cascade, machine)
    assert old.template == "fusemax-on-flat"
    assert einsim.dump_mapping(old) == (OLD / "mapping-0.1.yaml").read_text()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"cycles": -1}, "Expected `int` >= 0 - at `$.cycles`"), ({"latency_s": -1.0}, "Expected `float` >= 0.0 - at `$.latency_s`"),
        ({"traffic": {"dram": {"X": -1}}}, "Expected `int` >= 0 - at `$.traffic[...][...]`"),
        ({"energy_by": {"dram": -1e-9}}, "Expected `float` >= 0.0 - at `$.energy_by[...]`"),
        ({"latency_s": float("nan")}, "no JSON"), ({"latency_s": float("inf")}, "no JSON"),
        ({"version": None}, "must be text (got null)"), ({"version": 2}, "must be text (got 2)"),
    ],
)  # fmt: skip
def test_what_no_run_gives_is_no_result(found, change, rule, tmp_path):
    path = tmp_path / "r.json"
    einsim.save_result(found, path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(einsim.SpecError) as told:
        einsim.load_result(path)
    place = f"{path} version" if "version" in change else str(path)
    assert str(told.value) == f"{place}: is not a result of einsim: {rule}"


def test_files_that_are_not_there_are_one_line(found, tmp_path):
    for call, rule in (
        (lambda: einsim.load_result(tmp_path / "no.json"), "no.json: no such file"),
        (lambda: einsim.load_result(str(tmp_path)), ": cannot be read: Is a directory"),
        (lambda: einsim.save_result(found, tmp_path / "no" / "r.json"), "r.json: cannot be written: No such file or directory"),
        (lambda: einsim.load_mapping(f"{tmp_path}/no.yaml", found.cascade, found.machine), "no.yaml: no such file"),
    ):  # fmt: skip
        with pytest.raises(einsim.SpecError, match=rule):
            call()
