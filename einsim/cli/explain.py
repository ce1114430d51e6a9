"""`einsim explain`: what limits a mapping, and what one change would gain most."""

from __future__ import annotations

import json

import click
import msgspec
from rich.table import Table

from einsim.cli.map import case, quantity
from einsim.cli.settings import SettingsCommand, settings_option
from einsim.cli.terminal import console, progress, say_compiling
from einsim.dataflow.mapper.explain import Explanation, explain
from einsim.dataflow.mapping_text import mapping_text
from einsim.evaluation import AUTO, find_mapping
from einsim.report.quantity import joules
from einsim.report.stated import cells, energy
from einsim.specs.units import Seconds

HELP = """Explain a mapping: its loop nest, what limits it, and what one change of the machine would gain.

MAPPING is a mapping's YAML file, a template's name, template (the one that suits) or auto (the mapper's).

\b
  einsim explain template --workload attention --set seq=4K --accel fusemax-cloud
  einsim explain gemm-mapping.yaml --workload gemm.yaml --accel tpu-v4i --remap 5s
"""


@click.command(cls=SettingsCommand, help=HELP)
@click.argument("mapping")
@click.option("--workload", required=True, metavar="WORKLOAD", help="The workload that it maps.")
@click.option("--accel", required=True, metavar="ACCEL", help="A preset's name or a machine's YAML file.")
@settings_option
@click.option(
    "--remap", metavar="TIME", help="Also search for new mappings, this long each: with larger memories too."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    *, mapping: str, workload: str, accel: str, settings: tuple[str, ...], remap: str | None, as_json: bool
) -> None:
    """Explain and print."""
    budget_s = 0.0 if remap is None else quantity(Seconds, remap, "--remap")
    cascade, machine = case(workload, accel, settings, mapping)
    if remap is not None or mapping == AUTO:
        say_compiling()
    with progress():
        tree = find_mapping(cascade, machine, mapping)
        found = explain(tree, cascade, machine, budget_s=budget_s)
    if as_json:
        click.echo(json.dumps({**msgspec.to_builtins(found), "result": found.result.to_dict()}, indent=2))
        return
    click.echo(mapping_text(tree))
    _print(found)


def _print(found: Explanation) -> None:
    out = console()
    result = found.result
    out.print(f"\n{result.latency_s:.4g} s, energy {energy(result)}, bound by {result.bottleneck}")
    out.print(f"no order of this work takes less than {found.time_bound_s:.4g} s")
    if found.ridge_macs_per_byte is not None:
        side = "left of" if found.macs_per_byte < found.ridge_macs_per_byte else "right of"
        out.print(
            f"roofline: {found.macs_per_byte:.4g} macs a DRAM byte, {side} the ridge at "
            f"{found.ridge_macs_per_byte:.4g}"
        )
    for memory, share in found.memories[:1]:
        out.print(f"fullest memory: {memory}, {share:.0%} taken")
    for report in found.passes:
        out.print(f"{report.passes} passes over {report.where}: what they read stays on chip or comes again")
    best = next((change for change in found.changes if not change.remapped or change.speedup > 1), None)
    if best is not None and best.speedup > 1.0005:
        out.print(f"most would gain: {best.what} ({best.speedup:.3g} times as fast)")
    else:
        out.print("no one change of those below gains time")
    limits = Table("engine", "busy cycles", "of the time")
    for limit in found.limits:
        limits.add_row(limit.engine, f"{limit.busy_cycles:,}", f"{limit.share:.1%}")
    out.print(limits)
    whole = "energy" if result.energy_j is not None else "energy stated"
    changes = Table("one change", "latency", whole, "times faster")
    for change in found.changes:
        name = f"{change.what} (new mapping)" if change.remapped else change.what
        spent = cells([change.energy_stated_j], joules)[0]
        changes.add_row(name, f"{change.latency_s:.4g} s", spent, f"{change.speedup:.3f}")
    out.print(changes)
