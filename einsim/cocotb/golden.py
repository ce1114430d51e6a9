"""A GEMM on an array as a testbench sees it: outputs, cycles, and what to expect where and when."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from einsim.accel.machine import Machine
from einsim.cocotb.mapped import busy_cycles
from einsim.dataflow.mapping import Mapping
from einsim.rtl_models.bench.job import Event
from einsim.sim.arrays.dsp_chain import ChainSpec, chain_cycles
from einsim.sim.arrays.fusemax import FuseMaxSpec, HeadShape, fusemax_cycles
from einsim.sim.arrays.gemm import ArraySpec, Gemm
from einsim.sim.arrays.schedule import COL0, COLS, ROW0, ROWS, START, schedule
from einsim.sim.arrays.sorter import SorterSpec, sorter_cycles
from einsim.sim.arrays.stepped import step
from einsim.sim.arrays.systolic import elapsed
from einsim.specs.arrays import AnyInts
from einsim.workloads.cascade import Cascade


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """What an array must do with a GEMM.

    outputs int64 [m, n]; cycles from the first operand to the edge that stores the last result;
    macs_per_cycle int64 [cycles]; events: every result with its row, column and operands, in the order in
    which an output-stationary array yields them a column (lane), or row by row for other dataflows.
    """

    outputs: npt.NDArray[np.int64]
    cycles: int
    macs_per_cycle: npt.NDArray[np.int64]
    events: list[Event]


def golden_gemm(
    spec: ArraySpec, a: AnyInts, b: AnyInts, *, nm: tuple[int, int] | None = None, accumulator_bits: int = 32,
    timed: bool = True,
) -> Golden:  # fmt: skip
    """Out = a @ b on the array, stepped cycle by cycle; a [m, k], b [k, n] integers of 28 bits at most.

    `timed`: events carry the cycle in which an output-stationary array yields them; other dataflows yield
    partial sums, so that their events are outputs without a cycle. RuleError for operands that don't fit.
    """
    run = step(spec, a, b, nm=nm, accumulator_bits=accumulator_bits)
    gemm = Gemm(m=a.shape[0], n=b.shape[1], k=a.shape[1], nm=nm)
    events = []
    if spec.stationary:
        for m, n in np.ndindex(gemm.m, gemm.n):
            events.append(_event(a, b, run.outputs, m, n, n % spec.cols, None, f"out[{m}, {n}]"))
    else:
        for tile in schedule(spec, gemm):
            for r, c in np.ndindex(int(tile[ROWS]), int(tile[COLS])):
                m, n = int(tile[ROW0]) + r, int(tile[COL0]) + c
                cycle = int(tile[START]) + gemm.slots - 1 + r + c if timed else None
                events.append(_event(a, b, run.outputs, m, n, c, cycle, f"PE ({r}, {c}), out[{m}, {n}]"))
    return Golden(
        outputs=run.outputs, cycles=elapsed(spec, gemm), macs_per_cycle=run.macs_per_cycle, events=events
    )


def cycles_expected(
    spec: ArraySpec | ChainSpec | FuseMaxSpec | SorterSpec | Mapping,
    work: Gemm | HeadShape | Cascade | int,
    *,
    machine: Machine | None = None,
    unit: str = "",
) -> int:
    """Clock cycles of the work on the array, from its first operand to the edge that stores the last result.

    Arrays and chains take a Gemm, FuseMax an HeadShape, the sorter a number of groups. A mapping takes the
    cascade that it maps and the machine: the cycles in which `unit` (the first that it computes on) works.
    TypeError for another pair.
    """
    if isinstance(spec, Mapping) and isinstance(work, Cascade) and machine is not None:
        return busy_cycles(spec, work, machine, unit)
    if isinstance(spec, ArraySpec) and isinstance(work, Gemm):
        return elapsed(spec, work)
    if isinstance(spec, ChainSpec) and isinstance(work, Gemm):
        return chain_cycles(spec, work)
    if isinstance(spec, FuseMaxSpec) and isinstance(work, HeadShape):
        return fusemax_cycles(spec, work)
    if isinstance(spec, SorterSpec) and isinstance(work, int):
        return sorter_cycles(spec, work)
    raise TypeError(f"a {type(spec).__name__} does not run a {type(work).__name__}")


def _event(
    a: AnyInts,
    b: AnyInts,
    outputs: npt.NDArray[np.int64],
    m: int,
    n: int,
    lane: int,
    cycle: int | None,
    where: str,
) -> Event:
    operands = (tuple(int(x) for x in a[m]), tuple(int(x) for x in b[:, n]))
    return Event(cycle=cycle, lane=lane, value=int(outputs[m, n]), where=where, operands=operands)
