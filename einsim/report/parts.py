"""A model's parts and phases as tables: on the terminal, and as CSV; the page has the same columns."""

from __future__ import annotations

import csv
import io

import msgspec
from rich.table import Table
from rich.text import Text

from einsim.dataflow.result import Result
from einsim.models.outcome import ModelResult, PartLine, busiest
from einsim.report.model_summary import told
from einsim.report.quantity import count, digits, joules, percent, seconds, size
from einsim.report.stated import cell

PART_COLUMNS = (
    "phase", "part", "x", "latency", "share", "energy", "DRAM traffic", "MACs", "busiest unit", "bottleneck",
    "stays on chip",
)  # fmt: skip
"""Heads of the table of parts, here and on the page."""
CSV_COLUMNS = (
    "row", "phase", "part", "count", "steps", "cycles", "latency_s", "share", "energy_j", "energy_stated_j",
    "dram_bytes", "macs", "busiest", "utilization", "bottleneck", "stays", "saved_bytes",
    "tokens", "tokens_per_s", "joules_per_token",
    "fits", "peak_bytes", "dram_capacity_bytes", "parameters", "active_parameters", "weight_bytes",
    "kv_bytes_per_token", "state_bytes", "layers", "batch", "time_to_first_token_s", "notes",
)  # fmt: skip
"""As in `run --json`; `row` is part, phase or all; `utilization` is that of the unit `busiest`, `stays` as in the
table. Tokens are of rows of phases, and from `fits` on all but `notes` is of the last row.
"""


def staying_text(line: PartLine) -> str:
    """What stays on chip between a part and others, by memory, and in how many of its pieces."""
    places: dict[tuple[str, int], list[str]] = {}
    for one in line.stays:
        places.setdefault((one.memory, one.count), []).append(one.tensor)
    return ", ".join(
        f"{' '.join(names)} in {memory}" + (f" ({many} of {line.count})" if many < line.count else "")
        for (memory, many), names in places.items()
    )


def phase_columns(unit: str) -> tuple[str, ...]:
    """Heads of a table of phases that read or make tokens, images or whatever `unit` says."""
    return "phase", "steps", unit, "latency", f"{unit}/s", f"energy/{unit[:-1]}", "DRAM traffic", "bottleneck"


def phase_table(found: ModelResult) -> Table:
    """A line a phase: time, tokens a second, energy a token; images where it is such that it reads."""
    table = _table(phase_columns(found.phases[0].unit))
    for one in found.phases:
        rate = one.tokens_per_s
        table.add_row(
            Text(one.phase, style="bold"), f"{one.steps:,}", f"{one.tokens:,}", seconds(one.result.latency_s),
            "-" if rate is None else digits(rate), cell(one.joules_per_token, joules),
            size(one.result.dram_bytes), one.result.bottleneck,
        )  # fmt: skip
    return table


def part_table(found: ModelResult) -> Table:
    """A line a part and phase, all its pieces and steps together, then their sum."""
    table = _table(PART_COLUMNS)
    whole = found.total
    for line in found.part_lines():
        unit, busy = line.busiest
        table.add_row(
            line.phase, Text(line.part, style="bold"), f"{line.count}", seconds(line.latency_s),
            percent(line.share) if whole.latency_s else "-", cell(line.energy_j, joules),
            size(line.dram_bytes), count(line.macs or 0), f"{unit} {percent(busy)}", line.bottleneck,
            staying_text(line) or "-",
        )  # fmt: skip
    energy = cell(whole.energy_j, joules)
    table.add_row("", Text("all", style="bold"), "", seconds(whole.latency_s), "100 %", energy,
                  size(whole.dram_bytes), count(whole.macs or 0), "", whole.bottleneck, "")  # fmt: skip
    return table


def part_csv(found: ModelResult) -> str:
    """The table of parts as CSV: a line a part and phase, one a phase, one of all with the model's facts.

    Empty where a figure isn't stated or isn't of that kind of row.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for line in found.part_lines():
        unit, busy = line.busiest
        writer.writerow({"row": "part", **msgspec.structs.asdict(line), "busiest": unit, "utilization": busy,
                         "stays": staying_text(line), "notes": line.note})  # fmt: skip
    facts, whole = found.facts(), found.total
    for phase, cost in zip(found.phase_lines(), found.phases, strict=True):
        share = phase.latency_s / whole.latency_s if whole.latency_s else 0.0
        saved = sum(row.saved_bytes for row in found.rows if row.phase == phase.phase)
        writer.writerow({**_sum_cells(cost.result), **msgspec.structs.asdict(phase), "row": "phase",
                         "part": "all", "share": share, "saved_bytes": saved,
                         "notes": "; ".join(cost.notes)})  # fmt: skip
    fits = "" if facts.fits is None else str(facts.fits).lower()
    writer.writerow({**msgspec.structs.asdict(facts), **_sum_cells(whole), "row": "all", "phase": "all",
                     "part": facts.part, "share": 1.0 if whole.latency_s else 0.0, "fits": fits,
                     "saved_bytes": facts.stays_saved_bytes, "notes": "; ".join(told(whole, found.tables))
                     })  # fmt: skip
    return text.getvalue()


def _sum_cells(result: Result) -> dict[str, object]:
    """The figures of a sum of parts, as a line of a part has them."""
    unit, busy = busiest(result.utilization)
    return {
        "cycles": result.cycles, "latency_s": result.latency_s, "energy_j": result.energy_j,
        "energy_stated_j": result.energy_stated_j, "dram_bytes": result.dram_bytes, "macs": result.macs,
        "busiest": unit, "utilization": busy, "bottleneck": result.bottleneck,
    }  # fmt: skip


def _table(names: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for name in names:
        numbers = name in {"x", "steps", "tokens", "images", "texts", "inputs", "share", "latency", "MACs"}
        numbers |= name.endswith("s/s")
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    return table
