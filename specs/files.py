"""Text files that users name: read whole or refused in one line, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from einsim.specs.errors import SpecError

LARGEST_BYTES: Final = 2**28


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


def write_text(path: Path, text: str) -> None:
    """Put text into a file, which stays as it was where that fails: SpecError."""
    try:
        if path.exists() and not path.is_file():  # a pipe, a terminal
            path.write_text(text, encoding="utf-8")
            return
        whole = path.resolve()
        part = whole.with_name(f".{whole.name}.{os.getpid()}.part")
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(whole)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise SpecError("", f"cannot be written: {error.strerror or error}", where=str(path)) from None
    except ValueError as error:  # a null byte in the path
        raise SpecError("", f"cannot be written: {error}", where=str(path)) from None
