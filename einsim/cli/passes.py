"""`einsim passes`: what a cascade forces on every mapping of it."""

from __future__ import annotations

import json

import click
import msgspec
from rich.table import Table

from einsim.cli.settings import SettingsCommand, settings_option
from einsim.cli.terminal import console
from einsim.settings import read_pairs
from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workload import find_workload
from einsim.workloads.cascade import Cascade
from einsim.workloads.passes import PassReport, passes

HELP = """How many passes a cascade needs over each rank, from the cascade alone.

A pass is one traversal of every element of a fibre. Einsums of different passes can't share a loop over
the rank, so two passes over a long rank mean a buffer for the whole rank, or reading it twice.

\b
  einsim passes attention-3pass --rank m
  einsim passes my-cascade.yaml
"""


@click.command(cls=SettingsCommand, help=HELP)
@click.argument("workload")
@click.option(
    "--rank", metavar="RANK", help="Only this rank, with the passes over each tensor and of each Einsum."
)
@settings_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(workload: str, rank: str | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Analyse and print."""
    source = find_workload(workload)
    pairs = read_pairs(settings)
    for key in pairs:
        if key not in source.keys:
            raise SpecError(
                key, "the workload has no such setting", where="--set", hint=near(key, source.keys)
            )
    cascade = source.build(pairs)
    reports = [passes(cascade, rank)] if rank else every_family(cascade)
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(report) for report in reports], indent=2))
        return
    out = console()
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for name in ("rank", "passes", "tensors read more than once", "Einsums by pass"):
        table.add_column(name, overflow="fold")
    for report in reports:
        table.add_row(", ".join(report.family), f"[bold]{report.passes}[/]", again(report), by_pass(report))
    most = max(reports, key=lambda report: report.passes)
    plural = "pass" if most.passes == 1 else "passes"
    over = "every rank" if most.passes == 1 and not rank else most.rank
    out.print(
        f"[bold]{cascade.name}[/]: {most.passes} {plural} over {over}, the least that any mapping needs\n"
    )
    out.print(table)


def every_family(cascade: Cascade) -> list[PassReport]:
    """A report for every rank, ranks that are walked as one another's parts only once, most passes first."""
    reports: dict[tuple[str, ...], PassReport] = {}
    for rank in cascade.ranks:
        report = passes(cascade, rank.name)
        reports.setdefault(report.family, report)
    return sorted(reports.values(), key=lambda report: -report.passes)


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
