"""Where tables go: a terminal's own width, or a fixed one in a pipe so that scripts see the same lines."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
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
    """What the work inside is at, how far, how long yet: on stderr, on a terminal, once it takes long."""
    out = console(error=True)
    if not out.is_terminal:
        yield
        return
    texts = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[count]}"))
    columns = (*texts, BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=out, transient=True)
    task = bar.add_task("working", total=None, count="")

    def show(what: str, done: int, every: int) -> None:
        nonlocal task
        before = bar.tasks[0]
        if every != (before.total or 0) or done < before.completed:
            bar.remove_task(task)
            task = bar.add_task(what, total=every or None, count="")
        count = f"{done:,} of {every:,}" if every else ""
        bar.update(task, description=what, completed=done, count=count)

    late = threading.Timer(LONG_S, bar.start)
    late.daemon = True
    late.start()
    try:
        with listening(show):
            yield
    finally:
        late.cancel()
        late.join()
        bar.stop()


def say_compiling() -> None:
    """Before the first search of all, on a terminal: that it compiles first."""
    from einsim.dataflow.mapper import kernel  # these load numba, which only a search needs
    from einsim.specs.compiled import compiled_before

    out = console(error=True)
    if out.is_terminal and not compiled_before(kernel.__file__):
        out.print("compiling the search once, which takes half a minute")


def heading(*names: str) -> Table:
    """An empty table with these columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table
