"""Power, rate, and what a machine takes, as rows of any table of results: "not stated" is never 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from einsim.dataflow.result import Result
from einsim.report.quantity import digits, joules, watts

NOT_STATED = "not stated"


def stated(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    """Rows (name, a cell a result). Area and FPGA resources have a row where one of the results states them; area
    also where none of them states either.
    """
    areas = [result.area_mm2 for result in results]
    resources = [taken(result) for result in results]
    rows = [
        ("power", cells([result.power_w for result in results], watts)),
        ("TOPS", cells([result.tops for result in results], digits)),
        ("TOPS/W", cells([result.tops_per_w for result in results], digits)),
    ]
    if any(areas) or not any(resources):
        rows.append(("area", cells(areas, lambda area: f"{digits(area)} mm²")))
    if any(resources):
        rows.append(("FPGA resources", [each or NOT_STATED for each in resources]))
    return rows


def energies(results: Sequence[Result]) -> list[float | None]:
    """Energies in J, None where the machine states none."""
    return [result.energy_j or None for result in results]


def cells(values: Sequence[float | None], shown: Callable[[float], str]) -> list[str]:
    """Each value as it is shown."""
    return [NOT_STATED if value is None else shown(value) for value in values]


def energy(result: Result) -> str:
    """A result's energy."""
    return cells(energies([result]), joules)[0]


def taken(result: Result) -> str:
    """`6,333 dsp, 1,200 bram36`; "" where no resources are stated."""
    return ", ".join(f"{count:,} {name}" for name, count in result.resources.items())
