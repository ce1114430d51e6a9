"""`--long`, for commands that simulate: a run may go on past the bound on its tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from einsim.patience import MOST_TILES


def long_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flag, as a decorator."""
    text = f"Simulate as long as it takes: else a run ends in an error after {MOST_TILES:,} tiles one by one."
    return click.option("--long", is_flag=True, help=text)(command)
