"""Answers kept on disk: found again by all that they depend on, never by less, and done without where need be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from einsim.specs import kept as module
from einsim.specs.kept import kept


class Sum(msgspec.Struct, frozen=True):
    """A test's answer."""

    total: float
    parts: tuple[int, ...]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EINSIM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Asked:
    """Adds up numbers and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(
        self, *parts: int, code: str = "1", keep: Callable[[], bool] = lambda: True, big: int = 0
    ) -> Sum:
        def work_out() -> Sum:
            self.times += 1
            return Sum(0.1 + sum(parts), (*parts, *[0] * big))

        return kept({"parts": parts, "big": big}, Sum, work_out, code, keep)


def test_an_answer_is_worked_out_once(folder: Path) -> None:
    asked = Asked()
    assert asked(1, 2) == asked(1, 2) == Sum(3.1, (1, 2))
    assert asked.times == 1
    assert [path.name for path in folder.iterdir()] == ["answers.sqlite"]


def test_another_question_or_other_code_has_an_answer_of_its_own(folder: Path) -> None:
    asked = Asked()
    assert asked(1, 2) != asked(2, 1)
    asked(1, 2, code="2")
    assert asked.times == 3


def test_what_must_not_be_kept_is_not(folder: Path) -> None:
    asked = Asked()
    asked(1, keep=lambda: False)
    asked(1)
    assert asked.times == 2


def test_a_damaged_file_is_done_without(folder: Path) -> None:
    asked = Asked()
    folder.mkdir()
    (folder / "answers.sqlite").write_bytes(b"no table" * 1000)
    assert asked(1, 2) == asked(1, 2)
    assert asked.times == 2


def test_so_is_a_folder_that_can_not_be_written(folder: Path) -> None:
    asked = Asked()
    folder.write_text("a file is in the way")
    assert asked(1, 2) == asked(1, 2)
    assert asked.times == 2


def test_nothing_is_kept_where_that_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EINSIM_CACHE_DIR", "off")
    asked = Asked()
    assert asked(1, 2) == asked(1, 2)
    assert asked.times == 2
    assert not folder.exists()


def test_what_was_not_used_for_longest_makes_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 3_000)
    asked = Asked()
    for number in (1, 2, 3, 1, 4):  # each takes a thousand bytes, so there is room for two
        asked(number, big=1_000)
    assert asked.times == 5
    asked(1, big=1_000)
    asked(4, big=1_000)
    assert asked.times == 5
