"""`einsim fit`: constants of one's own machine fitted on measured rows, with their errors."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from einsim.cli.output import check_output, force_option
from einsim.cli.terminal import progress
from einsim.specs.errors import SpecError
from einsim.specs.files import write_text

HELP = """Fit named constants of a machine on measured rows, a CSV of what `validate silicon --rows` knows.

Only rows on the fit side of the split are used, which goes by the name of what was run; the others say how
well the machine then predicts what it was not fitted on.

\b
  einsim fit rows.csv --machine my.yaml --constant dram.efficiency -o fitted.yaml

\b
Several machines, such as boards with the same core, share the constants:
  einsim fit rows.csv --machine a.yaml --chip A -o c.yaml --machine b.yaml --chip B -o d.yaml --constant PATH
"""


@click.command(help=HELP)
@click.argument("rows", metavar="ROWS.csv")
@click.option(
    "--machine", "machines", required=True, multiple=True, metavar="MACHINE.yaml",
    help="The machine that the rows are taken for; several share the constants, each with a --chip.",
)  # fmt: skip
@click.option(
    "--chip", "chips", multiple=True, metavar="NAME", help="Only rows of the chip of this name in the file."
)
@click.option(
    "--constant", "constants", multiple=True, metavar="PATH",
    help="A figure of the file by its dotted path, such as dram.efficiency; up to four, from its value.",
)  # fmt: skip
@click.option(
    "-o", "--output", "outputs", multiple=True, metavar="FILE.yaml", type=click.Path(path_type=Path),
    help="Write the machine with its constants; of several, one for each.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@force_option
def command(
    *,
    rows: str,
    machines: tuple[str, ...],
    chips: tuple[str, ...],
    constants: tuple[str, ...],
    outputs: tuple[Path, ...],
    as_json: bool,
    force: bool,
) -> int:
    """Fit and print."""
    for output in outputs:
        check_output(output, "a machine or workload", inputs=(rows, *machines), force=force)
    from einsim.fitting import fit_shared, written  # scipy.optimize: only where it is needed
    from einsim.validation.silicon.chip_figure import ChipFigure
    from einsim.validation.silicon.file_kinds import read_file

    count = len(machines)
    for where, given, least in (("--chip", chips, 0 if count == 1 else count), ("-o", outputs, 0)):
        if len(given) not in {least, count}:
            raise SpecError("", f"must be given for each of {count} machines", got=len(given), where=where)
    if len({*machines}) != count:
        raise SpecError("", "must be different files", got=", ".join(machines), where="--machine")
    by_machine: dict[Path, list[ChipFigure]] = {}
    for at, machine in enumerate(machines):
        chip = chips[at] if chips else ""
        found_rows = [one for one in read_file(Path(rows), machine, chip) if isinstance(one, ChipFigure)]
        if not found_rows:
            raise SpecError("", "has no row of a network or layer that is known", where=rows)
        by_machine[Path(machine)] = found_rows
    with progress():
        found = fit_shared(by_machine, constants)
    for output, machine in zip(outputs, machines, strict=False):
        write_text(output, written(Path(machine), found))
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
