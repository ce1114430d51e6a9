"""`einsim run`: one workload on one machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import click

from einsim.cli.choice import Named
from einsim.cli.settings import SettingsCommand, settings_option
from einsim.cli.terminal import console
from einsim.dataflow.mapping_file import dump_mapping
from einsim.evaluation import TEMPLATE, Level, evaluate
from einsim.report.comparison import comparison_table, where_time_went
from einsim.saved import save_result, summary
from einsim.settings import read_pairs

HELP = """Map WORKLOAD onto an accelerator, judge the mapping and explain the result.

WORKLOAD is a name from `einsim list workloads`, a cascade's YAML file, or a Hugging Face config.json.

\b
  einsim run attention --set model=bert-base seq=4K --accel fusemax-cloud
  einsim run attention-3pass --accel flat-cloud --mapping unfused --level analytical --json
  einsim run my-cascade.yaml --accel my-machine.yaml --mapping my-mapping.yaml
"""


@click.command(cls=SettingsCommand, help=HELP)
@click.argument("workload")
@click.option("--accel", required=True, metavar="ACCEL", help="A preset's name or a machine's YAML file.")
@settings_option
@click.option(
    "--mapping", default=TEMPLATE, show_default=True, metavar="FILE|auto|TEMPLATE",
    help="A mapping's YAML file, a template's name (`einsim list mappings`), template: the one that suits, "
    "or auto: the fastest that the mapper finds.",
)  # fmt: skip
@click.option(
    "--level", type=Named(get_args(Level)), default="sim", show_default=True,
    help="The analytical model (a lower bound) or the cycle-level simulation.",
)  # fmt: skip
@click.option("--save-mapping", type=click.Path(path_type=Path), help="Write the mapping as YAML.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Also keep the whole result in this file."
)
def command(
    *,
    workload: str,
    accel: str,
    settings: tuple[str, ...],
    mapping: str,
    level: Level,
    save_mapping: Path | None,
    as_json: bool,
    output: Path | None,
) -> None:
    """Evaluate and print."""
    found = evaluate(workload, accel, settings=read_pairs(settings), mapping=mapping, level=level)
    if output:
        save_result(found, output)
    if save_mapping:
        save_mapping.write_text(dump_mapping(found.mapped.mapping), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(summary(found.result), indent=2))
        return
    out = console()
    sizes = " ".join(f"{rank.name}={rank.size}" for rank in found.cascade.ranks)
    out.print(f"[bold]{found.result.workload}[/] on [bold]{found.result.accel}[/]  [dim]{sizes}[/]\n")
    out.print(comparison_table([found.result]))
    if found.result.breakdown_by_unit:  # the model of a GPU's kernels doesn't say it
        out.print("\n[bold]where the time went[/]")
        out.print(where_time_went(found.result))
    out.print("\n[bold]mapping[/]")
    out.print(found.result.mapping, markup=False)
    for note in found.result.notes:
        out.print(f"note: {note}", markup=False)
    if found.result.assumed:
        out.print(f"assumed, no published figure: {', '.join(found.result.assumed)}", markup=False)
