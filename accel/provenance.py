"""Where a machine's figures come from: cited and assumed paths must exist, and every figure can be asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from einsim.specs.document import Document
from einsim.specs.errors import MISSING, SpecError
from einsim.specs.near import near

_NOT_FIGURES = ("sources", "assumed", "fitted", "family", "machine")


def figures(data: Any, above: str = "") -> list[str]:
    """Dotted paths of every written value, except the names of things and the provenance itself."""
    if isinstance(data, dict):
        keys = [key for key in data if above or key not in _NOT_FIGURES]
        return [path for key in keys for path in figures(data[key], f"{above}.{key}" if above else key)]
    return [above]


def check(
    document: Document, sources: Mapping[str, str], assumed: Iterable[str], fitted: Iterable[str] = ()
) -> None:
    """SpecError for a cited, assumed or fitted path that the file lacks, and for an empty citation."""
    sections = {"sources": list(sources), "assumed": list(assumed), "fitted": list(fitted)}
    for section, paths in sections.items():
        for index, path in enumerate(paths):
            here = ("assumed", index) if section == "assumed" else (section, path)
            if document.value(tuple(path.split("."))) is MISSING:
                hint = near(path, figures(document.data))
                raise _error(document, here, "no such path in this file", path, hint)
            if section == "sources" and not sources[path].strip():
                raise _error(document, here, "must name a source", path, "")


def origin(path: str, sources: Mapping[str, str], assumed: Iterable[str]) -> str:
    """The citation of a figure, from the nearest cited path at or above it; `assumed` or empty otherwise."""
    marked = set(assumed)
    while path:
        if path in sources:
            return sources[path]
        if path in marked:
            return "assumed"
        path = path.rpartition(".")[0]
    return ""


def _error(document: Document, here: tuple[str | int, ...], rule: str, got: str, hint: str) -> SpecError:
    return document.error(here, rule, got=got, hint=hint, root="accel")
