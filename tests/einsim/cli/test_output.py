"""Outputs are whole or not there, and nothing of the user's is written over unasked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from einsim.cli.main import cli, main
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
    "imported": "",
}
#: Commands that write files, those above and `fit`, whose file is that of the machine it fits.
FILES = {"run", "map", "report", "trace", "import", "fit"}
#: They make a new folder, beside its place until it is whole, or add files to one.
FOLDERS = {"rtl emit", "capture gpu"}
PROBLEM = """problem:
  shape:
    name: gemm
    dimensions: [M, N, K]
    data_spaces:
      - {name: A, projection: [[[M]], [[K]]]}
      - {name: B, projection: [[[K]], [[N]]]}
      - {name: Z, projection: [[[M]], [[N]]], read_write: true}
  instance: {M: 4, N: 4, K: 4}
"""
FAST = ("result",)
CASES = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in WRITERS]


def names(folder: Path) -> list[str]:
    """What a folder holds."""
    return sorted(each.name for each in folder.iterdir())


def command(name: str, file: Path) -> str:
    """What writes a file; what it reads is there."""
    if name == "imported":
        source = file.parent.parent / f"{file.parent.name}.prob.yaml"
        source.write_text(PROBLEM)
        return f"import {source} --only workload -o {file}"
    return WRITERS[name].format(file)


def written(name: str, folder: Path) -> tuple[Path, str, bytes]:
    """An output, the command that has written it, and what it holds."""
    file = folder / name
    write = command(name, file)
    assert main(write.split()) == 0
    return file, write, file.read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_a_full_disk_leaves_the_earlier_output_and_nothing_else(name: str, tmp_path: Path) -> None:
    file, write, earlier = written(name, tmp_path)
    # A limit on the size of files stands for a full disk, which would need root.
    limited = f"ulimit -f 0; exec {sys.executable} -m einsim {write}"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    if name == "imported":  # what it has made is read from a temporary file first
        assert "prob.yaml: needs a temporary folder: No usable temporary directory found" in done.stderr
    else:
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
    assert main(command(name, file).split()) == 2
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


def test_every_command_that_writes_is_tried_here() -> None:
    """A command that takes the place of a file by `-o` is one of those above; others make folders."""

    def writes(one: click.Command, name: str) -> Iterator[str]:
        if isinstance(one, click.Group):
            for each in one.list_commands(click.Context(one)):
                inside = one.get_command(click.Context(one), each)
                assert inside is not None
                yield from writes(inside, f"{name} {each}".strip())
        elif any("-o" in parameter.opts for parameter in one.params):
            yield name

    assert {*writes(cli, "")} == FILES | FOLDERS


def test_a_fit_writes_over_neither_its_rows_nor_its_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It wrote over whatever was there, before it was known that nothing else could be."""
    machine, rows = tmp_path / "my.yaml", tmp_path / "rows.csv"
    machine.write_text("machine: my\n")
    rows.write_text("chip\n")
    for output, rule in ((machine, "is one of the inputs"), (rows, "is one of the inputs")):
        fit = [
            "fit",
            str(rows),
            "--machine",
            str(machine),
            "--constant",
            "dram.efficiency",
            "-o",
            str(output),
        ]
        assert main(fit) == 2
        assert f"{output}: {rule}; --force writes over it" in capsys.readouterr().err
    assert machine.read_text() == "machine: my\n"
    (tmp_path / "notes").write_text("my notes\n")
    assert main([*fit[:-1], str(tmp_path / "notes")]) == 2
    assert "is there already, and is not a machine or workload" in capsys.readouterr().err
