"""Outputs are whole or not there, and nothing of the user's is written over unasked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from einsim.cli.main import main
from einsim.report.parts import CSV_COLUMNS

CHIP = "softmax --set p=64 d=64 --accel tpu-v4i"
ANALYTICAL = f"run {CHIP} --level analytical"
WRITERS = {
    "result": f"{ANALYTICAL} -o {{}}",
    "mapping": f"{ANALYTICAL} --save-mapping {{}}",
    "found": f"map {CHIP} --effort quick -o {{}}",
    "page": f"report {CHIP} --level analytical -o {{}}",
    "trace.json": f"trace {CHIP} -o {{}}",
    "trace.pftrace": f"trace {CHIP} -o {{}}",
    "trace.vcd": f"trace {CHIP} -o {{}}",
    "trace.png": f"trace {CHIP} -o {{}}",
    "trace.svg": f"trace {CHIP} -o {{}}",
}
FAST = ("result",)
CASES = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in WRITERS]


def names(folder: Path) -> list[str]:
    """What a folder holds."""
    return sorted(each.name for each in folder.iterdir())


def written(name: str, folder: Path) -> tuple[Path, str, bytes]:
    """An output, the command that has written it, and what it holds."""
    file = folder / name
    write = WRITERS[name].format(file)
    assert main(write.split()) == 0
    return file, write, file.read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_a_full_disk_leaves_the_earlier_output_and_nothing_else(name: str, tmp_path: Path) -> None:
    file, write, earlier = written(name, tmp_path)
    # A limit on the size of files stands for a full disk, which would need root.
    limited = f"ulimit -f 0; exec {sys.executable} -m einsim {write}"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stderr == f"error: {file}: cannot be written: File too large\n"
    assert file.read_bytes() == earlier
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("name", CASES)
def test_a_killed_run_leaves_the_earlier_output(name: str, tmp_path: Path) -> None:
    file, write, earlier = written(name, tmp_path)
    # Killed when all is written and nothing has been put in its place yet.
    script = (
        "import os, signal, sys; from pathlib import Path; from einsim.cli.main import main\n"
        "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "main(sys.argv[1:])"
    )
    done = subprocess.run([sys.executable, "-c", script, *write.split()], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert file.read_bytes() == earlier
    assert len(names(tmp_path)) == 2
    assert main(write.split()) == 0
    assert names(tmp_path) == [name], "what a dead process left is removed by the next one"


def test_an_input_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mapping = tmp_path / "map.yaml"
    assert main([*ANALYTICAL.split(), "--save-mapping", str(mapping)]) == 0
    written = mapping.read_bytes()
    again = [
        *ANALYTICAL.split(),
        "--mapping",
        str(mapping),
        "--save-mapping",
        str(tmp_path / "." / "map.yaml"),
    ]
    assert main(again) == 2
    assert "map.yaml: is one of the inputs; --force writes over it" in capsys.readouterr().err
    assert mapping.read_bytes() == written
    assert main([*again, "--force"]) == 0


@pytest.mark.parametrize("name", list(WRITERS))
def test_a_file_of_another_kind_is_not_written_over(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    file.write_text("my notes\n")
    assert main(WRITERS[name].format(file).split()) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {file}: is there already, and is not a ")
    assert said.endswith("; --force writes over it\n")
    assert file.read_text() == "my notes\n"


def test_force_an_empty_file_and_the_same_kind_are_written(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("my notes\n")
    write = [*ANALYTICAL.split(), "-o", str(file)]
    assert main([*write, "--force"]) == 0
    assert main(write) == 0
    file.write_text("")
    assert main(write) == 0


def test_a_table_of_parts_is_written_over_by_another(tmp_path: Path) -> None:
    layer = ["bert-base", "--set", "seq=16", "layer=0", "part=layer"]
    part = ["run", *layer, "--accel", "tpu-v4i", "--level", "analytical"]
    file = tmp_path / "parts.csv"
    for head in ("phase,part,count,steps\n", ",".join(CSV_COLUMNS) + "\n"):  # of 0.1 and of today
        file.write_text(head)
        assert main([*part, "-o", str(file)]) == 0


def test_a_link_is_not_followed_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "link").symlink_to("there")
    write = [*ANALYTICAL.split(), "-o", str(tmp_path / "link")]
    assert main(write) == 2
    assert "link: is a link to there; --force writes over it" in capsys.readouterr().err
    assert main([*write, "--force"]) == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there").is_file()


def test_one_file_is_not_two_outputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "x")
    assert main([*ANALYTICAL.split(), "-o", file, "--save-mapping", file]) == 2
    assert "--save-mapping: is --output too" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["none/x.json", "."])
def test_a_place_that_cannot_be_written_is_told_before_the_work(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("einsim.cli.run.evaluate", lambda *_, **__: pytest.fail("worked first"))
    assert main([*ANALYTICAL.split(), "-o", str(tmp_path / place)]) == 2
    assert "cannot be written: " in capsys.readouterr().err


def test_a_pipe_is_written(tmp_path: Path) -> None:
    line = f"{sys.executable} -m einsim {ANALYTICAL} -o /dev/stdout --json | wc -c"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert int(done.stdout) > 2000
    assert done.stderr == ""
