"""stdout and stderr of any kind; what only a shell can do to them is done by one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from einsim.cli.main import main
from einsim.cli.streams import PLAIN, SUBSTITUTES, prepare

SMALL = "softmax --set p=64 d=64 --accel tpu-v4i"
QUICK = ("list", "--help", "passes attention")
SLOW = (
    "run --help", "schema mapping", "doctor",
    f"run {SMALL}", f"run {SMALL} --json", f"run {SMALL} --level analytical", f"map {SMALL} --effort quick",
    f"explain template --workload {SMALL}",
)  # fmt: skip


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """`einsim` as a shell runs it, `{}` in the command."""
    line = command.format(f"{sys.executable} -m einsim")
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, check=False, env={**os.environ, **environment}, timeout=120
    )


@pytest.mark.parametrize(
    "command", [*QUICK, *(pytest.param(command, marks=pytest.mark.slow) for command in SLOW)]
)
def test_a_reader_that_goes_away_ends_every_command_with_141_in_silence(command: str) -> None:
    # `true` has ended when the command begins.
    assert shell(f"(sleep 0.2; {{}} {command}; echo $? >&2) | true").stderr == b"141\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "utf-8", "utf-16"])
def test_any_encoding_is_written_with_plain_substitutes(
    encoding: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    assert main(f"run {SMALL}".split()) == 0
    assert capsys.readouterr().err == ""
    text = written.getvalue().decode(encoding)
    assert "?" not in text
    assert "\\" not in text
    assert "uJ" in text or "µJ" in text


@pytest.mark.slow
def test_the_c_locale_prints_plain_text() -> None:
    done = shell(f"{{}} run {SMALL}", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()


def test_a_sign_has_its_substitute_and_a_letter_its_escape() -> None:
    prepare()
    assert "12.0 µJ 7.2× mm² ██▌·".encode("ascii", SUBSTITUTES) == b"12.0 uJ 7.2x mm2 ###."
    assert "Größe 中".encode("ascii", SUBSTITUTES) == rb"Gr\xf6\xdfe \u4e2d"


def test_every_sign_of_the_program_has_a_plain_substitute(repository: Path) -> None:
    for folder in ("accel", "dataflow", "sim", "specs", "workloads", "validation", "einsim"):
        for file in (repository / folder).rglob("*.py"):
            signs = {sign for sign in file.read_text(encoding="utf-8") if not sign.isascii()}
            assert signs <= PLAIN.keys(), file


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize(("command", "code"), [("list", 0), ("lisst", 2)])
def test_closed_streams_keep_the_exit_code(command: str, code: int, closed: str) -> None:
    assert shell(f"{{}} {command} {closed}").returncode == code


@pytest.mark.parametrize("command", ["list", "--version"])
def test_a_full_stdout_is_an_error_of_one_line(command: str) -> None:
    done = shell(f"{{}} {command} > /dev/full")
    assert (done.returncode, done.stderr) == (2, b"error: stdout: No space left on device\n")


@pytest.mark.parametrize(
    "name", ["a[/]b", "[red]x", "[link=http://x]y[/link]", ":smile:", "[[x]]", "\\[bold]"]
)
def test_a_name_is_never_markup(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "named.yaml"
    file.write_text(f"name: '{name}'\nranks: {{m: 8, n: 8, k: 8}}\neinsums: 'C[m,n] = A[m,k] * B[k,n]'\n")
    for command in (
        f"run {file} --accel tpu-v4i",
        f"passes {file}",
        f"map {file} --accel tpu-v4i --effort quick",
    ):
        assert main(command.split()) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        assert name in printed.out


@pytest.mark.parametrize("sign", ["\\e", "\\x07", "\\x9b", "\\u202e", "\\0"])
def test_control_characters_are_refused_with_their_line(
    sign: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "escape.yaml"
    file.write_text(f'ranks: {{m: 8, k: 8}}\nname: "a{sign}b"\neinsums: "C[m] = A[m,k]"\n')
    assert main(["passes", str(file)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {file}:2 name: must not hold control characters (got '\\")
    assert said[:-1].isprintable()


def test_a_very_long_key_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "softmax", "--accel", "tpu-v4i", "--set", f"accel.{'x' * 5000}=1"]) == 2
    assert len(capsys.readouterr().err) < 600


def test_a_name_ends_where_its_line_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "chip.yaml"
    file.write_text('machine: x\nunits:\n  "mm\\n": {lanes: 1, clock: 1GHz, ops: {mac: {}}}\n')
    assert main(["run", "softmax", "--accel", str(file)]) == 2
    assert "a key must be a letter, then letters, digits, - and _, 64 at most" in capsys.readouterr().err
