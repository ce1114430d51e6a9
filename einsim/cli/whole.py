"""What `einsim run` prints and keeps of a whole model."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec
from rich.text import Text

from einsim.cli.terminal import console, titled
from einsim.models.outcome import ModelResult
from einsim.report.comparison import comparison_table
from einsim.report.model_summary import (
    first_token_text,
    fit_text,
    held_text,
    pace_texts,
    told,
    weight_text,
    which_text,
)
from einsim.report.parts import part_csv, part_table, phase_table
from einsim.saved import summary, write_saved
from einsim.specs.files import write_text


def show(found: ModelResult, *, as_json: bool) -> None:
    """One JSON object, or the tables."""
    if as_json:
        click.echo(json.dumps({**summary(found.total), **msgspec.to_builtins(found.tables)}, indent=2))
        return
    out, whole, tables = console(), found.total, found.tables
    out.print(titled(whole).append(f": {which_text(tables)}"))
    out.print(f"{weight_text(tables)}\n")
    out.print(comparison_table([whole]))
    out.print("\nphases", style="bold")
    out.print(phase_table(found))
    if first := first_token_text(tables):
        out.print(f"time to first token: {first}")
    for pace in pace_texts(tables):
        out.print(f"time from token to token: {pace}")
    out.print(f"does it fit: {fit_text(tables)}\nDRAM holds {held_text(tables)}")
    out.print("\nparts", style="bold")
    out.print(part_table(found))
    for line in told(whole, tables):
        out.print(Text(line))


def keep(found: ModelResult, path: Path) -> None:
    """The whole result as JSON, or the table of parts where the name ends in .csv."""
    if path.suffix.lower() == ".csv":
        write_text(path, part_csv(found))
    else:
        write_saved(found, path)
