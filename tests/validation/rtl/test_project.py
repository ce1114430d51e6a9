"""An emitted project runs as it stands, and tells a fault put into its RTL."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest

from einsim.accel.load import load_machine, preset_names
from einsim.cli.main import main
from einsim.specs.errors import EinsimError
from einsim.validation.rtl.project import CHAIN, LARGEST_RUN, emit, plan, with_defaults


def make(folder, repository):
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    return subprocess.run(
        ["make", "-s", "test", f"PYTHON={sys.executable}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_emitted_project_runs_and_finds_a_fault(repository, tmp_path):
    folder = tmp_path / "chain"
    project = emit("u280-flightllm", folder)
    done = make(folder, repository)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": exact") == len(project.jobs)
    top = (folder / "rtl" / "nm_chain.sv").read_text()
    assert f"parameter int LENGTH = {project.parameters['LENGTH']}" in top
    slice_ = folder / "rtl" / "dsp_slice.sv"
    slice_.write_text(slice_.read_text().replace("cascade_in + product", "cascade_in - product"))
    done = make(folder, repository)
    assert done.returncode != 0
    assert "chain (0, 0), out[0, 0]: got" in done.stdout


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_has_an_array_to_emit(preset):
    machine = load_machine(preset)
    project = plan(machine)
    unit = machine.unit(project.unit)
    size = {"dsp-chain": ("ROWS", "COLS", "LENGTH")}.get(unit.kind, ("R", "C"))
    assert math.prod(project.parameters[name] for name in size) == unit.dims["rows"] * unit.dims["cols"]
    assert all(project.run_parameters[name] <= max(LARGEST_RUN, CHAIN) for name in size)
    assert project.jobs
    if "n:m" in unit.exploits and unit.kind == "systolic":
        assert project.parameters["G"] == 8  # the sparse element, and jobs for it
        assert len(project.jobs) > 24  # the dense ones


def written(folder, ops, **unit):
    """A machine of one array, as a file."""
    listed = ", ".join(f"{op}: {{}}" for op in ops)
    (folder / "chip.yaml").write_text(
        "machine: chip\nclock: 1GHz\nmemories: {dram: {}, gb: {parent: dram}}\n"
        f"units: {{module: {{kind: {unit['kind']}, dims: {{rows: {unit['rows']}, cols: {unit['cols']}}}, "
        f"reads_from: gb, ops: {{{listed}}}}}}}\n"
    )
    return str(folder / "chip.yaml")


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("cols", [1, 2, 13, 16, 17, 31, 33, 48])
def test_chains_of_any_length_have_all_macs(rows, cols, tmp_path):
    project = plan(load_machine(written(tmp_path, ["mac"], kind="dsp-chain", rows=rows, cols=cols)))
    assert math.prod(project.parameters[name] for name in ("ROWS", "COLS", "LENGTH")) == rows * cols
    assert project.jobs


@pytest.mark.parametrize("kind", ["array", "systolic", "dsp-chain"])
def test_an_array_without_macs_is_refused(kind, tmp_path):
    machine = written(tmp_path, ["add", "exp"], kind=kind, rows=2, cols=2)
    with pytest.raises(EinsimError, match="has no mac"):
        emit(machine, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["a b", "it's", 'q"q', "{design}", "$(x)", "`x`", "a\nb", "\u202ex"])
def test_a_path_of_any_signs_stays_one_line_of_the_project(name, tmp_path):
    (tmp_path / name).mkdir()
    machine = written(tmp_path / name, ["mac"], kind="array", rows=1, cols=3)
    emit(machine, tmp_path / name / "new")
    readme = (tmp_path / name / "new" / "README.md").read_text()
    assert readme.splitlines()[0].startswith("# module of ")
    assert readme.splitlines()[0].endswith("output-stationary systolic array, dense or N:M")
    assert readme.replace("\n", "").isprintable()
    compile((tmp_path / name / "new" / "test_array.py").read_text(), "test_array.py", "exec")


@pytest.mark.parametrize(("unit", "message"), [("sore", "is a vector unit"), ("nope", "no unit 'nope'")])
def test_a_unit_without_rtl_is_refused_in_one_line(unit, message, tmp_path):
    with pytest.raises(EinsimError, match=message):
        emit("vcu1525-sat", tmp_path / "new", unit=unit)


@pytest.mark.parametrize(
    ("unit", "message"),
    [("kind: vector, dims: {lanes: 8}", "has no array, and RTL is there for arrays"),
     ("kind: array, dims: {cols: 8}", "has cols, RTL is there for arrays of rows x cols"),
     ("kind: systolic, dims: {rows: 8}", "has rows, RTL is there for arrays of rows x cols")],
)  # fmt: skip
def test_a_machine_without_rows_and_columns_is_refused_in_one_line(unit, message, tmp_path, capsys):
    """Vector units only, or an array of one dimension: both were tracebacks."""
    (tmp_path / "chip.yaml").write_text(
        "machine: chip\nclock: 1GHz\nmemories: {dram: {}}\n"
        f"units: {{u: {{{unit}, reads_from: dram, ops: {{mac: {{}}}}}}}}\n"
    )
    assert main(["rtl", "emit", str(tmp_path / "chip.yaml"), "-o", str(tmp_path / "new")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(EinsimError, match="not an empty folder"):
        emit("tpu-v4i", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_defaults_become_those_of_the_machine():
    assert with_defaults("parameter int R = 4,\n parameter int RR = 4", {"R": 128}) == (
        "parameter int R = 128,\n parameter int RR = 4"
    )
