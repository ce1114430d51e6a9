"""`einsim rtl emit`: the array of a machine as a ready RTL project."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from einsim.validation.rtl.project import emit

HELP = """Write the array of a machine as a project: RTL, testbench, golden jobs, Makefile.

\b
  einsim rtl emit tpu-v4i -o tpu_rtl
  einsim rtl emit fusemax-cloud --unit 2d -o fusemax_rtl
"""


@click.group(help="RTL of a machine's array.")
def command() -> None:
    """The commands about RTL."""


@command.command("emit", help=HELP)
@click.argument("accel", metavar="ACCEL")
@click.option("-o", "folder", required=True, metavar="DIR", help="A new or empty folder.")
@click.option("--unit", default="", metavar="NAME", help="Which unit; the first matrix unit if left out.")
def emit_command(accel: str, folder: str, unit: str) -> int:
    """Write the project and say what to do next."""
    project = emit(accel, Path(folder), unit=unit)
    click.echo(f"{project.design.name} of unit '{project.unit}', {len(project.jobs)} golden jobs in {folder}")
    click.echo(f"next: make -C {shlex.quote(folder)} test")
    return 0
