"""`rtl emit` makes a whole folder or none, with names that an HDL takes, and prints commands that a shell takes."""

from __future__ import annotations

import resource
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from einsim.cli.main import main

KILLED = (
    "import os, signal, sys; from pathlib import Path; from einsim.cli.main import main\n"
    "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    "main(sys.argv[1:])"
)


def held(folder: Path) -> dict[str, bytes]:
    """What the files of a folder hold, however deep."""
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_a_full_disk_leaves_no_part_of_a_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, (soft, hard) = tmp_path / "project", resource.getrlimit(resource.RLIMIT_FSIZE)
    # 8 KiB at most a file stand for a full disk, which would need root: some are written, a later one isn't.
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        code = main(["rtl", "emit", "tpu-v4i", "-o", str(folder)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 2
    assert capsys.readouterr().err == f"error: {folder}: cannot be written: File too large\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_killed_run_leaves_no_part_of_a_project(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    words = ["rtl", "emit", "tpu-v4i", "-o", str(folder)]
    script = KILLED
    done = subprocess.run([sys.executable, "-c", script, *words], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert not folder.exists()
    assert len(list(tmp_path.iterdir())) == 1, "the part that it had made, beside its place"
    assert main(words) == 0
    assert list(tmp_path.iterdir()) == [folder], "what a dead process left is removed by the next one"
    assert {"Makefile", "README.md"} <= {*held(folder)}


@pytest.mark.parametrize("name", ["a b", "it's", "$(touch x)", ";true", "-n"])
def test_the_printed_command_is_one_that_a_shell_takes(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["rtl", "emit", "tpu-v4i", "-o", f"./{name}"]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert shlex.split(said.removeprefix("next: ")) == ["make", "-C", f"./{name}", "test"]


@pytest.mark.parametrize("unit", ["module", "end", "a-b", "always_ff"])
def test_names_of_a_machine_are_none_of_the_rtl(unit: str, tmp_path: Path) -> None:
    """Words of the HDL, or what no HDL takes: RTL and Makefile are the same."""

    def emitted(machine: str, unit: str) -> dict[str, bytes]:
        (tmp_path / "chip.yaml").write_text(
            f"machine: {machine}\nclock: 1GHz\nmemories: {{dram: {{}}}}\n"
            f"units: {{'{unit}': {{kind: array, dims: {{rows: 2, cols: 3}}, reads_from: dram, ops: {{mac: {{}}}}}}}}\n"
        )
        folder = tmp_path / unit
        assert main(["rtl", "emit", str(tmp_path / "chip.yaml"), "-o", str(folder)]) == 0
        return held(folder / "rtl") | {"Makefile": (folder / "Makefile").read_bytes()}

    plain = emitted("chip", "core")
    assert len(plain) > 2
    assert emitted("endmodule", unit) == plain
