"""What starting a run costs, put to the parts that run, once a step of a phase; when the next begins."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TypeVar

import msgspec

from einsim.accel.gpu.machine import Gpu
from einsim.accel.machine import LEAKAGE, Machine
from einsim.dataflow.analytical import DISPATCH
from einsim.dataflow.result import Result

Figure = TypeVar("Figure", int, float)


def run_s(machine: Machine | Gpu) -> float:
    """Seconds that starting a run takes; a GPU's kernels have theirs in their own times."""
    return machine.run_cycles / machine.clock_hz if isinstance(machine, Machine) else 0.0


def of_parts(machine: Machine | Gpu) -> Machine | Gpu:
    """The machine that parts of a run are judged on: starting the run is none of theirs."""
    if not isinstance(machine, Machine) or not machine.run_cycles:
        return machine
    return msgspec.structs.replace(
        machine,
        dispatch=msgspec.structs.replace(machine.dispatch, run_cycles=0),
        launch=msgspec.structs.replace(machine.launch, first_touch_s=0.0),
    )


def to_edge(result: Result, machine: Machine | Gpu) -> Result:
    """A piece's figures with the time of its cycles: the next begins at an edge of the clock.

    What it leaks until there is counted. A GPU's time isn't cut to its clock, nor is a machine's whose clock
    a power cap moves.
    """
    if not isinstance(machine, Machine) or machine.power:
        return result
    latency_s = result.cycles / machine.clock_hz
    leaked = {LEAKAGE: machine.static_w * (latency_s - result.latency_s)} if machine.static_w else {}
    return msgspec.structs.replace(
        result, latency_s=latency_s,
        energy_by=_more(result.energy_by, leaked), energy_beside=_more(result.energy_beside, leaked),
    )  # fmt: skip


def started(result: Result, machine: Machine | Gpu, runs: int | Fraction) -> Result:
    """The first part's figures with those of so many starts: no unit does anything meanwhile."""
    if not isinstance(machine, Machine) or not machine.run_cycles:
        return result
    cycles = math.ceil(machine.run_cycles * runs)
    seconds = run_s(machine) * float(runs)
    whole = result.cycles + cycles
    leaked = {LEAKAGE: machine.static_w * seconds} if machine.static_w else {}
    return msgspec.structs.replace(
        result,
        cycles=whole,
        latency_s=result.latency_s + seconds,
        utilization={unit: share * result.cycles / whole for unit, share in result.utilization.items()},
        stalls=_more(result.stalls, {DISPATCH: cycles}),
        stalls_by_unit={
            unit: _more(lost, {DISPATCH: cycles}) for unit, lost in result.stalls_by_unit.items()
        },
        breakdown_by_unit={
            unit: _more(rows, {DISPATCH: cycles}) for unit, rows in result.breakdown_by_unit.items()
        },
        bound_by=_more(result.bound_by, {"schedule": cycles} if "schedule" in result.bound_by else {}),
        energy_by=_more(result.energy_by, leaked),
        energy_beside=_more(result.energy_beside, leaked),
    )


def _more(table: dict[str, Figure], added: dict[str, Figure]) -> dict[str, Figure]:
    return {**table, **{name: table.get(name, 0) + value for name, value in added.items()}}
