"""`einsim map`: search for the best mapping of a workload on a machine."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import get_args

import click

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.cli.choice import Named
from einsim.cli.output import check_output, force_option
from einsim.cli.settings import SettingsCommand, settings_option
from einsim.cli.terminal import console, progress, say_compiling, titled
from einsim.dataflow.effort import Effort
from einsim.dataflow.mapper.best import (
    Answer,
    best_mapping,
    compared_without,
    default_space,
    template_mapping,
)
from einsim.dataflow.mapper.named import TemplateSpace
from einsim.dataflow.mapper.objective import Objective
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapper.tiles import MENUS, Menu
from einsim.dataflow.mapping_file import dump_mapping
from einsim.dataflow.mapping_text import mapping_text
from einsim.dataflow.result import Result
from einsim.dataflow.spatial import Layouts
from einsim.dataflow.templates.registry import open_templates, template_names
from einsim.evaluation import TEMPLATE, cascade_for, is_file
from einsim.finalists import TILES, Compared, Finalist, Finals, compare
from einsim.machine_keys import machine_keys
from einsim.report.stated import energy, over_bound
from einsim.settings import read_pairs, split
from einsim.specs.errors import RuleError, SpecError
from einsim.specs.files import write_text
from einsim.specs.progress import tell
from einsim.specs.units import Bytes, Seconds, format_bytes
from einsim.workload import PASSES, WorkloadSource, find_workload
from einsim.workloads.cascade import Cascade

# What is the same of every mapping stands in `run --json`.
NOT_SEARCHED = (
    "macs", "tops", "tops_per_w", "area_um2", "area_mm2", "area_not_stated", "resources",
)  # fmt: skip

HELP = """Search for the best mapping of WORKLOAD on an accelerator.

\b
  einsim map attention --set passes=3 seq=1K --accel flat-cloud --objective energy
  einsim map attention --set seq=4K --accel fusemax-cloud --no-templates
  einsim map attention-3pass --set seq=64K --accel flat-cloud --dataflow flat
  einsim map gemm.yaml --accel tpu-v4i --within 8MiB -o gemm-mapping.yaml
  einsim run gemm.yaml --accel tpu-v4i --mapping gemm-mapping.yaml

