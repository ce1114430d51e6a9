"""An emitted project runs as it stands, and tells a fault put into its RTL."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest

from einsim.accel.load import load_machine, preset_names
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


@pytest.mark.parametrize(("unit", "message"), [("sore", "is a vector unit"), ("nope", "no unit 'nope'")])
def test_a_unit_without_rtl_is_refused_in_one_line(unit, message, tmp_path):
    with pytest.raises(EinsimError, match=message):
        emit("vcu1525-sat", tmp_path / "new", unit=unit)


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(EinsimError, match="not an empty folder"):
        emit("tpu-v4i", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_defaults_become_those_of_the_machine():
    assert with_defaults("parameter int R = 4,\n parameter int RR = 4", {"R": 128}) == (
        "parameter int R = 128,\n parameter int RR = 4"
    )
