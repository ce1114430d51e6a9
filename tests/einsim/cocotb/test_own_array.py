"""The example testbench for a foreign 6 x 10 array runs, and finds a fault."""

from __future__ import annotations

import shutil
import subprocess
import sys


def example(folder, repository):
    return subprocess.run(
        [sys.executable, folder / "run.py"],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_own_array_runs_and_a_fault_in_it_is_told(repository, tmp_path):
    source = repository / "examples" / "own_array_testbench"
    done = example(source, repository)
    assert (done.returncode, done.stdout) == (0, "own_array: every value is einsim's\n"), done.stderr
    copy = shutil.copytree(source, tmp_path / "own_array_testbench")
    array = copy / "own_array.v"
    array.write_text(array.read_text().replace("acc[i*10+j] + $signed", "acc[i*10+j] - $signed"))
    done = example(copy, repository)
    assert done.returncode == 1
    assert "PE (0, 0), out[0, 0]: got" in done.stdout


def test_a_user_needs_under_40_lines(repository):
    bench = repository / "examples" / "own_array_testbench" / "own_bench.py"
    assert len(bench.read_text().splitlines()) < 40
