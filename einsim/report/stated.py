"""Energy, power, rate, and what a machine takes, as any table of results shows them: "not stated" is never 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from einsim.dataflow.result import Result
from einsim.report.quantity import digits, joules, seconds, watts

NOT_STATED = "not stated"


def stated(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    """Rows (name, a cell a result). What is stated of an energy, and what is left out, have rows where one of them isn't
    whole; area and FPGA resources where one of the results states them, area also where none of them states either.
    """
    areas = [result.area_mm2 for result in results]
    resources = [taken(result) for result in results]
    rows = [
        *partly_stated(results),
        ("power", cells([result.power_w for result in results], watts)),
        ("TOPS", cells([result.tops for result in results], digits)),
        ("TOPS/W", cells([result.tops_per_w for result in results], digits)),
    ]
    if any(areas) or not any(resources):
        rows.append(("area", cells(areas, lambda area: f"{digits(area)} mm²")))
    if any(result.area_not_stated for result in results):
        rows.append(("area not stated", [", ".join(result.area_not_stated) or "-" for result in results]))
    if any(resources):
        rows.append(("FPGA resources", [each or NOT_STATED for each in resources]))
    return rows


def evidence_texts(result: Result) -> list[str]:
    """What was measured of such a prediction, a line each; of an old result, that nobody kept it."""
    return [f"evidence: {one}" for one in result.evidence or ("not kept in this result",)]


def partly_stated(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    """The energy as far as it is stated, and the actions of which it isn't; no rows where all of it is."""
    if not any(result.energy_not_stated for result in results):
        return []
    known = [result.energy_stated_j for result in results]
    rows = [("energy stated", cells(known, joules))] if any(part is not None for part in known) else []
    return [*rows, ("energy not stated", [", ".join(each.energy_not_stated) or "-" for each in results])]


def cells(values: Sequence[float | None], shown: Callable[[float], str]) -> list[str]:
    """Each value as it is shown."""
    return [cell(value, shown) for value in values]


def cell(value: float | None, shown: Callable[[float], str]) -> str:
    """A value as it is shown, or that it is not stated."""
    return NOT_STATED if value is None else shown(value)


def energy(result: Result) -> str:
    """`30.9 J`, `not stated`, or `not stated (1.20 mJ without gb write, leakage)`."""
    if result.energy_j is not None:
        return joules(result.energy_j)
    if result.energy_stated_j is None:
        return NOT_STATED
    return f"{NOT_STATED} ({joules(result.energy_stated_j)} without {', '.join(result.energy_not_stated)})"


def taken(result: Result) -> str:
    """`6,333 dsp, 1,200 bram36`; "" where no resources are stated."""
    return ", ".join(f"{count:,} {name}" for name, count in result.resources.items())


def over_bound(bound: Result, run: Result) -> str:
    """A run beside the bound by which its mapping was searched, in a line."""
    parts = [f"{run.latency_s / bound.latency_s - 1:+.1%} on {seconds(bound.latency_s)}"]
    if bound.energy_stated_j and run.energy_stated_j:
        share = run.energy_stated_j / bound.energy_stated_j - 1
        parts.append(f"{share:+.1%} on {joules(bound.energy_stated_j)}")
    return f"simulated; the bound that was searched: {', '.join(parts)}"
