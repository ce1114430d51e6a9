"""A file is read whole or refused in one line, and written whole or left as it was."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from einsim.specs.errors import SpecError
from einsim.specs.files import read_text, replacing, write_text


def test_what_is_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    write_text(tmp_path / "link", "grüße\n")
    assert read_text(tmp_path / "file") == "grüße\n"
    assert (tmp_path / "link").is_symlink()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "link"]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("none", "no such file"), ("folder", "cannot be read: Is a directory"), ("a\0b", "cannot be read: embedded null byte"),
        ("bytes", "is not UTF-8 text (byte 1)"), ("large", "is larger than 8 bytes"), ("bytes/x", "cannot be read: Not a directory"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line(name: str, rule: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "bytes").write_bytes(b"a\xff")
    (tmp_path / "large").write_text("a" * 9)
    with pytest.raises(SpecError) as told:
        read_text(tmp_path / name, most=8)
    shown = str(tmp_path / name).replace("\0", r"\x00")
    assert str(told.value) == f"{shown}: {rule}"


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("none/x", "No such file or directory"), (".", "Is a directory"), ("file/x", "Not a directory"),
        ("a\0b", "embedded null byte"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_one_line(name: str, rule: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError) as told:
        write_text(tmp_path / name, "text")
    shown = str(tmp_path / name).replace("\0", r"\x00")
    assert str(told.value) == f"{shown}: cannot be written: {rule}"


def half_written(path: Path, *, folder: bool) -> None:
    """Write a part of it, then find the disk full."""
    with replacing(path) as part:
        if folder:
            part.mkdir()
        (part / "a" if folder else part).write_text("aft")
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_was_there_stays_where_the_disk_is_full(kind: str, tmp_path: Path) -> None:
    if kind == "file":
        write_text(tmp_path / kind, "before")
    with pytest.raises(SpecError, match="No space left on device"):
        half_written(tmp_path / kind, folder=kind == "folder")
    assert [each.name for each in tmp_path.iterdir()] == (["file"] if kind == "file" else [])
    if kind == "file":
        assert read_text(tmp_path / kind) == "before"


def test_a_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_text(tmp_path / "pipe", "text")
    reader.join(timeout=10)
    assert found == ["text"]


def test_a_file_inside_a_folder_is_named_as_it_would_be_called(tmp_path: Path) -> None:
    """`rtl emit` on a full disk named a hidden file that the user never asked for."""

    def write() -> None:
        with replacing(tmp_path / "rtl") as part:
            part.mkdir()
            write_text(part / "bench" / "top.sv", "module top;")  # there is no folder bench

    with pytest.raises(SpecError) as error:
        write()
    assert str(error.value) == f"{tmp_path}/rtl/bench/top.sv: cannot be written: No such file or directory"
