"""Text files that users name: read whole or refused in one line, written whole or not at all."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from einsim.specs.errors import SpecError

LARGEST_BYTES: Final = 2**28
PART: Final = ".part"
"""What the name of a file that isn't whole yet ends in."""


def read_text(path: Path, label: str = "", most: int = LARGEST_BYTES) -> str:
    """The text of a file of at most so many bytes; SpecError for any other. `label` names it in errors."""
    label = label or str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except FileNotFoundError:
        raise SpecError("", "no such file", where=label) from None
    except OSError as error:
        raise SpecError("", f"cannot be read: {error.strerror or error}", where=label) from None
    except ValueError as error:  # a null byte in the path
        raise SpecError("", f"cannot be read: {error}", where=label) from None
    if len(raw) > most:
        raise SpecError("", f"is larger than {most} bytes", where=label)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError("", f"is not UTF-8 text (byte {error.start})", where=label) from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file or folder beside `path` to write to, which takes its place once the block is done.

    Whatever happens in between, a kill or a full disk, what was at `path` stays as it was. A pipe or a
    terminal is written as it is. SpecError, with the reason, where it can't be written.
    """
    part = path
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            yield path
            return
        whole = path.resolve()
        _clear(whole)
        part = whole.with_name(f".{whole.name}.{os.getpid()}{PART}")
        try:
            yield part
            part.replace(whole)
        finally:
            _remove(part)
    except OSError as error:
        raise SpecError("", f"cannot be written: {error.strerror or error}", where=str(path)) from None
    except ValueError:  # Python's words for it differ by version
        raise SpecError("", "cannot be written: embedded null byte", where=str(path)) from None
    except SpecError as error:  # of a file inside: named as it would be called
        inside = Path(error.where)
        if not inside.is_relative_to(part):
            raise
        raise SpecError(error.path, error.rule, where=str(path / inside.relative_to(part))) from None


def write_text(path: Path, text: str) -> None:
    """Put text into a file, which stays as it was where that fails: SpecError."""
    with replacing(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(text)


def _clear(whole: Path) -> None:
    """Remove what a process that was killed left beside a file."""
    for part in whole.parent.glob(f".{glob.escape(whole.name)}.*{PART}"):
        number = part.name.removesuffix(PART).rpartition(".")[2]
        if number.isdecimal() and not _alive(int(number)):
            _remove(part)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _remove(part: Path) -> None:
    with suppress(OSError):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)
