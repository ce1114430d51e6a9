"""`einsim import`: files of other tools as machines and workloads."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from einsim.cli.choice import Named
from einsim.cli.output import check_output, force_option
from einsim.importers.read import Kind, read_foreign
from einsim.specs.files import write_text

HELP = """Read FILE of another tool and write it as a machine's or a cascade's YAML.

FILE is an architecture or a workload of AccelForge, an architecture or a problem of Timeloop (YAML), or a
topology of SCALE-Sim (.csv). What could not be carried over is printed, and stands at the top of what is
written.

\b
  einsim import eyeriss_like.arch.yaml -o eyeriss.yaml
  einsim import prob.yaml -o layer.yaml && einsim run layer.yaml --accel eyeriss.yaml
"""


@click.command(help=HELP)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write it; printed without.")
@click.option("--only", type=Named(get_args(Kind)), help="Of a file that holds a machine and a workload.")
@force_option
def command(file: Path, output: Path | None, only: Kind | None, force: bool) -> None:
    """Import, write and say what is missing."""
    check_output(output, "a machine or workload", inputs=(str(file),), force=force)
    found = read_foreign(file, only)
    if output is None:
        click.echo(found.text, nl=False)
        return
    write_text(output, found.text)
    click.echo(f"{output}: a {found.kind} from {file}")
    for line in found.left:
        click.echo(f"not carried over: {line}")
    for line in found.assumed:
        click.echo(f"assumed: {line}")
