"""`einsim capture gpu`: time the kernels on this machine's GPU."""

from __future__ import annotations

import math
from pathlib import Path

import click

from einsim.cli.choice import Named
from einsim.specs.errors import EinsimError

HELP = """Time every kernel on this machine's GPU and append the rows to DIR/<device>.csv.

Each kernel is checked against float64 before it is timed. Rows that DIR already has are not measured again,
so that a run that was stopped goes on where it was. All rows with energy take about a quarter of an hour.

\b
  einsim capture gpu -o captures
  einsim capture gpu -o captures --quick
  einsim capture gpu -o captures --family gemm-f16 --family decode --no-energy
"""


@click.group(help="Measure what a model is held against.")
def command() -> None:
    """The commands that measure."""


@command.command("gpu", help=HELP)
@click.option(
    "-o", "folder", type=click.Path(path_type=Path), default=Path("captures"), show_default=True,
    metavar="DIR", help="Where the CSV is, or shall be.",
)  # fmt: skip
@click.option("--quick", is_flag=True, help="One size of every kernel, no energy: about two minutes.")
@click.option("--unseen", is_flag=True, help="Other shapes, on which nothing was fitted; no energy.")
@click.option("--models", is_flag=True, help="Shapes of published models, and what was added for them.")
@click.option(
    "--fresh", is_flag=True, help="Shapes of further models, on which nothing was fitted; no energy."
)
@click.option(
    "--family", "families", multiple=True, metavar="NAME", help="Only this family. May be repeated."
)
@click.option("--no-energy", is_flag=True, help="Skip the replays that read the energy counter.")
@click.option("--no-vendor", is_flag=True, help="Don't time torch beside.")
@click.option(
    "--limit-s", type=float, default=math.inf, metavar="SECONDS", help="Start nothing new after this."
)
def gpu_command(
    *,
    folder: Path,
    quick: bool,
    unseen: bool,
    models: bool,
    fresh: bool,
    families: tuple[str, ...],
    no_energy: bool,
    no_vendor: bool,
    limit_s: float,
) -> int:
    """Measure, then a table of every variant's best row; 1 when a case failed or time ran out."""
    from einsim.validation.gpu.capture import capture, summary
    from einsim.validation.gpu.kernels.registry import FAMILIES

    if quick + unseen + models + fresh > 1:
        raise click.UsageError(
            "--quick, --unseen, --models and --fresh are different sets of shapes: give one"
        )
    kinds = Named(tuple(FAMILIES))
    chosen = tuple(str(kinds.convert(name, None, None)) for name in families)
    try:
        path, failures = capture(
            folder,
            quick=quick,
            unseen=unseen,
            models=models,
            fresh=fresh,
            families=chosen,
            energy=not (no_energy or quick or unseen or fresh),
            limit_s=limit_s,
            vendor=not no_vendor,
        )
    except ImportError as missing:
        raise EinsimError(f"{missing}: pip install 'einsim[gpu]' for the kernels and the meter") from None
    click.echo(summary(path) if path.exists() else "no rows")
    for line in failures:
        click.echo(f"failed: {line}", err=True)
    return 1 if failures else 0
