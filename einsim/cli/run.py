"""`einsim run`: one workload on one machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import msgspec
from rich.text import Text

from einsim.accel.gpu.machine import is_gpu
from einsim.cli.choice import Named
from einsim.cli.long import long_option
from einsim.cli.output import check_output, force_option
from einsim.cli.settings import SettingsCommand, pairs_with_layer, settings_option
from einsim.cli.terminal import console, progress, say_compiling, titled
from einsim.cli.whole import keep, show
from einsim.dataflow.effort import Effort
from einsim.dataflow.mapping_file import dump_mapping
from einsim.evaluation import AUTO, TEMPLATE, Level, Mapped, evaluate
from einsim.models.judge import evaluate_model, part_facts, several
from einsim.report.comparison import comparison_table, where_time_went
from einsim.report.stated import evidence_texts, over_bound
from einsim.saved import save_result, summary
from einsim.specs.errors import SpecError
from einsim.specs.files import write_text
from einsim.validation.oracle.check import Report, check_mapping
from einsim.workloads.load import load_model

HELP = """Map WORKLOAD onto an accelerator, judge the mapping and explain the result.

WORKLOAD is a name from `einsim list workloads`, a cascade's YAML file, a Hugging Face config.json or an ONNX
file. A model is run whole, each part mapped for itself; --set part=layer or --layer N runs one part.

\b
  einsim run attention --set model=bert-base seq=4K --accel fusemax-cloud
  einsim run llama3-8b --set seq=2048 decode=256 --accel tpu-v4i --level analytical
  einsim run path/to/config.json --set part=layer --accel sa8295p
  einsim run resnet-50 --set b=4 --accel tpu-v4i
  einsim run attention-3pass --accel flat-cloud --mapping unfused --level analytical --json
  einsim run my-cascade.yaml --accel my-machine.yaml --mapping my-mapping.yaml
