"""Runs the paper suites: every stored case, or the cases that are named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from validation.papers import fusemax
from validation.row import Row


def run(cases: Sequence[str] = (), progress: Callable[[str], None] = lambda _: None) -> Iterator[Row]:
    """Rows of the named cases, or of every stored one; `progress` is told each case as it begins.

    SpecError for a case that doesn't exist, before anything is run.
    """
    wanted = [fusemax.read_case(case) for case in cases] or list(fusemax.stored_cases())
    for case in wanted:
        progress(str(case))
        yield from fusemax.rows(case)
