"""`einsim validate silicon`: chips that others measured, by group, and files of more of their rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec
from rich.table import Table
from rich.text import Text

from einsim.cli.terminal import console, heading, progress
from einsim.predicting import predict
from einsim.validation.row import GroupedRow
from einsim.validation.silicon.figures import ROOFLINE, SUITE
from einsim.validation.silicon.file_kinds import NotKnown
from einsim.validation.silicon.split import HELD_OUT
from einsim.validation.silicon.suite import SiliconOutcome, chosen, judge, judge_file

SHOWN = 12
"""Rows that aren't known of which a line is printed."""


def command(cases: Sequence[str], file: str, *, as_json: bool, every_row: bool) -> int:
    """Judge our rows, or those of a file; 1 where a bar isn't met or a row is missed."""
    with progress():
        outcome = judge_file(Path(file), predict) if file else judge(chosen(cases), predict)
    if as_json:
        click.echo(
            json.dumps(
                [*map(msgspec.to_builtins, outcome.rows), *(missed(one, SUITE) for one in outcome.unknown)],
                indent=1,
            )
        )
    else:
        show(outcome, every_row)
    return 1 if outcome.failed else 0


def summed(cases: Sequence[str]) -> Iterator[GroupedRow]:
    """The figures of groups and bars only."""
    yield from (row for row in judge(chosen(cases), predict).rows if row.reference == 0)


def missed(one: NotKnown, suite: str) -> dict[str, object]:
    """A row that wasn't judged, as one of the others."""
    return {
        "suite": suite, "case": one.what, "quantity": "not known", "level": "", "reference": None,
        "ours": None, "error": None, "limit": None, "ok": not one.missed,
        "source": f"line {one.line}" if one.line else "", "note": one.why, "group": "", "side": "",
    }  # fmt: skip


def show(outcome: SiliconOutcome, every_row: bool) -> None:
    """The groups, or every row; the bars; and what wasn't judged."""
    out = console()
    single = [row for row in outcome.rows if row.reference != 0]
    if every_row:
        out.print(rows_table(single))
    out.print(groups_table(outcome.rows))
    show_bars(outcome.rows, outcome.unknown)


def show_bars(rows: Sequence[GroupedRow], unknown: Sequence[NotKnown]) -> None:
    """The bars, what wasn't judged, and how many figures and bars there are."""
    bars = [row for row in rows if row.limit is not None]
    if bars:
        console().print(bars_table(bars))
    show_unknown(unknown)
    failed = sum(not row.ok for row in bars)
    count = len({(row.case, row.quantity) for row in rows if row.reference != 0})
    click.echo(f"{count} measured figures, {len(bars)} bars, {failed} not met")


def show_unknown(unknown: Sequence[NotKnown]) -> None:
    """How many rows weren't judged, and why, of the first dozen."""
    if unknown:
        missing = sum(one.missed for one in unknown)
        click.echo(f"{len(unknown)} rows not judged, {missing} of them of what should be known:")
        for one in sorted(unknown, key=lambda one: not one.missed)[:SHOWN]:
            word = "missed" if one.missed else "not known"
            where = f" (line {one.line})" if one.line else ""
            console().print(Text(f"  {word}: {one.what}: {one.why}{where}"))
        if len(unknown) > SHOWN:
            click.echo(f"  and {len(unknown) - SHOWN} more: --json lists them")


def groups_table(rows: Sequence[GroupedRow]) -> Table:
    """A line a group and side: how many figures, and errors at each level beside the roofline's mean."""
    table = heading(
        "machine and kind", "rows", "", "level", "mean", "median", "90th", "tau", "roofline's mean"
    )
    found: dict[tuple[str, str], dict[str, dict[str, GroupedRow]]] = {}
    for row in rows:
        if row.reference == 0 and row.limit is None:
            found.setdefault((row.group, row.side), {}).setdefault(row.level, {})[row.quantity] = row
    for (group, side), levels in found.items():
        for level, figures in levels.items():
            if level != ROOFLINE:
                shown = (figures.get(name) for name in ("mean error", "median error", "90th percentile"))
                table.add_row(
                    group, figures["mean error"].note.split()[0], side, level, *map(percent, shown),
                    tau(figures.get("1 - Kendall tau")), percent(levels.get(ROOFLINE, {}).get("mean error")),
                    style="" if side == HELD_OUT else "dim",
                )  # fmt: skip
    return table


def bars_table(rows: Sequence[GroupedRow]) -> Table:
    """A line a limit that was set before."""
    table = heading("bar, held-out rows", "figure", "level", "found", "limit", "")
    for row in rows:
        word = Text("met", style="green") if row.ok else Text("not met", style="red")
        table.add_row(row.group, row.quantity, row.level, f"{row.ours:.3f}", f"{row.limit:g}", word)
    return table


def rows_table(rows: Sequence[GroupedRow]) -> Table:
    """A line a figure and level."""
    table = heading("case", "quantity", "side", "level", "measured", "ours", "error")
    for row in rows:
        table.add_row(
            row.case, row.quantity, row.side, row.level, f"{row.reference:.4g}", f"{row.ours:.4g}",
            f"{row.error or 0.0:+.1%}",
        )  # fmt: skip
    return table


def percent(row: GroupedRow | None) -> str:
    """A share; a dash where there is none."""
    return "-" if row is None else f"{row.ours:.1%}"


def tau(row: GroupedRow | None) -> str:
    """Kendall's tau of 1 less it."""
    return "-" if row is None else f"{1 - row.ours:.2f}"
