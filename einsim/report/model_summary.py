"""What is said of a model beside its tables: what it weighs, whether it fits, its paces, notes.

The text of `einsim run` and the page are made of the same lines.
"""

from __future__ import annotations

from collections.abc import Iterator

from einsim.dataflow.result import Result
from einsim.models.outcome import ModelTables
from einsim.report.quantity import count, digits, joules, seconds, size
from einsim.report.stated import cell, evidence_texts
from einsim.workloads.models.language import DECODE
from einsim.workloads.models.model import WHOLE


def which_text(tables: ModelTables) -> str:
    """Whether these are figures of the whole model."""
    return "the whole model" if tables.part == WHOLE else f"only {tables.part} of the model"


def parameters_text(tables: ModelTables) -> str:
    """How many values were learnt, and how many of them a token meets."""
    facts = tables.model
    routed = facts.active_parameters != facts.parameters
    return count(facts.parameters) + (f" ({count(facts.active_parameters)} for a token)" if routed else "")


def weight_text(tables: ModelTables) -> str:
    """What the model weighs, in a line."""
    facts = tables.model
    cached = f"{size(facts.kv_bytes_per_token)} cached a token, " if facts.kv_bytes_per_token else ""
    parameters = parameters_text(tables).replace(" (", " parameters (", 1)
    parameters += "" if "(" in parameters else " parameters"
    batch = f", batch of {facts.batch}" if facts.batch != 1 else ""
    return (
        f"{parameters}, {size(facts.weight_bytes)} of weights, {cached}{facts.layers} {facts.counts}{batch}"
    )


def fit_text(tables: ModelTables) -> str:
    """The answer to "does it fit", with the bytes that there are."""
    facts = tables.model
    if facts.fits is None or facts.dram_capacity_bytes is None:
        return "not stated, for the machine states no capacity of its DRAM"
    return f"{'yes' if facts.fits else 'no'}, in {size(facts.dram_capacity_bytes)}"


def held_text(tables: ModelTables) -> str:
    """What DRAM holds at its fullest, and when."""
    facts = tables.model
    return (
        f"{size(facts.peak_bytes)} at most (in {facts.peak_at}): {size(facts.weight_bytes)} "
        f"of weights, {size(facts.peak_kept_bytes)} of caches and states, "
        f"{size(facts.peak_activation_bytes)} of activations"
    )


def first_token_text(tables: ModelTables) -> str:
    """Time until the last prompt is read; "" where none is."""
    first_s = tables.model.time_to_first_token_s
    return "" if first_s is None else f"{first_s:.4g} s"


def pace_texts(tables: ModelTables) -> Iterator[str]:
    """Time from token to token of a phase of several steps, as its cache grows."""
    for one in tables.phases:
        if one.steps > 1 and one.phase == DECODE:
            first, mean, last = map(seconds, (one.first_step_s, one.mean_step_s, one.last_step_s))
            yield f"{first} at first, {mean} on average, {last} at last"


def kept_text(result: Result, tables: ModelTables) -> str:
    """What stays on chip from part to part, in a line."""
    saved = tables.model.stays_saved_bytes
    if not any(line.stays for line in tables.parts):
        return (
            "each part reads its inputs and weights from DRAM and leaves its results there: none stay on chip "
            "between"
        )
    without = result.dram_bytes + saved
    return (
        f"what stays on chip between parts is named in the table: {size(saved)} less DRAM traffic than the "
        f"{size(without)} without (--set between=dram)"
    )


def told(result: Result, tables: ModelTables) -> list[str]:
    """What a reader has to know of the figures, a line each."""
    lines = [kept_text(result, tables)]
    for phase in tables.phases:
        judged = max(
            (line.lengths for line in tables.parts if line.phase == phase.phase), key=len, default=()
        )
        if phase.steps > len(judged):
            lines.append(
                f"{phase.phase}: {phase.steps:,} steps, judged at {len(judged)} lengths of the cache "
                f"({', '.join(f'{one:,}' for one in judged)}); the time of a middle is "
                f"at most {100 * phase.most_from_linear:.3f} % from the line between its ends"
            )
    lines += [f"{line.phase}, {line.part}: {line.note}" for line in tables.parts if line.note]
    lines += [f"note: {note}" for note in result.notes]
    lines += evidence_texts(result)
    if result.assumed:
        lines.append(f"assumed, no published figure: {', '.join(result.assumed)}")
    return lines


def summary_rows(tables: ModelTables) -> dict[str, str]:
    """The summary by name, a row each, of which some models lack some."""
    facts = tables.model
    rows = {
        "Judged": which_text(tables), "Parameters": parameters_text(tables),
        "Weights": size(facts.weight_bytes),
        "Cached a token": size(facts.kv_bytes_per_token) if facts.kv_bytes_per_token else "",
        "State": size(facts.state_bytes) if facts.state_bytes else "",
        facts.counts.capitalize(): f"{facts.layers:,}", "Batch": f"{facts.batch:,}",
        "Does it fit": fit_text(tables), "DRAM holds": held_text(tables),
        "Time to first token": first_token_text(tables), "From token to token": "; ".join(pace_texts(tables)),
    }  # fmt: skip
    for one in tables.phases:
        rate = one.tokens_per_s
        rows[f"{one.unit.capitalize()}/s, {one.phase}"] = "-" if rate is None else digits(rate)
        rows[f"Energy/{one.unit[:-1]}, {one.phase}"] = cell(one.joules_per_token, joules)
    return {name: shown for name, shown in rows.items() if shown}