"""


@click.command(cls=SettingsCommand, help=HELP)
@click.argument("workload")
@click.option("--accel", required=True, metavar="ACCEL", help="A preset's name or a machine's YAML file.")
@settings_option
@click.option(
    "--layer", type=click.IntRange(min=0), help="Of a model only the layer at this place; --set part=layer: "
    "the layer that stands most often.",
)  # fmt: skip
@click.option(
    "--mapping", default=TEMPLATE, show_default=True, metavar="FILE|auto|TEMPLATE",
    help="A mapping's YAML file, a template's name (`einsim list mappings`), template: the one that suits, "
    "or auto: the fastest of all these and of what the mapper finds.",
)  # fmt: skip
@click.option(
    "--effort", type=Named(get_args(Effort)), default="normal", show_default=True,
    help="How long --mapping auto searches: under a second, seconds, or as long as a proof takes.",
)  # fmt: skip
@click.option(
    "--level", type=Named(get_args(Level)), default="sim", show_default=True,
    help="The analytical model (a lower bound) or the cycle-level simulation.",
)  # fmt: skip
@long_option
@click.option(
    "--check", is_flag=True,
    help="Also hold the mapping, at a size of seconds, against the oracle, which does it point by point; "
    "exit code 1 where points, actions, bytes, energy or values differ.",
)  # fmt: skip
@click.option("--save-mapping", type=click.Path(path_type=Path), help="Write the mapping as YAML.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Also keep the whole result in this file; a model's table of parts where its name ends in .csv.",
)
@force_option
def command(
    *,
    workload: str,
    accel: str,
    settings: tuple[str, ...],
    mapping: str,
    effort: Effort,
    level: Level,
    long: bool,
    check: bool,
    save_mapping: Path | None,
    as_json: bool,
    output: Path | None,
    force: bool,
    layer: int | None,
) -> int:
    """Evaluate and print; 1 where a check finds a difference."""
    inputs = (workload, accel, mapping)
    check_output(output, "a result", inputs=inputs, force=force)
    check_output(save_mapping, "a mapping", inputs=inputs, force=force)
    if output and save_mapping and output.resolve() == save_mapping.resolve():
        raise SpecError("", "is --output too", got=str(output), where="--save-mapping")
    if check and is_gpu(accel):
        raise SpecError("", "is for mappings, and a GPU runs kernels", got=accel, where="--check")
    if mapping == AUTO:
        say_compiling()
    pairs = pairs_with_layer(settings, layer)
    model = load_model(workload)
    if model is not None and several(model, pairs, accel):
        for option, given in (("--check", check), ("--save-mapping", save_mapping)):
            if given:
                rule = "is for one cascade, and this is several"
                raise SpecError("", rule, where=option, hint="--set part=layer, or another part's name")
        with progress():
            whole = evaluate_model(
                model, accel, settings=pairs, mapping=mapping, level=level, effort=effort, long=long
            )
        if output:
            keep(whole, output)
        show(whole, as_json=as_json)
        return 0
    with progress():
        found = evaluate(
            workload, accel, settings=pairs, mapping=mapping, level=level, effort=effort, long=long
        )
    if output:
        save_result(found, output)
    if save_mapping:
        write_text(save_mapping, dump_mapping(found.mapped.mapping))
    checked = check_mapping(found.cascade, found.mapped.machine, found.mapped.mapping) if check else None
    code = 0 if checked is None or checked.equal else 1
    searched = found.how.searched if isinstance(found.how, Mapped) else None
    if as_json:
        more: dict[str, object] = (
            {} if checked is None else {"check": {"equal": checked.equal, **msgspec.to_builtins(checked)}}
        )
        if searched is not None:
            more["searched"] = {"latency_s": searched.latency_s, "energy_stated_j": searched.energy_stated_j}
        if model is not None:
            more["part"] = found.cascade.name.removeprefix(f"{model.name} ")
            more["model"] = part_facts(model, pairs, accel, found.result)
        click.echo(json.dumps({**summary(found.result), **more}, indent=2))
        return code
    out = console()
    sizes = " ".join(f"{rank.name}={rank.size}" for rank in found.cascade.ranks)
    out.print(Text.assemble(titled(found.result), ("  " + sizes, "dim"), "\n"))
    if model is not None:
        out.print("one part of the model, once; without part= and layer= the whole model is run\n")
    out.print(comparison_table([found.result]))
    if found.result.breakdown_by_unit:  # the model of a GPU's kernels doesn't say it
        out.print("\nwhere the time went", style="bold")
        out.print(where_time_went(found.result))
    out.print("\nmapping", style="bold")
    out.print(found.result.mapping)
    if searched is not None and level == "sim":
        out.print(over_bound(searched, found.result))
    for note in found.result.notes:
        out.print(f"note: {note}")
    out.print("\n".join(evidence_texts(found.result)), soft_wrap=True)
    if found.result.assumed:
        out.print(f"assumed, no published figure: {', '.join(found.result.assumed)}")
    if checked is not None:
        out.print("\nchecked against the oracle", style="bold")
        out.print("\n".join(told(checked)), soft_wrap=True)
    return code


COMPARED = {
    "values": "values of outputs",
    "points": "points by Einsum",
    "actions": "actions by unit",
    "bytes": "bytes by memory and tensor",
    "energy": "energies by component",
}
"""What kinds of figures a check compares, in words."""


def told(checked: Report) -> Iterator[str]:
    """What was compared and how that ended, a line each."""
    shrunk = [f"{name} {old:,} -> {new:,}" for name, (old, new) in {**checked.sizes, **checked.units}.items()]
    yield f"shrunk to {', '.join(shrunk)}" if shrunk else "as it is: small enough to be walked whole"
    yield from (f"not shrunk: {why}" for why in checked.kept)
    known = {words: checked.compared.get(kind, 0) for kind, words in COMPARED.items()}
    yield "figures compared, of both levels: " + ", ".join(f"{words} {known[words]:,}" for words in known)
    if checked.upper:
        yield f"upper values, of states of which all steps are kept: {checked.upper[0]}"
        yield from (f"and: {one}" for one in checked.upper[1:])
    if checked.equal:
        yield "all others are equal" if checked.upper else "all are equal"
        return
    yield f"DIFFERS: {checked.differences[0]}"
    if len(checked.differences) > 1:
        yield f"and {len(checked.differences) - 1} more: --json has them all"
