"""`einsim accuracy`: a workload computed in few bits, and how far it is from float64."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec
from rich.table import Table
from rich.text import Text

from einsim.cli.settings import SettingsCommand, pairs_with_layer
from einsim.cli.terminal import console
from einsim.precision import Accuracy, accuracy
from einsim.workloads.low_precision import Difference

HELP = """Compute WORKLOAD in integer formats and report how far it is from float64, by Einsum.

WORKLOAD is a name from `einsim list workloads`, a cascade's YAML file, or one part of a model: a name, a
config.json or an ONNX file, by default the layer that stands most often.

\b
  einsim accuracy llama3.2-1b --set part=layer seq=16 weights=8 activations=16
  einsim accuracy llama3.2-1b --set seq=16 weights=4 group=128 activations=16 kv=8
  einsim accuracy ffn --set b=1 p=8 weights=8 activations=8 activations_scheme=affine --outliers 20
  einsim accuracy my-cascade.yaml --set weights=8 activations=8 --data values.npz --json
"""


@click.command(cls=SettingsCommand, help=HELP)
@click.argument("workload")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE ...",
    help="Bits of weights, activations, kv and others (gains, biases, tables), 2 to 16 or float; "
    "ROLE_per=tensor|channel, ROLE_scheme=symmetric|affine; group=128: values of a weight that share a "
    "scale; stored=all|operands; and the workload's own.",
)  # fmt: skip
@click.option("--layer", type=click.IntRange(min=0), help="Of a model the layer at this place.")
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="FILE.npz",
    help="Values of the inputs, an array by each one's name.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of drawn values.")
@click.option(
    "--outliers", type=float, default=1.0, metavar="TIMES",
    help="Of drawn activations one feature in 100 is so many times as large.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    *,
    workload: str,
    settings: tuple[str, ...],
    layer: int | None,
    data: Path | None,
    seed: int,
    outliers: float,
    as_json: bool,
) -> None:
    """Execute, compare and print."""
    found = accuracy(workload, pairs_with_layer(settings, layer), data=data, seed=seed, outliers=outliers)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found), indent=2))
        return
    show(found)


def show(found: Accuracy) -> None:
    """A line an Einsum, and the outputs again below."""
    out = console()
    sizes = " ".join(f"{name}={size}" for name, size in found.sizes.items())
    out.print(Text.assemble((found.workload, "bold"), (f"  {sizes}", "dim")))
    out.print(Text(", ".join(f"{role} {form}" for role, form in found.formats.items())))
    out.print(Text(f"data: {found.data}; against float64 on the same data\n"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("Einsum", "SQNR", "RMS error", "of RMS", "stored as"):
        table.add_column(
            name, overflow="fold", justify="left" if name in {"Einsum", "stored as"} else "right"
        )
    for each in found.einsums:
        table.add_row(*row(each))
    table.add_row("")
    for each in found.outputs:
        table.add_row(*row(each, "output "), style="bold")
    out.print(table)


def row(found: Difference, prefix: str = "") -> tuple[str, ...]:
    """A difference in words; 0 / 0 is a dash."""
    sqnr = "exact" if found.exact else "-" if found.sqnr_db is None else f"{found.sqnr_db:.2f} dB"
    share = "-" if found.relative is None else f"{found.relative:.3%}"
    return prefix + found.tensor, sqnr, f"{found.rms:.4g}", share, found.format
