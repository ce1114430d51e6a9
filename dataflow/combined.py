"""Results that follow each other as one: what several runs cost, each taken so many times."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import partial

import msgspec

from einsim.dataflow.result import EinsumCost, Result

Times = Sequence[tuple[Result, int | Fraction]]
"""Results of one machine and level, each with how often it is taken; shares of a run add up to whole ones."""
NO_WORK = "dependency"
"""What a unit that a run doesn't use waits for: a dependency on nothing (`einsim.sim.breakdown`)."""


def combined(runs: Times, *, workload: str, mapping: str = "") -> Result:
    """One after the other, nothing kept on chip between: cycles, time, energy, bytes and stalls add up.

    A unit's utilisation is its mean over the time, `buffers` are the fullest, and the bottleneck is what most
    of the time is bound by. Einsums of one name are added up. Whole figures of shares of runs are rounded so
    that their tables still add up. Raises ValueError without a run.
    """
    if not runs:
        raise ValueError("nothing to combine")
    first = runs[0][0]
    cycles = round(sum(times * run.cycles for run, times in runs))
    busy = _sums(runs, lambda run: {unit: share * run.cycles for unit, share in run.utilization.items()})
    by_unit = _by_unit(runs, "breakdown_by_unit")
    stalls = _by_unit(runs, "stalls_by_unit")
    working = {unit: cycles - sum(lost.values()) for unit, lost in stalls.items()}
    critical = max(working, key=lambda unit: working[unit], default="")
    bound = _sums(runs, lambda run: {run.bottleneck: run.latency_s})
    macs = [run.macs for run, _ in runs]
    return Result(
        workload=workload, accel=first.accel, level=first.level, mapping=mapping, cycles=cycles,
        latency_s=math.fsum(float(times) * run.latency_s for run, times in runs),
        dram_bytes=round(sum(times * run.dram_bytes for run, times in runs)),
        utilization={unit: min(1.0, float(value) / max(1, cycles)) for unit, value in busy.items()},
        stalls=stalls.get(critical, {}), stalls_by_unit=stalls, breakdown_by_unit=by_unit,
        energy_by=_energies(runs, lambda run: run.energy_by),
        energy_not_stated=_distinct(run.energy_not_stated for run, _ in runs),
        energy_beside=_energies(runs, lambda run: run.energy_beside),
        traffic=_tables(runs, "traffic"), moved_bytes=_tables(runs, "moved_bytes"),
        bottleneck=max(bound, key=lambda name: bound[name]),
        bound_by={name: round(value) for name, value in _sums(runs, lambda run: run.bound_by).items()},
        by_einsum=_einsums(runs),
        buffers={name: max(run.buffers.get(name, 0) for run, _ in runs) for name in _names(runs, "buffers")},
        notes=_distinct(run.notes for run, _ in runs),
        assumed=_distinct(run.assumed for run, _ in runs),
        macs=None if None in macs else round(sum(times * (run.macs or 0) for run, times in runs)),
        area_um2=first.area_um2, area_not_stated=first.area_not_stated, resources=first.resources,
    )  # fmt: skip


def _sums(runs: Times, of: Callable[[Result], Mapping[str, float]]) -> dict[str, float | Fraction]:
    """Each name's values times how often, exactly where they are whole."""
    found: dict[str, float | Fraction] = {}
    for run, times in runs:
        for name, value in of(run).items():
            taken = times * value if isinstance(value, int) else float(times) * value
            found[name] = found.get(name, 0) + taken
    return found


def _energies(runs: Times, of: Callable[[Result], Mapping[str, float]]) -> dict[str, float]:
    return {name: float(value) for name, value in _sums(runs, of).items()}


def _whole(values: Mapping[str, float | Fraction]) -> dict[str, int]:
    """The values as whole numbers that add up to their sum, rounded (largest remainder)."""
    found = {name: math.floor(value) for name, value in values.items()}
    rest = round(sum(values.values())) - sum(found.values())
    for name in sorted(values, key=lambda name: found[name] - values[name])[:rest]:
        found[name] += 1
    return found


def _names(runs: Times, field: str) -> dict[str, None]:
    return dict.fromkeys(name for run, _ in runs for name in getattr(run, field))


def _tables(runs: Times, field: str) -> dict[str, dict[str, int]]:
    """Sums of a table by name and name."""

    def row(name: str, run: Result) -> Mapping[str, int]:
        found: Mapping[str, int] = getattr(run, field).get(name, {})
        return found

    return {name: _whole(_sums(runs, partial(row, name))) for name in _names(runs, field)}


def _by_unit(runs: Times, field: str) -> dict[str, dict[str, int]]:
    """Lost cycles of every unit by reason; where a run has no such unit, all of it is lost to no work."""
    absent = f"{NO_WORK}:" if field == "breakdown_by_unit" else NO_WORK

    def lost(unit: str, run: Result) -> Mapping[str, int]:
        found: Mapping[str, int] = getattr(run, field).get(unit, {absent: run.cycles})
        return found

    found = {}
    for unit in _names(runs, field):
        whole = _whole(_sums(runs, partial(lost, unit)))
        found[unit] = {name: cycles for name, cycles in whole.items() if cycles} or whole
    return found


def _einsums(runs: Times) -> dict[str, EinsumCost]:
    """Costs by Einsum; two parts' Einsums of one name are one line."""
    found: dict[str, EinsumCost] = {}
    for run, times in runs:
        for name, cost in run.by_einsum.items():
            scaled = msgspec.structs.replace(
                cost, cycles=round(times * cost.cycles), points=round(times * cost.points),
                energy_stated_j=None
                if cost.energy_stated_j is None
                else float(times) * cost.energy_stated_j,
            )  # fmt: skip
            found[name] = _added(found[name], scaled) if name in found else scaled
    return found


def _added(one: EinsumCost, other: EinsumCost) -> EinsumCost:
    stated = [cost.energy_stated_j for cost in (one, other) if cost.energy_stated_j is not None]
    return EinsumCost(
        unit=", ".join(dict.fromkeys((*one.unit.split(", "), other.unit))),
        cycles=one.cycles + other.cycles, points=one.points + other.points,
        energy_stated_j=math.fsum(stated) if stated else None,
        energy_not_stated=_distinct((one.energy_not_stated, other.energy_not_stated)),
    )  # fmt: skip


def _distinct(lists: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in lists for name in names))
