"""What is kept can be read again, and what another version kept says the way on, in one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
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


def changed(found: einsim.Evaluation, path: Path, edit: Callable[[dict], None]) -> Path:
    """A kept result with something changed by hand."""
    einsim.save_result(found, path)
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize(
    ("edit", "rule"),
    [
        (lambda data: data.update(cycles=-1), "is not a result of einsim: Expected `int` >= 0 - at `$.cycles`"),
        (lambda data: data.update(latency_s=float("inf")), "must hold finite numbers (got Infinity)"),
        (lambda data: data.update(latency_s=float("nan")), "must hold finite numbers (got NaN)"),
        (lambda data: data.update(latencies=1), "latencies: unknown key; did you mean 'latency_s'?"),
        (lambda data: data["utilization"].update(array2d=1.5), "utilization.array2d: must be <= 1 (got 1.5)"),
        (lambda data: data["stalls"].update(bored=1), "stalls.bored: unknown cause (got 'bored'); known: "),
        (lambda data: data["breakdown_by_unit"]["array2d"].update(busy=0), "breakdown_by_unit.array2d: must add up to the "),
        (lambda data: data["breakdown_by_unit"]["array2d"].update({"bored:gb": 0}), "breakdown_by_unit.array2d: unknown cause"),
        (lambda data: data.update(energy_j=1.0), "energy_j: doesn't follow from energy_by and energy_not_stated"),
        (lambda data: data.update(power_w=None), "power_w: doesn't follow from latency_s and energy_by"),
        (lambda data: data.update(tops="fast"), "tops: doesn't follow from latency_s and macs"),
        (lambda data: data["machine"].update(units=[]), None),
        (lambda data: data.update(machine={}), "is not a result of einsim: "),
        (lambda data: data.update(traffic=[[[]]]), "is not a result of einsim: "),
    ],
)  # fmt: skip
def test_a_result_changed_by_hand_says_what_is_wrong(edit, rule, found, tmp_path, capsys):
    path = changed(found, tmp_path / "r.json", edit)
    code = main(["report", str(path), "-o", str(tmp_path / "page.html")])
    if rule is not None:
        said = capsys.readouterr().err
        assert code == 2
        assert said.startswith(f"error: {path}")
        assert rule in said
        assert said.count("\n") == 1


@pytest.mark.parametrize("share", [0.001, 0.3, 0.7, 0.999])
def test_a_truncated_result_says_so(share, found, tmp_path, capsys):
    einsim.save_result(found, tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text()
    (tmp_path / "r.json").write_text(text[: max(15, int(share * len(text)))])
    assert main(["report", str(tmp_path / "r.json"), "-o", str(tmp_path / "page.html")]) == 2
    assert "is not a result of einsim: no JSON (" in capsys.readouterr().err


def test_a_key_twice_is_refused(found, tmp_path):
    einsim.save_result(found, tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text().replace('"level"', '"cycles": 1, "level"', 1)
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(einsim.SpecError, match="cycles: key stands twice"):
        einsim.load_result(tmp_path / "r.json")


@pytest.mark.parametrize("name", ["/etc/passwd", "chip.yaml", "../chip.yaml"])
def test_no_path_that_a_file_names_is_opened(name, found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chip.yaml").write_text("sm: {}")  # a GPU's description, which is_gpu would read

    def rename(data: dict) -> None:
        data.pop("machine")
        data.update(accel=name)

    path = changed(found, tmp_path / "r.json", rename)
    opened: list[object] = []
    sys.addaudithook(lambda event, of: opened.append(of[0]) if event == "open" else None)
    read_saved(path)
    assert not [each for each in opened if Path(str(each)).name == Path(name).name]


def test_a_result_of_a_gpu_is_read_too(tmp_path):
    kept = einsim.evaluate("softmax", "h100-sxm", settings={"p": 256, "d": 64})
    einsim.save_result(kept, tmp_path / "kept.json")
    assert read_saved(tmp_path / "kept.json").result == kept.result
