"""Results side by side on the terminal: what it costs, who sets the pace, where time, energy and bytes go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

from msgspec import Meta
from rich.console import Console
from rich.table import Table
from rich.text import Text

from einsim.dataflow.result import Result
from einsim.report.quantity import count, joules, percent, seconds, size, times
from einsim.report.stated import NOT_STATED, stated
from einsim.sim.breakdown import by_unit

# Lines of a breakdown that are shown; smaller ones are summed in one more line.
MOST_LINES = 8


WIDEST = 160
"""Columns of the text: what does not fit is wrapped."""


def comparison(results: Annotated[Sequence[Result], Meta(min_length=1)], *, styled: bool = False) -> str:
    """Results side by side as text: figures, where time, energy and bytes go; `styled` for a terminal in colour."""
    out = Console(
        width=WIDEST,
        force_terminal=styled,
        highlight=False,
        markup=False,
        emoji=False,
        color_system="standard" if styled else None,
    )
    with out.capture() as lines:
        out.print(comparison_table(results))
    return "".join(f"{line.rstrip()}\n" for line in lines.get().splitlines())


def comparison_table(results: Sequence[Result]) -> Table:
    """One column a result; with two or more, each figure of which less is better says how it compares."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_header=True, header_style="bold")
    table.add_column("")
    for result in results:
        table.add_column(result.accel)
    for name, cells in figures(results):
        table.add_row(name, *cells)
    cycles = [float(result.cycles) for result in results]
    if len(results) > 1:  # one result has its whole table of where the time went
        breakdown(table, "bottleneck waits", [stalls(result) for result in results], count_cycles, cycles)
    breakdown(table, "energy", [result.energy_by for result in results], joules)
    for memory in dict.fromkeys(memory for result in results for memory in result.traffic):
        moved = [dict[str, float](result.traffic.get(memory, {})) for result in results]
        breakdown(table, f"traffic {memory}", moved, size)
    return table


def figures(results: Sequence[Result]) -> list[tuple[str, list[str | Text]]]:
    """The rows of single figures."""
    rows: list[tuple[str, list[str | Text]]] = [
        ("latency", compared([result.latency_s for result in results], seconds)),
        ("cycles", [f"{result.cycles:,}" for result in results]),
        ("energy", compared([result.energy_j for result in results], joules)),
        *((name, list[str | Text](cells)) for name, cells in stated(results)),
        ("DRAM traffic", compared([float(result.dram_bytes) for result in results], size)),
        ("bottleneck", [Text(result.bottleneck, style="bold") for result in results]),
    ]
    for unit in dict.fromkeys(unit for result in results for unit in result.utilization):
        rows.append((f"{unit} busy", [meter(result.utilization.get(unit)) for result in results]))
    rows.append(("judged by", [LEVELS.get(result.level, result.level) for result in results]))
    return rows


def where_time_went(result: Result) -> Table:
    """Every cycle of every unit by reason; each unit's lines add up to all cycles and to 100 %."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_header=False)
    for justify in ("left", "left", "right", "right"):
        table.add_column(justify=justify)
    for unit, lines in by_unit(result).items():
        for at, (reason, cycles, share) in enumerate(lines):
            table.add_row("" if at else unit, reason, f"{cycles:,}", Text(share, style="dim"))
        table.add_row("", Text("all", style="bold"), f"{result.cycles:,}", Text("100.00 %", style="dim"))
    return table


LEVELS = {
    "analytical": "analytical model",
    "sim": "cycle-level simulation",
    "kernel": "model of a GPU's kernels",
}


def compared(values: Sequence[float | None], shown: Callable[[float], str]) -> list[str | Text]:
    """Each value; the least is green, the others say how many times more they are."""
    least = min((value for value in values if value is not None), default=0.0)
    cells: list[str | Text] = []
    for value in values:
        if value is None:
            cells.append(NOT_STATED)
            continue
        cell = Text(shown(value), style="bold")
        if len(values) > 1 and value == least:
            cell.stylize("green")
        elif len(values) > 1 and least > 0:
            cell.append(f"  {times(value / least)}", style="dim not bold")
        cells.append(cell)
    return cells


def meter(value: float | None, width: int = 20) -> Text:
    """A utilisation as a bar of eighths with its percentage."""
    if value is None:
        return Text("-", style="dim")
    eighths = round(min(max(value, 0.0), 1.0) * width * 8)
    full, part = divmod(eighths, 8)
    drawn = "█" * full + (" ▏▎▍▌▋▊▉"[part] if part else "")
    return Text.assemble((drawn, "blue"), ("·" * (width - len(drawn)), "dim"), f" {percent(value)}")


def count_cycles(value: float) -> str:
    """`1.20 M cycles`."""
    return f"{count(value)} cycles"


def stalls(result: Result) -> dict[str, float]:
    """The bottleneck's stall cycles by cause, the causes that cost nothing left out."""
    return {cause: float(cycles) for cause, cycles in result.stalls.items() if cycles}


def breakdown(
    table: Table,
    title: str,
    parts: Sequence[Mapping[str, float]],
    shown: Callable[[float], str],
    wholes: Sequence[float] | None = None,
) -> None:
    """Rows for one breakdown: a heading, then the parts from the largest down, each with its share of the
    whole, which is the parts' sum unless given.
    """
    names = dict.fromkeys(name for part in parts for name in part)
    ordered = sorted(names, key=lambda name: -max(part.get(name, 0) for part in parts))
    if not ordered:
        return
    table.add_row(Text(title, style="bold"))
    totals = wholes or [sum(part.values()) for part in parts]
    for name in ordered[:MOST_LINES]:
        table.add_row(
            f"  {name}",
            *(cell(part.get(name), total, shown) for part, total in zip(parts, totals, strict=True)),
        )
    rest = ordered[MOST_LINES:]
    if rest:
        sums = [sum(part.get(name, 0) for name in rest) for part in parts]
        table.add_row(
            f"  {len(rest)} more",
            *(cell(value, total, shown) for value, total in zip(sums, totals, strict=True)),
        )


def cell(value: float | None, total: float, shown: Callable[[float], str]) -> Text:
    """A part with its share of the total; a dash where a result has no such part."""
    if value is None:
        return Text("-", style="dim")
    return Text.assemble(shown(value), (f"  {percent(value / total)}" if total else "", "dim"))
