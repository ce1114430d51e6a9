"""Where tables go: a terminal's own width, or a fixed one in a pipe so that scripts see the same lines."""

from __future__ import annotations

import sys

from rich.console import Console

PIPE_COLUMNS = 160


def console(*, error: bool = False) -> Console:
    """A rich console on stdout, or on stderr."""
    stream = sys.stderr if error else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else PIPE_COLUMNS, highlight=False)


def say_compiling() -> None:
    """Before the first search of all, on a terminal: that it compiles first."""
    from einsim.dataflow.mapper import kernel  # these load numba, which only a search needs
    from einsim.specs.compiled import compiled_before

    out = console(error=True)
    if out.is_terminal and not compiled_before(kernel.__file__):
        out.print("compiling the search once, which takes half a minute")
