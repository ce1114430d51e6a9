"""The figures of sixty commands, byte for byte: a change that moves one says so, line by line, in its diff.

`pytest tests/test_golden.py -m '' --update-golden` stores what is found. CHANGELOG.md then says, by preset and
workload, which figures moved and why.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from einsim.cli.main import cli

FOLDER = Path(__file__).resolve().parent / "golden"
LISTED = [line for line in (FOLDER / "commands.txt").read_text().splitlines() if line and line[0] != "#"]
# Seconds each: `make slow` runs them.
LONG = (
    "validate ",
    "map ",
    "bert-base --set",
    "xlm --set",
    "llama2-7b --set",
    "mapping auto",
)


def name(position: int, command: str) -> str:
    """The file that holds a command's figures."""
    words = re.sub(r"[^a-z0-9]+", "-", command.lower().replace("--set", "").replace("--accel", "")).strip("-")
    return f"{position:02d}-{words[:60].rstrip('-')}.json"


CASES = [
    pytest.param(
        name(position, command),
        command,
        id=command,
        marks=[pytest.mark.slow] if any(word in command for word in LONG) else [],
    )
    for position, command in enumerate(LISTED, 1)
]


def test_there_are_sixty_commands_and_no_stale_figures() -> None:
    assert len(LISTED) == 60
    assert {path.name for path in (FOLDER / "figures").iterdir()} == {case.values[0] for case in CASES}


@pytest.mark.parametrize(("stored", "command"), CASES)
def test_the_figures_are_those_stored(stored: str, command: str, update_golden: bool) -> None:
    done = CliRunner().invoke(cli, [*shlex.split(command), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    if isinstance(printed, dict):
        # What a search took here, who printed it, and how far off others were: no figures of a command.
        for key in ("seconds", "version", "evidence"):
            printed.pop(key, None)
    found = json.dumps(printed, indent=1, ensure_ascii=False) + "\n"
    path = FOLDER / "figures" / stored
    if update_golden:
        path.write_text(found)
    assert found == path.read_text()
