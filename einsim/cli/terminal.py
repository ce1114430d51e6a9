"""Where tables go: a terminal's own width, or a fixed one in a pipe so that scripts see the same lines."""

from __future__ import annotations

import sys

from rich.console import Console

PIPE_COLUMNS = 160


def console(*, error: bool = False) -> Console:
    """A rich console on stdout, or on stderr."""
    stream = sys.stderr if error else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else PIPE_COLUMNS, highlight=False)
