"""`einsim schema`: what a YAML file may hold, as JSON Schema for editors."""

from __future__ import annotations

import json

import click

from einsim.cli.choice import Named
from einsim.schema import SCHEMAS

HELP = """Print the JSON Schema of a machine's, a cascade's or a mapping's YAML file.

An editor that knows YAML completes keys by it and marks what is wrong:

\b
  einsim schema machine > machine.schema.json
"""


@click.command(help=HELP)
@click.argument("kind", type=Named((*SCHEMAS,), metavar="[machine|cascade|mapping]"))
def command(kind: str) -> None:
    """Print one schema."""
    click.echo(json.dumps(SCHEMAS[kind](), indent=2, ensure_ascii=False))
