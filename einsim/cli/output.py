"""Where a command writes: judged before the work, and nothing of the user's is written over unasked."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from einsim.saved import BEGINNING, HEAD
from einsim.specs.errors import SpecError

KINDS: Final[dict[str, re.Pattern[bytes]]] = {
    "a result": re.compile(BEGINNING.pattern + rb"|(row,)?phase,part,count,", BEGINNING.flags),
    "a mapping": re.compile(rb"(\s*#[^\n]*\n)*\s*mapping:"),
    "a report": re.compile(rb"\s*<!doctype html", re.IGNORECASE),
    "a machine or workload": re.compile(rb"# from |(\s*#[^\n]*\n)*\s*(machine|family|name|ranks|einsums):"),
    # A Perfetto trace begins with the tag of its first packet, which is a newline.
    "a trace": re.compile(rb"\n|\{\"otherData\"|\x89PNG|<\?xml|\$comment"),
}
"""How a file of ours begins: another kind's is not written over."""


def force_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--force` for a command that writes files."""
    return click.option(
        "--force", is_flag=True, help="Write over an input, a link or a file of another kind, too."
    )(command)


def check_output(path: Path | None, kind: str, *, inputs: Sequence[object] = (), force: bool = False) -> None:
    """SpecError, before any work, for a file that can't be written, or, without force, that would be lost.

    `inputs` are names that the command reads, files or not. A pipe or a terminal may be any.
    """
    if path is None:
        return
    try:
        _judge(path, kind, inputs, force=force)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpecError("", f"cannot be written: {reason}", where=str(path)) from None


def _judge(path: Path, kind: str, inputs: Sequence[object], *, force: bool) -> None:
    where = str(path)
    if path.is_dir():
        raise SpecError("", "cannot be written: Is a directory", where=where)
    if path.exists() and not path.is_file():
        return
    folder = path.resolve().parent
    if not folder.is_dir():
        raise SpecError("", f"cannot be written: no such folder {folder}", where=where)
    if not os.access(folder, os.W_OK):
        raise SpecError("", f"cannot be written: Permission denied in {folder}", where=where)
    if force:
        return
    hint = "--force writes over it"
    if path.exists() and any(
        path.samefile(name) for name in map(str, inputs) if name and Path(name).is_file()
    ):
        raise SpecError("", "is one of the inputs", where=where, hint=hint)
    if path.is_symlink():
        raise SpecError("", f"is a link to {path.readlink()}", where=where, hint=hint)
    if path.exists():
        with path.open("rb") as file:
            head = file.read(HEAD)
        if head and not KINDS[kind].match(head):
            raise SpecError("", f"is there already, and is not {kind}", where=where, hint=hint)
