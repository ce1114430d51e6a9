"""A simulation that would take long is refused in one line, the same on every machine, unless it may be long."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import einsim
from einsim.cli.main import main
from einsim.dataflow.iteration import path_of
from einsim.finalists import TILES
from einsim.specs.errors import SpecError

SMALL = "softmax --set p=64 d=64 --accel tpu-v4i"
SAID = (
    "error: simulation: softmax on tpu-v4i has {} tiles, of which more than 3 would be simulated one by one; "
)
LOWER_BOUND = "--level analytical gives a lower bound at once, --long lets it go on\n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if three tiles took long."""
    monkeypatch.setattr("einsim.patience.MOST_TILES", 3)
    monkeypatch.setitem(TILES, "quick", 2)


def tiles() -> int:
    """Tiles of the small workload by the default mapping: the positions of each operation's loops."""
    found = einsim.evaluate("softmax", "tpu-v4i", settings={"p": 64, "d": 64}, level="analytical")
    program = einsim.lower(found.mapped.mapping, found.cascade, found.mapped.machine)
    return sum(path_of(op, program.loops, program.sizes).total() for op in program.ops)


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("run", LOWER_BOUND),
        ("run --mapping auto --effort quick", LOWER_BOUND),
        ("report -o x.html", LOWER_BOUND),
        ("trace -o x.json", "--long lets it go on, an earlier --from ends it sooner\n"),
    ],
)
def test_a_long_run_ends_in_one_line_and_goes_on_where_it_may(
    command: str,
    hint: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*command.split(), *SMALL.split()]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.endswith(hint)
    assert list(tmp_path.iterdir()) == []
    assert main([*words, "--long"]) == 0


def test_the_message_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *SMALL.split()]) == 2
    assert capsys.readouterr().err == SAID.format(tiles()) + LOWER_BOUND


def test_a_run_that_may_be_long_gives_what_it_gives_without_a_bound(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["run", *SMALL.split(), "--json", "--long"]) == 0
    long = json.loads(capsys.readouterr().out)
    monkeypatch.setattr("einsim.patience.MOST_TILES", 10**6)
    assert main(["run", *SMALL.split(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == long


def test_no_bound_stands_in_the_way_of_the_analytical_level(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *SMALL.split(), "--level", "analytical"]) == 0


def test_a_script_gets_the_same_error() -> None:
    with pytest.raises(SpecError, match="of which more than 3 would be simulated one by one"):
        einsim.evaluate("softmax", "tpu-v4i", settings={"p": 64, "d": 64})
    assert einsim.evaluate("softmax", "tpu-v4i", settings={"p": 64, "d": 64}, long=True).result.cycles
