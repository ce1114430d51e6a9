"""The tables of the report: the cases side by side, traffic by tensor, and where every figure comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from einsim.accel.machine import Machine
from einsim.dataflow.result import Result
from einsim.models.outcome import ModelTables, busiest
from einsim.report.case import Case, NotAtHand
from einsim.report.markup import table, text
from einsim.report.model_summary import summary_rows, told
from einsim.report.parts import PART_COLUMNS, phase_columns, staying_text
from einsim.report.quantity import count, digits, joules, percent, seconds, size, times
from einsim.report.stated import NOT_STATED, cells, stated
from einsim.sim.breakdown import by_unit


def summary(cases: Sequence[Case]) -> str:
    """One column a case; the best figure of a row is marked, and later columns say how they compare to the first."""
    rows: list[tuple[str, list[str]]] = [
        ("Latency", compared([case.result.latency_s for case in cases], seconds)),
        ("Cycles", [count(case.result.cycles) for case in cases]),
        ("Energy", compared([case.result.energy_j for case in cases], joules)),
        (
            "Energy-delay product",
            compared([product(case) for case in cases], lambda value: f"{joules(value)}·s"),
        ),
        *(
            (name[0].upper() + name[1:], [text(cell) for cell in row])
            for name, row in stated([case.result for case in cases])
        ),
        ("DRAM traffic", compared([float(case.result.dram_bytes) for case in cases], size)),
        ("Bottleneck", [f"<b>{text(case.result.bottleneck)}</b>" for case in cases]),
    ]
    for unit in dict.fromkeys(unit for case in cases for unit in case.result.utilization):
        rows.append((f"{unit} busy", [meter(case.result.utilization.get(unit)) for case in cases]))
    rows.append(("Judged by", [text(LEVELS.get(case.result.level, case.result.level)) for case in cases]))
    head = ["", *(case.label for case in cases)]
    return table(head, [[text(name), *cells] for name, cells in rows], kind="summary")


LEVELS = {
    "analytical": "analytical model (a lower bound)",
    "sim": "cycle-level simulation",
    "kernel": "model of a GPU's kernels",
}


def product(case: Case) -> float | None:
    """Energy times latency, J·s; None where some of the energy isn't stated."""
    return None if case.result.energy_j is None else case.result.energy_j * case.result.latency_s


def compared(values: Sequence[float | None], shown: Callable[[float], str]) -> list[str]:
    """Each value, less is better; the least is marked, and the others say how many times more they are."""
    least = min((value for value in values if value is not None), default=0.0)
    cells = []
    for value in values:
        if value is None:
            cells.append(NOT_STATED)
        elif len(values) > 1 and value == least:
            cells.append(f'<b class="best">{text(shown(value))}</b>')
        elif len(values) > 1 and least > 0:
            cells.append(f'{text(shown(value))} <span class="muted">{times(value / least)}</span>')
        else:
            cells.append(f"<b>{text(shown(value))}</b>")
    return cells


def meter(value: float | None) -> str:
    """A utilisation with a small bar; a dash where the machine has no such unit."""
    if value is None:
        return '<span class="muted">–</span>'
    width = min(100.0, 100 * value)
    return f'<span class="meter"><i style="width:{width:.1f}%"></i></span> {percent(value)}'


def model_summary(cases: Sequence[Case]) -> str:
    """Of each model what it weighs, whether it fits and its paces, one column a case; then its notes."""
    found = [(case, summary_rows(case.tables), case.tables) for case in cases if case.tables]
    if not found:
        return ""
    names = dict.fromkeys(name for _, rows, _ in found for name in rows)
    head = ["", *(case.label for case, _, _ in found)]
    made = table(
        head, [[text(name), *(text(rows.get(name, "–")) for _, rows, _ in found)] for name in names],
        kind="summary",
    )  # fmt: skip
    for case, _, tables in found:
        title = f"<h3>{text(case.label)}</h3>" if len(found) > 1 else ""
        made += f"{title}<ul>{''.join(f'<li>{text(line)}</li>' for line in told(case.result, tables))}</ul>"
    return made


def parts(cases: Sequence[Case]) -> str:
    """Of each model its phases and its parts; a click on a column's head sorts by it."""
    made = [
        f"<h3>{text(case.label)}</h3>{_phases(case.tables)}{_parts(case.tables, case.result)}"
        for case in cases
        if case.tables
    ]
    return "".join(made) + (SORTING if made else "")


SORTING = """<script>
document.querySelectorAll("table.sortable th").forEach(head => head.addEventListener("click", () => {
  const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
  const up = head.dataset.up !== "1"; head.dataset.up = up ? "1" : "0";
  const value = row => row.cells[column].querySelector("data")?.value ?? row.cells[column].textContent;
  const order = (a, b) => isNaN(a) || isNaN(b) ? String(a).localeCompare(b) : a - b;
  [...body.rows].sort((a, b) => (up ? 1 : -1) * order(value(a), value(b))).forEach(row => body.append(row));
}));
</script>"""


