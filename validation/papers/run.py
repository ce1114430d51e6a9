"""Runs the paper suites: every stored case, or the cases that are named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from einsim.validation.papers import autoneural, fusemax, searched
from einsim.validation.row import Row

#: A case's name and what gives its rows.
Named = tuple[str, Callable[[], Iterator[Row]]]


def run(cases: Sequence[str] = (), progress: Callable[[str], None] = lambda _: None) -> Iterator[Row]:
    """Rows of the named cases, or of every stored one; `progress` is told each case as it begins.

    SpecError for a case that doesn't exist, before anything is run.
    """
    for name, rows in [_named(case) for case in cases] or _stored():
        progress(name)
        yield from rows()


def _named(text: str) -> Named:
    if text.startswith(f"{searched.NAME}:"):
        found = searched.read(text)
        return searched.shown(found), lambda: searched.rows(found)
    if text.startswith(f"{autoneural.NAME}:"):
        encoder = autoneural.read(text)
        return text, lambda: autoneural.rows(encoder)
    case = fusemax.read_case(text)
    return str(case), lambda: fusemax.rows(case)


def _stored() -> list[Named]:
    return [
        *(_named(str(case)) for case in fusemax.stored_cases()),
        *(_named(searched.shown(case)) for case in searched.stored()),
        *(_named(case) for case in autoneural.stored()),
    ]
