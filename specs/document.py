"""A document read from YAML: plain data, and the place (file and line, or flag) of every path in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from einsim.specs.errors import MISSING, SpecError, dotted

Path = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Document:
    """Plain data (dict, list, str, int, float, bool, None) with its origin.

    `lines` maps a path to its 1-based line; a path without one takes the line of the nearest part above it.
    `flags` maps an overridden path to what the user typed, such as `--set array.rows`.
    """

    label: str
    data: dict[str, Any]
    lines: Mapping[Path, int] = field(default_factory=dict)
    flags: Mapping[Path, str] = field(default_factory=dict)

    def where(self, path: Path) -> str:
        """`file.yaml:12`, or the flag that set the value at this path."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.flags:
                return self.flags[path[:length]]
            if path[:length] in self.lines:
                return f"{self.label}:{self.lines[path[:length]]}"
        return self.label

    def value(self, path: Path) -> object:
        """The value at a path, or MISSING when the document has none there."""
        here: Any = self.data
        for part in path:
            try:
                here = here[part]
            except (KeyError, IndexError, TypeError):
                return MISSING
        return here

    def error(
        self, path: Path, rule: str, *, got: object = MISSING, hint: str = "", root: str = ""
    ) -> SpecError:
        """A SpecError at this path; `root` is put before the dotted path, which a flag names already."""
        full = "" if path in self.flags else dotted((root, *path) if root else path)
        return SpecError(full, rule, got=got, where=self.where(path), hint=hint)