A workload that exists as several cascades (attention in 3, 2 or 1 passes) is searched as each of them.
Ctrl-C ends the search with the best mapping so far.
"""


@click.command(cls=SettingsCommand, help=HELP)
@click.argument("workload")
@click.option("--accel", required=True, metavar="ACCEL", help="A preset's name or a machine's YAML file.")
@settings_option
@click.option(
    "--objective", type=Named(get_args(Objective)), default="latency", show_default=True,
    help="What to minimise; pareto lists every mapping that no other beats.",
)  # fmt: skip
@click.option("--within", metavar="BYTES", help="Bytes that may be held on chip at once, such as 8MiB.")
@click.option(
    "--effort", type=Named(get_args(Effort)), default="normal", show_default=True,
    help="How long to search: under a second, seconds, or as long as a proof takes.",
)  # fmt: skip
@click.option(
    "--nodes", type=click.IntRange(min=1),
    help="Partial mappings to look at, at most, instead of the effort's; the same ones on any machine.",
)  # fmt: skip
@click.option("--budget", metavar="TIME", help="Stop after this time too; what is found then may vary.")
@click.option("--workers", type=click.IntRange(min=1), help="Searches at once (default: one a core).")
@click.option("--tiles", type=Named(MENUS), help="Tile sizes to try; the finest that is quick, if not given.")
@click.option("--fuse", type=click.IntRange(min=1), metavar="N", help="Einsums fused at most; 1: no fusion.")
@click.option("--buffers", type=click.IntRange(1, 2), help="Tiles that each keep holds at once.")
@click.option("--keep", multiple=True, metavar="TENSOR=MEMORY", help="Hold a tensor whole in a memory.")
@click.option(
    "--templates/--no-templates",
    default=True,
    show_default=True,
    help="Whether the library's mappings compete with what the search finds.",
)
@click.option("--dataflow", type=Named(open_templates), help="Search what a template leaves open only.")
@click.option(
    "--layouts",
    type=Named(get_args(Layouts)),
    default="full",
    show_default=True,
    help="Layouts that refinement tries on an array: any lets an Einsum use a single row.",
)
@click.option("--space", "only_space", is_flag=True, help="Describe the space and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the mapping as YAML.")
@force_option
def command(
    *,
    workload: str,
    accel: str,
    settings: tuple[str, ...],
    objective: Objective,
    within: str | None,
    effort: Effort,
    nodes: int | None,
    budget: str | None,
    workers: int | None,
    tiles: Menu | None,
    fuse: int | None,
    buffers: int | None,
    keep: tuple[str, ...],
    templates: bool,
    dataflow: str | None,
    layouts: Layouts,
    only_space: bool,
    as_json: bool,
    output: Path | None,
    force: bool,
) -> None:
    """Search, print and write."""
    check_output(output, "a mapping", inputs=(workload, accel), force=force)
    limit = float("inf") if within is None else float(quantity(Bytes, within, "--within"))
    seconds = float("inf") if budget is None else float(quantity(Seconds, budget, "--budget"))
    restricted = tiles is not None or fuse is not None or buffers is not None or bool(keep)
    restricted = restricted or within is not None or budget is not None
    if dataflow is not None and (restricted or objective != "latency"):
        rule = "goes with no other restriction of the space or of time, and with --objective latency"
        raise SpecError("", rule, got=dataflow, where="--dataflow")
    cascades, machine = choices(workload, accel, settings, passes="3" if dataflow == "flat" else None)

    def space(cascade: Cascade) -> MapSpace | None:
        return _space(default_space(cascade, machine, objective, effort), tiles, fuse, buffers, keep)

    if only_space:
        for cascade in cascades:
            if dataflow is not None:
                click.echo(str(TemplateSpace(name=dataflow, cascade=cascade, machine=machine)))
            else:
                click.echo(str(space(cascade) or default_space(cascade, machine, objective, effort)))
        return

    say_compiling()
    report = partial(_tell, objective in ("energy", "edp"))
    with progress():

        def search(cascade: Cascade, beat: float) -> Answer:
            if dataflow is not None:
                return template_mapping(dataflow, cascade, machine, effort=effort, most=nodes)
            return best_mapping(
                cascade, machine, objective, within_bytes=limit, budget_s=seconds, effort=effort, nodes=nodes,
                workers=workers or os.cpu_count() or 1, space=space(cascade), templates=templates,
                layouts=layouts, progress=report, beat=beat,
            )  # fmt: skip

        most = 0 if objective == "pareto" else TILES[effort]
        found = compare(cascades, machine, search, objective, most, once=effort == "quick")
    if output:
        write_text(output, dump_mapping(found.best.mapping))
    if as_json:
        click.echo(json.dumps(_summary(found, objective), indent=2))
    else:
        _print(found, objective)


def _brief(one: Compared) -> dict[str, object]:
    """A cascade of `--json`: its figures, or the bound that left it out."""
    result = None if one.answer is None else one.answer.result
    return {
        "workload": one.cascade.name,
        "latency_s": None if result is None else result.latency_s,
        **({"energy_j": None, "energy_stated_j": None} if result is None else _energy(result)),
        "proven": one.answer is not None and one.answer.proven,
        "latency_bound_s": one.bound_s,
    }


def _beaten(other: Compared) -> str:
    """One line on a cascade that another beats."""
    if other.why:
        return f"{other.cascade.name}: {other.why}"
    if other.answer is None:
        return f"{other.cascade.name}: not searched, since no mapping of it is below {other.bound_s:.4g} s"
    result = other.answer.result
    return f"{other.cascade.name}: {result.latency_s:.4g} s, {energy(result)}"


def quantity(kind: type[Bytes] | type[Seconds], text: str, option: str) -> float:
    """The value of an option with a unit; SpecError that names the option."""
    try:
        return float(kind.parse(text))
    except RuleError as mistake:
        raise SpecError("", mistake.rule, got=text, where=option, hint=mistake.hint) from None


def case(
    workload: str, accel: str, settings: tuple[str, ...], mapping: str = TEMPLATE
) -> tuple[Cascade, Machine]:
    """The cascade and the machine that names and `--set` mean: of several cascades, that of the mapping."""
    source, chosen, machine = _named(workload, accel, settings)
    return cascade_for(mapping if is_file(mapping) else TEMPLATE, source, chosen, machine), machine


def choices(
    workload: str, accel: str, settings: tuple[str, ...], passes: str | None = None
) -> tuple[tuple[Cascade, ...], Machine]:
    """The cascades that a workload may be: each number of passes where none is chosen, or `passes` then."""
    source, chosen, machine = _named(workload, accel, settings)
    if passes and source.leaves_passes_open(chosen):
        chosen[PASSES] = passes
    return source.every(chosen), machine


def _named(
    workload: str, accel: str, settings: tuple[str, ...]
) -> tuple[WorkloadSource, dict[str, object], Machine]:
    """The workload with its own settings, and the machine with its."""
    source = find_workload(workload)
    for_workload, for_machine = split(read_pairs(settings), source.keys, machine_keys(accel))
    return source, for_workload, load_machine(accel, for_machine)


def _space(
    space: MapSpace, tiles: Menu | None, fuse: int | None, buffers: int | None, keep: tuple[str, ...]
) -> MapSpace | None:
    """The space that the options ask for; None where they leave it open."""
    if tiles is None and fuse is None and buffers is None and not keep:
        return None
    held = {}
    for pair in keep:
        tensor, equals, memory = pair.partition("=")
        if not equals:
            raise SpecError("", "must be TENSOR=MEMORY", got=pair, where="--keep")
        held[tensor] = memory
    return MapSpace(
        cascade=space.cascade, machine=space.machine, menu=tiles or space.menu,
        most_fused=fuse or space.most_fused, longest=fuse or space.longest,
        buffers=buffers or space.buffers, keep=held,
    )  # fmt: skip


def _tell(joules: bool, done: int, groups: int, best: tuple[float, float, float] | None) -> None:
    """Say how far a search is, with the best so far; `joules`: with its energy."""
    text = "" if best is None else f", best {best[0]:.3g} s" + (f", {best[1]:.3g} J" if joules else "")
    tell(f"searching groups{text}", done, groups)


def _summary(found: Finals, objective: str) -> dict[str, object]:
    """The object of `--json`."""
    answer, best = found.answer, found.best
    return {
        "workload": best.result.workload,
        "accel": best.result.accel,
        "proven": _proven(found, objective),
        "gap": answer.gap,
        "note": _note(found, objective),
        "latency_s": best.result.latency_s,
        **_energy(best.result),
        "energy_not_stated": best.result.energy_not_stated,
        "buffer_bytes": sum(best.result.buffers.values()),
        "simulated": _simulated(best),
        "nodes": answer.nodes,
        "seconds": answer.seconds,
        "front": [
            {
                "latency_s": result.latency_s,
                **_energy(result),
                "buffer_bytes": sum(result.buffers.values()),
                "mapping": mapping_text(tree),
            }
            for tree, result in answer.front
        ],
        "result": {key: value for key, value in best.result.to_dict().items() if key not in NOT_SEARCHED},
        "mapping": mapping_text(best.mapping),
        "finalists": [
            {
                "workload": one.cascade.name,
                "template": one.mapping.template,
                "latency_s": one.result.latency_s,
                **_energy(one.result),
                "simulated": _simulated(one),
                "status": _status(one),
            }
            for one in found.all
        ],
        "compared": [_brief(one) for one in found.compared],
    }


def _simulated(one: Finalist) -> dict[str, float | None] | None:
    """Figures of a finalist's run; None where it wasn't run to its end."""
    run = one.simulated
    return None if run is None else {"latency_s": run.latency_s, **_energy(run)}


def _status(one: Finalist) -> str:
    if one.simulated is not None:
        return "simulated"
    return "not compared: its run was cut short" if one.cut else "its bound is no better"


def _proven(found: Finals, objective: str) -> bool:
    """Whether the best is what its search proved, or is as good by the bound that was minimised."""
    own, best = found.answer.result, found.best.result
    figures = [
        {"latency": one.latency_s, "energy": one.energy_stated_j}.get(objective) for one in (best, own)
    ]
    as_good = None not in figures and (figures[0] or 0) <= (figures[1] or 0) * (1 + 1e-9)
    return found.answer.proven and (found.best.mapping == found.answer.mapping or as_good)


def _note(found: Finals, objective: str) -> str:
    """The search's note, or why its own best is not taken; with what energies are compared without."""
    best, own = found.best, found.answer
    if best.mapping == own.mapping:
        return own.note
    name = best.mapping.template
    what = f"the template {name}" if name in template_names() else "another mapping that was found"
    why = f"{what} is better as simulated than the best by the bound"
    return "; ".join(one for one in (why, compared_without(best.result, objective)) if one)


