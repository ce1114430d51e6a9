"""`einsim fit`: constants of one's own machine fitted on measured rows, with their errors."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from einsim.cli.terminal import progress
from einsim.specs.errors import SpecError
from einsim.specs.files import write_text

HELP = """Fit named constants of a machine on measured rows, a CSV of what `validate silicon --rows` knows.

Only rows on the fit side of the split are used, which goes by the name of what was run; the others say how
well the machine then predicts what it was not fitted on.

\b
  einsim fit rows.csv --machine my.yaml --constant dram.efficiency -o fitted.yaml
"""


@click.command(help=HELP)
@click.argument("rows", metavar="ROWS.csv")
@click.option(
    "--machine", required=True, metavar="MACHINE.yaml", help="The machine that the rows are taken for."
)
@click.option("--chip", default="", metavar="NAME", help="Only rows of the chip of this name in the file.")
@click.option(
    "--constant", "constants", multiple=True, metavar="PATH",
    help="A figure of the file by its dotted path, such as dram.efficiency; up to four, from its value.",
)  # fmt: skip
@click.option("-o", "--output", metavar="FILE.yaml", help="Write the machine with its constants.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    rows: str, machine: str, chip: str, constants: tuple[str, ...], output: str | None, as_json: bool
) -> int:
    """Fit and print."""
    from einsim.fitting import fit, written  # scipy.optimize: only where it is needed
    from einsim.validation.silicon.chip_figure import ChipFigure
    from einsim.validation.silicon.file_kinds import read_file

    figures = [one for one in read_file(Path(rows), machine, chip) if isinstance(one, ChipFigure)]
    if not figures:
        raise SpecError("", "has no row of a network or layer that is known", where=rows)
    with progress():
        found = fit(figures, Path(machine), constants)
    if output:
        write_text(Path(output), written(Path(machine), found))
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found), indent=1))
        return 0
    click.echo(f"{found.rows} rows for fitting, {found.tries} tries")
    for path, one in found.constants.items():
        click.echo(f"{path}: {one.sourced} -> {found.values[path]} (+- {one.error:.1%})")
    for side, after in found.after.items():
        before = found.before[side]
        click.echo(
            f"{side}, {after.count} rows: mean error {before.mean:.1%} -> {after.mean:.1%}, "
            f"median {before.median:.1%} -> {after.median:.1%}"
        )
    return 0
