"""`einsim validate gpu --rows FILE`: a capture of any shapes, row by row and by kernel family."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from rich.table import Table

from einsim.cli.silicon import missed, percent, rows_table, show_bars, tau
from einsim.cli.terminal import console, heading, progress
from einsim.validation.gpu.elsewhere import GpuOutcome, judge_file
from einsim.validation.row import GroupedRow
from einsim.validation.silicon.split import HELD_OUT

SUITE = "gpu"
FIGURES = ("mean error", "median error", "90th percentile", "largest error")


def command(file: str, accel: str, *, as_json: bool) -> int:
    """Judge the rows of a file; 1 where a bar isn't met."""
    with progress():
        outcome = judge_file(Path(file), accel)
    if as_json:
        rows = [*map(msgspec.to_builtins, outcome.rows), *(missed(one, SUITE) for one in outcome.unknown)]
        click.echo(json.dumps(rows, indent=1))
    else:
        show(outcome)
    return 1 if outcome.failed else 0


def show(outcome: GpuOutcome) -> None:
    """Every row as it is predicted with factors, groups at each level, bars, and what wasn't judged."""
    out = console()
    single = [row for row in outcome.rows if row.reference != 0]
    out.print(rows_table([row for row in single if row.level == "calibrated"]))
    out.print(groups_table([row for row in outcome.rows if row.reference == 0]))
    show_bars(outcome.rows, outcome.unknown)


def groups_table(rows: Sequence[GroupedRow]) -> Table:
    """A line a family, side and level: how many rows, and how far they are off."""
    table = heading("family", "rows", "", "level", "mean", "median", "90th", "most", "tau")
    found: dict[tuple[str, str, str], dict[str, GroupedRow]] = {}
    for row in rows:
        found.setdefault((row.group, row.side, row.level), {})[row.quantity] = row
    for (group, side, level), figures in found.items():
        table.add_row(
            group, figures[FIGURES[0]].note.split()[0], side, level,
            *(percent(figures.get(name)) for name in FIGURES), tau(figures.get("1 - Kendall tau")),
            style="" if side == HELD_OUT else "dim",
        )  # fmt: skip
    return table
