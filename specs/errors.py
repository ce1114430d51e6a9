"""The errors a user can cause: one line each, with place, rule, value and hint."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final


class _Missing:
    """Marks a value that was not given; prints as nothing a user would write."""

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"  # pickles as the one value of this module, so that `is MISSING` still holds


MISSING: Final = _Missing()

_SHORT: Final = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel = 2
_WIDEST: Final = 80
"""Characters of the longest value that a message shows."""
_LONGEST: Final = 400
"""Characters of the longest word, such as a file's path, that it shows whole."""


class EinsimError(Exception):
    """Base of every error that a user can cause; `str(error)` is one line, fit to print as it is."""

    def __str__(self) -> str:
        words = (
            word if len(word) <= _LONGEST else f"{word[:_WIDEST]}..." for word in super().__str__().split()
        )
        return "".join(map(_printable, " ".join(words)))


def _printable(sign: str) -> str:
    """A character that a terminal shows, or its escape."""
    return sign if sign.isprintable() else sign.encode("unicode_escape").decode()


class RuleError(EinsimError, ValueError):
    """A broken rule of one value, raised where file and line are not known.

    `at` is the path of the value below the object that raises. `einsim.specs.loader.decode` turns a RuleError
    raised while it decodes into a SpecError with file, line and full path.
    """

    def __init__(
        self, rule: str, *, got: object = MISSING, hint: str = "", at: tuple[str | int, ...] = ()
    ) -> None:
        self.rule, self.got, self.hint, self.at = rule, got, hint, at
        prefix = f"{dotted(at)}: " if at else ""
        super().__init__(prefix + _body(rule, got, hint))

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return partial(type(self), got=self.got, hint=self.hint, at=self.at), (self.rule,)


@contextmanager
def below(*path: str | int) -> Iterator[None]:
    """Puts `path` before the path of any RuleError raised inside, so that it tells where it happened."""
    try:
        yield
    except RuleError as error:
        raise RuleError(error.rule, got=error.got, hint=error.hint, at=(*path, *error.at)) from None


class SpecError(EinsimError):
    """A fault in something that the user wrote, with the place where it stands.

    `SpecError("accel.array.rows", "must be >= 1", got=0, where="fusemax.yaml:12")` reads
    `fusemax.yaml:12 accel.array.rows: must be >= 1 (got 0)`; empty parts are left out.
    """

    def __init__(
        self, path: str, rule: str, *, got: object = MISSING, where: str = "", hint: str = ""
    ) -> None:
        self.path, self.rule, self.got, self.where, self.hint = path, rule, got, where, hint
        place = " ".join(part for part in (where, path) if part)
        super().__init__((f"{place}: " if place else "") + _body(rule, got, hint))

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return partial(type(self), got=self.got, where=self.where, hint=self.hint), (self.path, self.rule)


def dotted(path: tuple[str | int, ...]) -> str:
    """The path as it is shown: `("units", 0, "rows")` reads `units[0].rows`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{_cut(part)}" if text else _cut(part)
    return text


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."


def _body(rule: str, got: object, hint: str) -> str:
    shown = "" if got is MISSING else f" (got {_show(got)})"
    return f"{rule}{shown}" + (f"; {hint}" if hint else "")


def _show(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _SHORT.repr(value + 0)  # + 0 turns a unit (Bytes, Hertz) into its plain number
    text = _SHORT.repr(value)
    return _cut(text)
