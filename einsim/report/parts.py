"""A model's parts and phases as tables: on the terminal, and as CSV."""

from __future__ import annotations

import csv
import io

import msgspec
from rich.table import Table
from rich.text import Text

from einsim.models.outcome import ModelResult, PartCost
from einsim.report.quantity import count, digits, joules, percent, seconds, size
from einsim.report.stated import NOT_STATED

KEPT = (
    "each part reads its inputs and weights from DRAM and leaves its results there: none stay on chip between"
)
"""What stays on chip from part to part."""
COLUMNS = (
    "phase", "part", "count", "steps", "cycles", "latency_s", "share", "energy_j", "energy_stated_j",
    "dram_bytes", "macs", "utilization", "bottleneck",
)  # fmt: skip
"""Of the CSV, as in `run --json`; `utilization` is the busiest unit's."""


def phase_table(found: ModelResult) -> Table:
    """A line a phase: time, tokens a second, energy a token; images where it is such that it reads."""
    unit = found.phases[0].unit
    table = _table((
        "phase", "steps", unit, "latency", f"{unit}/s", f"energy/{unit[:-1]}", "DRAM traffic", "bottleneck",
    ))  # fmt: skip
    for one in found.phases:
        rate, spent = one.tokens_per_s, one.joules_per_token
        table.add_row(
            Text(one.phase, style="bold"), f"{one.steps:,}", f"{one.tokens:,}", seconds(one.result.latency_s),
            "-" if rate is None else digits(rate), NOT_STATED if spent is None else joules(spent),
            size(one.result.dram_bytes), one.result.bottleneck,
        )  # fmt: skip
    return table


def part_table(found: ModelResult) -> Table:
    """A line a part and phase, all its pieces and steps together, then their sum."""
    table = _table((
        "phase", "part", "x", "latency", "share", "energy", "DRAM traffic", "MACs", "busiest unit", "bottleneck",
    ))  # fmt: skip
    whole = found.total
    for row, line in zip(found.rows, found.part_lines(), strict=True):
        unit, busy = line.busiest
        table.add_row(
            row.phase, Text(row.part, style="bold"), f"{row.count}", seconds(row.result.latency_s),
            percent(row.result.latency_s / whole.latency_s) if whole.latency_s else "-", _energy(row),
            size(row.result.dram_bytes), count(row.result.macs or 0), f"{unit} {percent(busy)}",
            row.result.bottleneck,
        )  # fmt: skip
    spent = NOT_STATED if whole.energy_j is None else joules(whole.energy_j)
    table.add_row("", Text("all", style="bold"), "", seconds(whole.latency_s), "100 %", spent,
                  size(whole.dram_bytes), count(whole.macs or 0), "", whole.bottleneck)  # fmt: skip
    return table


def part_csv(found: ModelResult) -> str:
    """The table of parts as CSV, a head and a line a part and phase; empty where a figure isn't stated."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for line in found.part_lines():
        writer.writerow({**msgspec.structs.asdict(line), "utilization": line.busiest[1]})
    return text.getvalue()


def _energy(row: PartCost) -> str:
    return NOT_STATED if row.result.energy_j is None else joules(row.result.energy_j)


def _table(names: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for name in names:
        numbers = name in {"x", "steps", "tokens", "images", "texts", "inputs", "share", "latency", "MACs"}
        numbers |= name.endswith("s/s")
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    return table
