"""What `einsim run` prints and keeps of a whole model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from rich.text import Text

from einsim.cli.terminal import console, titled
from einsim.models.outcome import ModelResult
from einsim.report.comparison import comparison_table
from einsim.report.parts import kept_text, part_csv, part_table, phase_table
from einsim.report.quantity import count, seconds, size
from einsim.saved import summary, write_saved
from einsim.specs.files import write_text
from einsim.workloads.models.language import DECODE
from einsim.workloads.models.model import WHOLE


def show(found: ModelResult, *, as_json: bool) -> None:
    """One JSON object, or the tables."""
    if as_json:
        click.echo(json.dumps({**summary(found.total), **msgspec.to_builtins(found.tables)}, indent=2))
        return
    out, weight = console(), found.size
    which = "the whole model" if found.part == WHOLE else f"only {found.part} of the model"
    active = (
        f" ({count(weight.active_parameters)} for a token)"
        if weight.active_parameters != weight.parameters
        else ""
    )
    out.print(titled(found.total).append(f": {which}"))
    batch = f", batch of {weight.batch}" if weight.batch != 1 else ""
    cached = f"{size(weight.kv_bytes_per_token)} cached a token, " if weight.kv_bytes_per_token else ""
    out.print(
        f"{count(weight.parameters)} parameters{active}, {size(weight.weight_bytes)} of weights, "
        f"{cached}{weight.layers} {weight.counts}{batch}\n"
    )
    out.print(comparison_table([found.total]))
    out.print("\nphases", style="bold")
    out.print(phase_table(found))
    if found.first_token_s is not None:
        out.print(f"time to first token: {found.first_token_s:.4g} s")
    for line in paces(found):
        out.print(line)
    out.print(fit(found))
    out.print("\nparts", style="bold")
    out.print(part_table(found))
    for line in told(found):
        out.print(Text(line))


def paces(found: ModelResult) -> Iterator[str]:
    """Time from token to token of a phase of several steps, as its cache grows."""
    for one in found.phases:
        if one.steps > 1 and one.phase == DECODE:
            first, mean, last = map(seconds, (one.first_step_s, one.mean_step_s, one.last_step_s))
            yield f"time from token to token: {first} at first, {mean} on average, {last} at last"


def fit(found: ModelResult) -> str:
    """Whether DRAM holds the model, in a line."""
    peak = found.peak
    needs = (
        f"DRAM holds {size(peak.bytes)} at most (in {peak.phase}, {peak.part}): {size(peak.weight_bytes)} "
        f"of weights, {size(peak.kept_bytes)} of caches and states, "
        f"{size(peak.activation_bytes)} of activations"
    )
    if found.fits is None:
        return f"does it fit: not stated, for the machine states no capacity of its DRAM\n{needs}"
    return f"does it fit: {'yes' if found.fits else 'no'}, in {size(found.capacity_bytes or 0)}\n{needs}"


def told(found: ModelResult) -> list[str]:
    """What a reader has to know of the figures, a line each."""
    lines = [kept_text(found)]
    for phase in found.phases:
        judged = max((row for row in found.rows if row.phase == phase.phase), key=lambda row: len(row.judged))
        if phase.steps > len(judged.judged):
            lines.append(
                f"{phase.phase}: {phase.steps:,} steps, judged at {len(judged.judged)} lengths of the cache "
                f"({', '.join(f'{one.length:,}' for one in judged.judged)}); the time of a middle is "
                f"at most {100 * phase.deviation:.3f} % from the line between its ends"
            )
    lines += [f"{row.phase}, {row.part}: {row.note}" for row in found.rows if row.note]
    notes = [note for phase in found.phases for note in phase.notes]
    lines += [f"note: {note}" for note in dict.fromkeys([*notes, *found.total.notes])]
    if found.total.assumed:
        lines.append(f"assumed, no published figure: {', '.join(found.total.assumed)}")
    return lines


def keep(found: ModelResult, path: Path) -> None:
    """The whole result as JSON, or the table of parts where the name ends in .csv."""
    if path.suffix.lower() == ".csv":
        write_text(path, part_csv(found))
    else:
        write_saved(found, path)
