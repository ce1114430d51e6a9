"""A model's parts and phases as tables: on the terminal, and as CSV; the page has the same columns."""

from __future__ import annotations

import csv
import io

import msgspec
from rich.table import Table
from rich.text import Text

from einsim.models.outcome import ModelResult, PartLine
from einsim.report.quantity import count, digits, joules, percent, seconds, size
from einsim.report.stated import cell

PART_COLUMNS = (
    "phase", "part", "x", "latency", "share", "energy", "DRAM traffic", "MACs", "busiest unit", "bottleneck",
    "stays on chip",
)  # fmt: skip
"""Heads of the table of parts, here and on the page."""
COLUMNS = (
    "phase", "part", "count", "steps", "cycles", "latency_s", "share", "energy_j", "energy_stated_j",
    "dram_bytes", "macs", "utilization", "bottleneck", "stays", "saved_bytes",
)  # fmt: skip
"""Of the CSV, as in `run --json`; `utilization` is the busiest unit's, `stays` as in the table."""


def staying_text(line: PartLine) -> str:
    """What stays on chip between a part and others, by memory, and in how many of its pieces."""
    places: dict[tuple[str, int], list[str]] = {}
    for one in line.stays:
        places.setdefault((one.memory, one.count), []).append(one.tensor)
    return ", ".join(
        f"{' '.join(names)} in {memory}" + (f" ({many} of {line.count})" if many < line.count else "")
        for (memory, many), names in places.items()
    )


def kept_text(found: ModelResult) -> str:
    """What stays on chip from part to part, in a line."""
    saved = sum(row.saved_bytes for row in found.rows)
    if not any(row.stays for row in found.rows):
        return (
            "each part reads its inputs and weights from DRAM and leaves its results there: none stay on chip "
            "between"
        )
    without = found.total.dram_bytes + saved
    return (
        f"what stays on chip between parts is named in the table: {size(saved)} less DRAM traffic than the "
        f"{size(without)} without (--set between=dram)"
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
    """The table of parts as CSV, a head and a line a part and phase; empty where a figure isn't stated."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for line in found.part_lines():
        writer.writerow({**msgspec.structs.asdict(line), "utilization": line.busiest[1],
                         "stays": staying_text(line)})  # fmt: skip
    return text.getvalue()


def _table(names: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for name in names:
        numbers = name in {"x", "steps", "tokens", "images", "texts", "inputs", "share", "latency", "MACs"}
        numbers |= name.endswith("s/s")
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    return table
