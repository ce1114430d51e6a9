"""`einsim passes`: what a cascade forces on every mapping of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
import msgspec
from rich.table import Table
from rich.text import Text

from einsim.cli.settings import SettingsCommand, settings_option
from einsim.cli.terminal import console
from einsim.settings import read_pairs
from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workload import find_workload
from einsim.workloads.cascade import Cascade
from einsim.workloads.passes import PassReport, every_occurrence, occurrences

HELP = """How many passes a cascade needs over each rank, from the cascade alone.

A pass is one walk along a rank. What is read before its walk has made it needs a later one, and the two can't
share a loop over the rank: two passes over a long rank mean a buffer for the whole rank, or reading it twice.
Inner parts of a rank are counted inside the outer ones, and where each step of a recurrence takes several
passes, inside its steps.

\b
  einsim passes attention-3pass --rank m
  einsim passes my-cascade.yaml --rank e --in t
"""


@click.command(cls=SettingsCommand, help=HELP)
@click.argument("workload")
@click.option("--rank", metavar="RANK", help="Only this rank.")
@click.option(
    "--in", "given", metavar="RANKS", help="With --rank: the ranks of the loops outside, such as t or b,t."
)
@settings_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    workload: str, rank: str | None, given: str | None, settings: tuple[str, ...], as_json: bool
) -> None:
    """Analyse and print."""
    source = find_workload(workload)
    pairs = read_pairs(settings)
    for key in pairs:
        if key not in source.keys:
            raise SpecError(
                key, "the workload has no such setting", where="--set", hint=near(key, source.keys)
            )
    cascade = source.build(pairs)
    if given is not None and rank is None:
        raise SpecError("--in", "needs --rank, the rank of the loop inside")
    outside = None if given is None else tuple(name.strip() for name in given.split(",") if name.strip())
    reports = occurrences(cascade, rank, outside) if rank else every_occurrence(cascade)
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(report) for report in reports], indent=2))
        return
    out = console()
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for name in ("rank", "passes", "tensors read more than once", "Einsums by pass"):
        table.add_column(name, overflow="fold")
    for report in reports:
        table.add_row(report.where, Text(str(report.passes), style="bold"), again(report), by_pass(report))
    told = f": {most(reports, cascade)}, the least that any mapping needs\n"
    out.print(Text.assemble((cascade.name, "bold"), told))
    out.print(table)


def most(reports: Sequence[PassReport], cascade: Cascade) -> str:
    """`1 pass over t, 2 passes over e in each step of t`: what takes several, and the steps that it is in."""
    steps = {rank for report in reports if report.passes > 1 for rank in report.given}
    steps |= {part.rank for part in cascade.partitions if part.into[0] in steps}
    told = [report for report in reports if report.passes > 1 or report.rank in steps]
    if len(reports) > 1 and not told:
        return "1 pass over every rank"
    return ", ".join(
        f"{report.passes} pass{'es' * (report.passes != 1)} over {report.where}" for report in told or reports
    )


def again(report: PassReport) -> str:
    """`K 2, V 3`: the tensors that need more than one pass."""
    many = {name: number for name, number in report.tensors.items() if number > 1}
    return ", ".join(f"{name} {number}" for name, number in many.items()) or "none"


def by_pass(report: PassReport) -> str:
    """`1: QK GM | 2: SN SD`."""
    groups: dict[int, list[str]] = {}
    for name, number in report.einsums.items():
        groups.setdefault(number, []).append(name)
    return " | ".join(f"{number}: {' '.join(groups[number])}" for number in sorted(groups))
