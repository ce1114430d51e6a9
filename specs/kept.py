"""Answers kept on disk by what they are answers to: a table of keys and bytes in the user's cache folder.

A key is a hash of all that the answer depends on, the code included, so nothing is ever out of date. What was
not used for longest goes where more than MOST_BYTES are kept. Where no file can be written, or a file is
damaged, everything is worked out anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from platformdirs import user_cache_path

Answer = TypeVar("Answer")

FOLDER: Final = "EINSIM_CACHE_DIR"
"""The variable that names another folder; "off": nothing is kept."""
MOST_BYTES: Final = 64 * 2**20
"""Bytes of answers that are kept."""
WAIT_S: Final = 5
"""Seconds to wait for another process that writes; then it is done without."""


SCHEMA: Final = "CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, used REAL, bytes BLOB)"
FORGET: Final = """DELETE FROM kept WHERE key IN (SELECT key FROM (
    SELECT key, SUM(LENGTH(bytes)) OVER (ORDER BY used DESC, key) AS total FROM kept) WHERE total > ?)"""


def kept(
    question: object, kind: type[Answer], work_out: Callable[[], Answer], code: str, keep: Callable[[], bool]
) -> Answer:
    """The answer to a question: of type `kind`, a msgspec struct, worked out unless it is kept.

    Of `question`, plain data or msgspec structs, every value counts; `code` names the code that works it out
    (`einsim.specs.compiled.source_hash`). `keep` says afterwards whether the answer may be kept.
    """
    place = folder()
    if place is None:
        return work_out()
    text = msgspec.json.encode((code, question), order="deterministic")
    key = hashlib.sha256(text).hexdigest()
    for (data,) in _asked(place, "SELECT bytes FROM kept WHERE key = ?", (key,)):
        with contextlib.suppress(msgspec.DecodeError):
            found = msgspec.msgpack.decode(data, type=kind)
            _asked(place, "UPDATE kept SET used = ? WHERE key = ?", (time.time(), key))
            return found
    answer = work_out()
    if not keep():
        return answer
    row = (key, time.time(), msgspec.msgpack.encode(answer))
    _asked(place, "INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", row)
    _asked(place, FORGET, (MOST_BYTES,))
    return answer


def folder() -> Path | None:
    """Where answers are kept; None where nothing is."""
    named = os.environ.get(FOLDER)
    if named == "off":
        return None
    found = Path(named) if named else user_cache_path("einsim")
    return found if named or found.is_absolute() else None  # without a home it would be "~", right here


def _asked(place: Path, statement: str, values: tuple[object, ...]) -> list[tuple[bytes]]:
    """The rows that a statement gives; none where the file can't be read or written."""
    with contextlib.suppress(sqlite3.Error, OSError):
        place.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(place / "answers.sqlite", timeout=WAIT_S)) as table, table:
            table.execute(SCHEMA)
            return table.execute(statement, values).fetchall()
    return []
