"""`einsim report`: one HTML page about one or more results or workloads."""

from __future__ import annotations

import errno
import shlex
from pathlib import Path
from typing import get_args

import click
import msgspec

from einsim.cli.choice import Named
from einsim.cli.long import long_option
from einsim.cli.output import check_output, force_option
from einsim.cli.settings import SettingsCommand, settings_option
from einsim.cli.terminal import progress
from einsim.evaluation import TEMPLATE, Level, evaluate
from einsim.models.judge import evaluate_model, several
from einsim.report.case import Case
from einsim.report.page import page
from einsim.saved import is_result, read_saved
from einsim.settings import read_pairs
from einsim.specs.files import write_text
from einsim.workloads.load import load_model

HELP = """Write the mapping report: one HTML page, self-contained, about one or more cases side by side.

Each item is a RESULT, a file that `einsim run -o` or `--json` wrote, or a WORKLOAD, which is run on
every --accel. A model is run whole: its parts are a table that sorts and points under the roof.

\b
  einsim report attention --set seq=4K --accel fusemax-cloud --accel flat-cloud -o out.html
  einsim report monday.json tuesday.json -o out.html
"""


@click.command(cls=SettingsCommand, help=HELP)
@click.argument("items", nargs=-1, required=True, metavar="RESULT|WORKLOAD...")
@click.option(
    "--accel", "accels", multiple=True, metavar="ACCEL", help="A machine for the workloads; may be repeated."
)
@settings_option
@click.option(
    "--mapping", default=TEMPLATE, show_default=True, metavar="FILE|auto|TEMPLATE", help="As in `einsim run`."
)
@click.option(
    "--level", type=Named(get_args(Level)), default="sim", show_default=True, help="As in `einsim run`."
)
@long_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The page to write.",
)
@force_option
def command(
    *,
    items: tuple[str, ...],
    accels: tuple[str, ...],
    settings: tuple[str, ...],
    mapping: str,
    level: Level,
    long: bool,
    output: Path,
    force: bool,
) -> None:
    """Gather the cases and write the page."""
    check_output(output, "a report", inputs=(*items, *accels, mapping), force=force)
    pairs = read_pairs(settings)
    cases: list[Case] = []
    origins: list[str] = []
    for item in items:
        path = Path(item)
        if is_result(path):
            origins.append(path.stem)
            kept = read_saved(path)
            cases.append(Case(result=kept.result, machine=kept.machine, tables=kept.tables))
            continue
        if path.suffix == ".json" and not path.exists():
            raise FileNotFoundError(errno.ENOENT, "no such file", item)
        if not accels:
            what = "no result that `einsim run` wrote" if path.is_file() else "a workload"
            raise click.UsageError(f"'{item}' is {what}, so an --accel is needed to run it on")
        model = load_model(item)
        for accel in accels:
            origins.append(path.stem)
            again = ["einsim", "run", item, "--accel", accel, "--mapping", mapping, "--level", level]
            again += ["--set", *settings] if settings else []
            command = shlex.join([*again, "--long"] if long else again)
            with progress():
                if model is not None and several(model, pairs, accel):
                    whole = evaluate_model(
                        model, accel, settings=pairs, mapping=mapping, level=level, long=long
                    )
                    result, machine, tables = whole.total, whole.machine, whole.tables
                else:
                    found = evaluate(item, accel, settings=pairs, mapping=mapping, level=level, long=long)
                    result, machine, tables = found.result, found.machine, None
            cases.append(Case(result=result, machine=machine, command=command, tables=tables))
    write_text(output, page(distinct(cases, origins)))
    click.echo(f"wrote {output}")


def distinct(cases: list[Case], origins: list[str]) -> list[Case]:
    """The cases; those whose machine stands twice are called by the file or workload they are from."""
    labels = [case.label for case in cases]
    return [
        msgspec.structs.replace(case, name=origin) if labels.count(case.label) > 1 else case
        for case, origin in zip(cases, origins, strict=True)
    ]