def _energy(result: Result) -> dict[str, float | None]:
    return {"energy_j": result.energy_j, "energy_stated_j": result.energy_stated_j}


def _print(found: Finals, objective: str) -> None:
    out = console()
    answer, best = found.answer, found.best
    result = best.simulated or best.result
    held = format_bytes(sum(result.buffers.values()))
    figures = f"{result.latency_s:.4g} s, energy {energy(result)}, {held} on chip"
    out.print(titled(result).append(f": {figures}, bound by {best.result.bottleneck}"))
    if best.simulated is not None:
        out.print(over_bound(best.result, best.simulated))
    elif best.cut:
        out.print("by the bound: not compared, since its run was cut short")
    own = "" if best.mapping == answer.mapping else f" than {answer.result.latency_s:.4g} s"
    sure = "the best found; not proven"
    if answer.gap is None:
        sure = "the best found; how much better anything could be was not worked out"
    elif _proven(found, objective):
        sure = "proven the best of its space by the bound"
    elif answer.gap < 1 and objective not in ("buffer", "pareto"):
        sure = f"the best found; nothing is more than {answer.gap:.1%} better{own} by the bound"
    out.print(
        f"{sure} (tiles '{answer.space.menu}', {answer.nodes} partial mappings, {answer.seconds:.1f} s)"
    )
    if note := _note(found, objective):
        out.print(note)
    if objective == "pareto":
        for _, one in answer.front:
            size = format_bytes(sum(one.buffers.values()))
            out.print(f"  {one.latency_s:.4g} s  {energy(one)}  {size}")
    out.print(mapping_text(best.mapping))
    for other in found.compared[1:]:
        out.print(_beaten(other))
