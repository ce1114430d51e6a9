"""Where tables go: a terminal's own width, or a fixed one in a pipe so that scripts see the same lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from einsim.dataflow.result import Result
from einsim.specs.progress import listening

PIPE_COLUMNS = 160

LONG_S = 2.0
"""Seconds after which work says how far it is."""


class Terminal(Console):
    """A rich console for which a reader that goes away is an error like any other."""

    def on_broken_pipe(self) -> None:
        """Not rich's exit code 1: `main` gives the shell's."""
        raise BrokenPipeError


def console(*, error: bool = False) -> Console:
    """A rich console on stdout, or on stderr."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else PIPE_COLUMNS
    return Terminal(file=stream, width=width, highlight=False, markup=False, emoji=False)


def titled(result: Result) -> Text:
    """`WORKLOAD on MACHINE`, both in bold."""
    return Text.assemble((result.workload, "bold"), " on ", (result.accel, "bold"))


@contextmanager
def progress() -> Iterator[None]:
    """How far the work inside is, and the time left: on stderr, on a terminal, once it takes long."""
    out, began = console(error=True), time.monotonic()
    if not out.is_terminal:
        yield
        return
    text, count = "{task.description}", "{task.completed:,} of {task.total:,}"
    columns = (TextColumn(text, markup=False), BarColumn(), TextColumn(count), TimeRemainingColumn())
    bar = Progress(*columns, console=out, transient=True)
    tasks: dict[str, TaskID] = {}

    def show(what: str, done: int, every: int) -> None:
        if time.monotonic() - began < LONG_S:
            return
        bar.start()
        if what not in tasks:
            for other in tasks.values():
                bar.remove_task(other)
            tasks.clear()
            tasks[what] = bar.add_task(what, total=every)
        bar.update(tasks[what], completed=done, total=every)

    try:
        with listening(show):
            yield
    finally:
        bar.stop()


def say_compiling() -> None:
    """Before the first search of all, on a terminal: that it compiles first."""
    from einsim.dataflow.mapper import kernel  # these load numba, which only a search needs
    from einsim.specs.compiled import compiled_before

    out = console(error=True)
    if out.is_terminal and not compiled_before(kernel.__file__):
        out.print("compiling the search once, which takes half a minute")
