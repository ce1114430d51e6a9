"""An emitted project runs as it stands, and tells a fault put into its RTL."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from specs.errors import EinsimError
from validation.rtl.project import emit, with_defaults


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


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(EinsimError, match="holds files already"):
        emit("tpu-v4i", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_defaults_become_those_of_the_machine():
    assert with_defaults("parameter int R = 4,\n parameter int RR = 4", {"R": 128}) == (
        "parameter int R = 128,\n parameter int RR = 4"
    )