def _phases(tables: ModelTables) -> str:
    rows = [
        [
            text(row.phase), f"{row.steps:,}", f"{row.tokens:,}", _figure(row.latency_s, seconds),
            _figure(row.tokens_per_s, digits), _figure(row.joules_per_token, joules),
            _figure(row.dram_bytes, size), text(row.bottleneck),
        ]
        for row in tables.phases
    ]  # fmt: skip
    return table(phase_columns(tables.phases[0].unit), rows, kind="phases")


def _parts(tables: ModelTables, whole: Result) -> str:
    rows = []
    for row in tables.parts:
        rows.append([
            text(row.phase), text(row.part), _figure(row.count, str),
            _figure(row.latency_s, seconds), _figure(row.share, percent),
            _figure(row.energy_j, joules), _figure(row.dram_bytes, size),
            _figure(row.macs, count), _busiest(row.busiest), text(row.bottleneck),
            text(staying_text(row) or "-"),
        ])  # fmt: skip
    share = percent(1.0) if whole.latency_s else "-"
    every = [
        "", "all", "", seconds(whole.latency_s), share, cells([whole.energy_j], joules)[0],
        size(whole.dram_bytes), count(whole.macs or 0), _busiest(busiest(whole.utilization)),
        text(whole.bottleneck), "",
    ]  # fmt: skip
    return table(PART_COLUMNS, rows, kind="parts sortable", foot=[[f"<b>{one}</b>" for one in every]])


def _busiest(found: tuple[str, float]) -> str:
    """A unit and its share, by which a column is sorted."""
    unit, busy = found
    return f'<data value="{busy!r}">{text(unit)} {percent(busy)}</data>'


def _figure(value: float | None, shown: Callable[[float], str]) -> str:
    """A figure that a column is sorted by, as it is read."""
    return text(NOT_STATED) if value is None else f'<data value="{value!r}">{text(shown(value))}</data>'


def traffic(case: Case) -> str:
    """Bytes moved at each memory for each tensor, the largest first, with bars on one scale a memory."""
    rows = []
    for memory, tensors in case.result.traffic.items():
        total = sum(tensors.values())
        rows.append([f"<b>{text(memory)}</b>", "", f"<b>{size(total)}</b>", ""])
        for tensor, moved in sorted(tensors.items(), key=lambda item: (-item[1], item[0])):
            share = moved / total if total else 0.0
            scale = f'<span class="meter"><i style="width:{100 * share:.1f}%"></i></span>'
            rows.append(["", text(tensor), size(moved), f"{scale} {percent(share)}"])
    return table(["memory", "tensor", "moved", "share"], rows, kind="traffic")


def einsums(case: Case) -> str:
    """What each Einsum took: its unit, points, cycles and energy; with what is no Einsum's, energies add up."""
    rows = [
        [
            text(name),
            text(each.unit),
            count(each.points),
            count(each.cycles),
            percent(each.cycles / case.result.cycles if case.result.cycles else 0.0),
            cells([each.energy_j], joules)[0],
        ]
        for name, each in case.result.by_einsum.items()
    ]
    rows += [[text(name), "", "", "", "", joules(each)] for name, each in case.result.energy_beside.items()]
    if rows and case.result.energy_not_stated:
        without = f"without {text(', '.join(case.result.energy_not_stated))}"
        rows.append(
            [
                "<b>all that is stated</b>",
                without,
                "",
                "",
                "",
                cells([case.result.energy_stated_j], joules)[0],
            ]
        )
    elif rows:
        rows.append(["<b>all</b>", "", "", "", "", f"<b>{cells([case.result.energy_j], joules)[0]}</b>"])
    return table(["Einsum", "unit", "points", "busy cycles", "of the run", "energy"], rows, kind="einsums")


def where_time_went(case: Case) -> str:
    """Every cycle of every unit by reason; nothing where a result doesn't say."""
    rows = []
    for unit, lines in by_unit(case.result, most=1000).items():
        rows += [
            [f"<b>{text(unit)}</b>" if at == 0 else "", text(reason), f"{cycles:,}", text(share)]
            for at, (reason, cycles, share) in enumerate(lines)
        ]
        rows.append(["", "<b>all</b>", f"<b>{case.result.cycles:,}</b>", "<b>100.00 %</b>"])
    return table(["unit", "", "cycles", "share"], rows, kind="where") if rows else ""


def provenance(case: Case) -> str:
    """Where the machine's figures come from; assumed ones are labelled."""
    if isinstance(case.machine, NotAtHand):
        return '<p class="lead">The machine\'s file was not at hand, so its sources are not shown.</p>'
    own = (
        case.machine.assumed if isinstance(case.machine, Machine) else ()
    )  # a GPU's sources say it themselves
    assumed = dict.fromkeys((*own, *case.result.assumed))
    rows = [[f"<code>{text(path)}</code>", text(source)] for path, source in case.machine.sources.items()]
    rows += [
        [f"<code>{text(path)}</code>", '<span class="tag">assumed</span> no published figure was found']
        for path in assumed
        if path not in case.machine.sources
    ]
    if not rows:
        return "<p class=\"lead\">This machine's file cites no sources: every figure is its author's.</p>"
    return table(["figure", "source"], rows, kind="sources")
