"""stdout and stderr as a shell may leave them: of any encoding, closed, full, or with nobody reading."""

from __future__ import annotations

import codecs
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, TextIO

# What stands for a sign that an encoding lacks. Any other character has its escape: nothing is lost.
PLAIN: Final = {
    "µ": "u", "×": "x", "²": "2", "³": "3", "–": "-", "·": ".", "…": "...", "█": "#",
    **dict.fromkeys("▉▊▋▌", "#"), **dict.fromkeys("▍▎▏", "."),
}  # fmt: skip
SUBSTITUTES: Final = "einsim-plain"


def substitute(error: UnicodeError) -> tuple[str, int]:
    """The plain text of what can't be encoded, and where to go on, as `codecs.register_error` asks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(
        PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in missing
    ), error.end


def prepare() -> None:
    """Make both streams writable: closed ones swallow what is written, and exit codes stay what they are."""
    codecs.register_error(SUBSTITUTES, substitute)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell: `>&-`
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 -- till the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=SUBSTITUTES)


def say(message: str) -> None:
    """A line on stderr, where somebody reads it."""
    with suppress(OSError):
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()


def abandon(stream: TextIO) -> None:
    """Let a stream that can't be written swallow the rest: Python flushes it once more at its end."""
    with suppress(OSError, ValueError):  # a test's stream has no number
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
