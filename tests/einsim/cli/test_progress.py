"""Work that takes long says on a terminal what it is at; in a pipe it says nothing."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from einsim.accel.load import load_machine
from einsim.cli import terminal
from einsim.cli.main import main
from einsim.dataflow.mapper.best import best_mapping
from einsim.specs.progress import heard, listening, tell
from einsim.workloads import library

SMALL = ["--accel", "tpu-v4i", "--set", "p=8", "d=8"]


@pytest.fixture
def shown(monkeypatch):
    """What a terminal shows, of work that takes long at once."""
    screen = io.StringIO()

    def console(*, error=False):
        return Console(file=screen, force_terminal=True, width=100, _environ={}) if error else real()

    real = terminal.console
    monkeypatch.setattr(terminal, "console", console)
    monkeypatch.setattr(terminal, "LONG_S", 0.0)
    return screen


def test_a_bar_follows_what_is_told(shown):
    with terminal.progress():
        time.sleep(0.05)
        for told in [("placing [red]x[/]", 3, 1000), ("simulating", 10, 4000), ("refining", 0, 0)]:
            tell(*told)
            time.sleep(0.25)
    assert heard() is None
    text = shown.getvalue()
    for words in ("working", "placing [red]x[/]", "3 of 1,000", "simulating", "10 of 4,000", "refining"):
        assert words in text


def test_work_that_is_soon_done_shows_nothing(shown, monkeypatch):
    monkeypatch.setattr(terminal, "LONG_S", 60.0)
    with terminal.progress():
        tell("placing", 3, 1000)
    assert "placing" not in shown.getvalue()


def test_a_search_says_which_groups_it_has_bounded():
    told = []
    with listening(lambda *words: told.append(words)):
        best_mapping(library.build("softmax", p=8, d=8), load_machine("tpu-v4i"), "latency", workers=1)
    done, every = zip(*(words[1:] for words in told if words[0] == "bounding groups"), strict=True)
    assert every[0] > 0
    assert done[: every[0]] == tuple(range(every[0]))


def test_nobody_listens_in_a_pipe(capsys):
    with terminal.progress():
        assert heard() is None


@pytest.mark.parametrize(
    "words",
    [
        ["run", "softmax", *SMALL],
        ["map", "softmax", *SMALL, "--effort", "quick", "--workers", "1"],
        ["explain", "template", "--workload", "softmax", *SMALL],
        ["report", "softmax", *SMALL, "-o", "page.html"],
        ["trace", "softmax", *SMALL, "-o", "trace.json"],
        ["validate", "papers", "--case", "fusemax:unfused:BERT:1K"],
    ],
    ids=lambda words: words[0],
)
def test_every_command_that_may_take_long_shows_it(words, shown, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 0
    assert "working" in shown.getvalue()
    assert not capsys.readouterr().err
