"""Where tables go: a terminal's own width, or a fixed one in a pipe so that scripts see the same lines."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text

from einsim.dataflow.result import Result

PIPE_COLUMNS = 160


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


def say_compiling() -> None:
    """Before the first search of all, on a terminal: that it compiles first."""
    from einsim.dataflow.mapper import kernel  # these load numba, which only a search needs
    from einsim.specs.compiled import compiled_before

    out = console(error=True)
    if out.is_terminal and not compiled_before(kernel.__file__):
        out.print("compiling the search once, which takes half a minute")
