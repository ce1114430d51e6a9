"""Every mistake on the command line is one line and exit code 2; help and version are exit code 0."""

from __future__ import annotations

import warnings

import click
import pytest

from einsim import __version__
from einsim.cli import main as entry
from einsim.cli.group import COMMANDS
from einsim.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "error: no command 'rnu'; did you mean 'run'?"),
        (["doctr", "--json"], "error: no command 'doctr'; did you mean 'doctor'?"),
        (
            ["zzzz"],
            f"error: no command 'zzzz'; known: {', '.join([*COMMANDS][:12])} and {len(COMMANDS) - 12} more",
        ),
        (["--versoin"], "error: no option '--versoin'; did you mean '--version'?"),
        (["doctor", "--jsn"], "error: no option '--jsn'; did you mean '--json'?"),
        (["doctor", "now"], "error: got unexpected extra argument (now)"),
        (["doctor", "--json=yes"], "error: option '--json' does not take a value"),
    ],
)
def test_a_misspelled_command_line_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == message + "\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_agrees_with_its_row(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: einsim {name} ")


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"einsim {__version__}\n"


def test_ctrl_c_is_130_and_shows_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry.cli, "make_context", interrupted)
    assert main([]) == 130
    assert capsys.readouterr().err.strip() == ""


def test_a_file_that_cannot_be_opened_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/root/out.html")

    monkeypatch.setattr(entry.cli, "make_context", refused)
    assert main([]) == 2
    assert capsys.readouterr().err == "error: /root/out.html: Permission denied\n"


def test_a_warning_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def warned(*_: object) -> int:
        warnings.simplefilter("always")
        warnings.warn("/a/folder: can't be\nwritten", RuntimeWarning, stacklevel=1)
        return 0

    monkeypatch.setattr(entry, "run", warned)
    assert main([]) == 0
    assert capsys.readouterr().err == "warning: /a/folder: can't be written\n"


def test_an_error_of_many_lines_is_told_in_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def long_winded(*_: object) -> None:
        raise click.ClickException("this\n  and that")

    monkeypatch.setattr(entry.cli, "make_context", long_winded)
    assert main([]) == 2
    assert capsys.readouterr().err == "error: this and that\n"


def test_marks_that_turn_text_round_are_escaped_in_every_message(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["run", "softmax", "--accel", "tpu-v4i", "--effort", "\u202ex"],
        ["\u202e"],
        ["run", "\x1b[2J"],
    ):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert said.strip().isprintable()
