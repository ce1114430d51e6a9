"""A table by name that users may add to: einsim's own rows first, then theirs, no name taken twice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeVar

from einsim.specs.errors import SpecError
from einsim.specs.extensions import caller, load_extensions

T = TypeVar("T")

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class Registry(Mapping[str, T]):
    """Rows by name. `kind` is what messages call one, such as "template".

    `reserved` gives further names that can't be taken. With `words`, names are those that an expression can
    call. Looking up loads the user's extensions first: SpecError where one of them is faulty.
    """

    def __init__(
        self,
        kind: str,
        own: Mapping[str, T],
        *,
        reserved: Callable[[], Iterable[str]] = tuple,
        words: bool = False,
    ) -> None:
        self.kind = kind
        self._rows = dict(own)
        self._reserved = reserved
        self._where = dict.fromkeys(own, "einsim")
        self._pattern = _WORD if words else _NAME

    def register(self, name: str, row: T) -> None:
        """Add a row. SpecError for what is no name, and where it is taken, with the place of the other."""
        self.check(name)
        self._rows[name] = row
        self._where[name] = caller()

    def check(self, name: object) -> None:
        """SpecError where the name can't be registered."""
        if not isinstance(name, str) or not self._pattern.fullmatch(name):
            rule = "must be a name of letters, digits and _" + ("" if self._pattern is _WORD else " . -")
            raise SpecError(self.kind, rule, got=name, where=caller())
        other = self._where.get(name) or ("einsim" if name in self._reserved() else "")
        if other:
            raise SpecError(f"{self.kind} '{name}'", f"the name is taken, by {other}", where=caller())

    def where(self, name: str) -> str:
        """`file.py:12` of the line that registered a row, "einsim" for its own."""
        return self._where[name]

    def __getitem__(self, name: str) -> T:
        load_extensions()
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        load_extensions()
        return iter(tuple(self._rows))

    def __len__(self) -> int:
        load_extensions()
        return len(self._rows)
