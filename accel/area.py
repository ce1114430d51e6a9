"""Silicon area: parts of one PE times the PEs, and the sum of all components."""

from __future__ import annotations

from collections.abc import Mapping

from einsim.accel.machine import Machine


def component_areas(unit: str, pe_um2: Mapping[str, float], pes: int) -> dict[str, float]:
    """Area in um^2 of each part of a unit of `pes` PEs, under names such as `array2d.mac`."""
    return {f"{unit}.{part}": each_um2 * pes for part, each_um2 in pe_um2.items()}


def total_um2(machine: Machine) -> float:
    """The machine's area in um^2, 0 where no figure is known."""
    return sum(machine.area_um2.values())
