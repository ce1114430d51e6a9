"""`einsim list`: what there is by name."""

from __future__ import annotations

import json
from collections.abc import Callable

import click
from rich.table import Table
from rich.text import Text

from einsim.accel.gpu.machine import Gpu, gpu_names, load_gpu
from einsim.accel.load import load_machine, preset_names
from einsim.cli.choice import Named
from einsim.cli.terminal import console
from einsim.dataflow.templates.registry import template_names, template_summary
from einsim.report.quantity import count, size
from einsim.rtl_models.design import DESIGNS
from einsim.workloads.load import describe, workload_names

Entry = tuple[str, str, str]  # name, what it is, more


def workloads() -> list[Entry]:
    """The library's cascades and the models' layers, with their parameters."""
    return [
        (name, what, " ".join(parameter.name for parameter in parameters))
        for name in workload_names()
        for what, parameters in [describe(name)]
    ]


def accels() -> list[Entry]:
    """The presets with their peak and their on-chip and DRAM figures."""
    entries = []
    for name in preset_names():
        machine = load_machine(name)
        units = " + ".join(
            f"{unit.name} {'x'.join(str(extent) for extent in unit.dims.values())}" for unit in machine.units
        )
        rate = machine.dram.read_bytes_per_s
        dram = f"DRAM {count(rate)}B/s" if rate else "DRAM unlimited"
        held = ", ".join(
            f"{memory.name} {size(memory.capacity_bytes)}"
            for memory in machine.memories
            if memory.parent and memory.capacity_bytes
        )
        entries.append((name, f"{machine.family}, {count(machine.clock_hz)}Hz: {units}", f"{held}; {dram}"))
    return entries + [gpu_entry(load_gpu(name)) for name in gpu_names()]


def gpu_entry(gpu: Gpu) -> Entry:
    """A GPU by its multiprocessors, whose kernels are predicted."""
    rate = f"{count(gpu.sms * gpu.sm.tensor_flops * gpu.clock_hz)}FLOP/s of mma.sync"
    held = f"shared {size(gpu.sm.shared_bytes)} each, L2 {size(gpu.l2_bytes)}"
    what = f"gpu, {count(gpu.clock_hz)}Hz: {gpu.sms} multiprocessors, {rate}"
    return gpu.name, what, f"{held}; DRAM {count(gpu.dram_bytes_per_s)}B/s"


def mappings() -> list[Entry]:
    """The mapping templates."""
    return [(name, template_summary(name), "") for name in template_names()]


def designs() -> list[Entry]:
    """The RTL designs with their parameters."""
    return [
        (design.name, design.about, " ".join(f"{name}={value}" for name, value in design.parameters.items()))
        for design in DESIGNS.values()
    ]


KINDS: dict[str, tuple[Callable[[], list[Entry]], tuple[str, str, str]]] = {
    "workloads": (workloads, ("workload", "what it is", "settings")),
    "accels": (accels, ("accelerator", "units", "memories")),
    "mappings": (mappings, ("mapping", "what it is", "")),
    "designs": (designs, ("design", "what it is", "parameters")),
}

HELP = """What there is by name: workloads, accelerators, mapping templates and RTL designs.

A workload can also be a cascade's YAML file or a Hugging Face config.json; an accelerator can be a YAML file.
"""


@click.command(help=HELP)
@click.argument("kind", type=Named((*KINDS,), metavar="[workloads|accels|mappings|designs]"), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: kind -> names.")
def command(kind: str | None, as_json: bool) -> None:
    """Print one kind, or all."""
    chosen = [kind] if kind else list(KINDS)
    if as_json:
        click.echo(json.dumps({name: [entry[0] for entry in KINDS[name][0]()] for name in chosen}, indent=2))
        return
    out = console()
    for place, name in enumerate(chosen):
        entries, titles = KINDS[name]
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
        for title in titles:
            table.add_column(title, overflow="fold")
        for label, what, more in entries():
            table.add_row(Text(label, style="bold"), what, Text(more, style="dim"))
        if place:
            out.print()
        out.print(table)
