"""`simulated`: a GEMM on an array through the event simulator, tile by tile, with SRAM words and stalls.

It is the third of three ways to the same numbers: the closed forms (`einsim.sim.arrays.systolic`), the
stepped array (`einsim.sim.arrays.stepped`), and here a machine, a mapping and a tile program as for any
workload: one SRAM for operands, accumulators behind it in which results are summed (as SCALE-Sim's SRAM for
outputs), one systolic unit of the named convention, and a loop over the array's tiles.
"""

from __future__ import annotations

from typing import Final

import msgspec

from einsim.accel.machine import Machine, OpCost, Unit
from einsim.accel.memory import Memory
from einsim.dataflow.account import Counts
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Mapping, chain, keep
from einsim.dataflow.program import Program
from einsim.dataflow.result import Result
from einsim.sim.arrays.gemm import ArraySpec, Gemm
from einsim.sim.arrays.stalls import Ports
from einsim.sim.engine import Simulation
from einsim.specs.errors import RuleError
from einsim.workloads.notation import parse

CLOCK_HZ: Final = 1_000_000_000
WORD_BYTES: Final = 2  # the notation's 16 bits


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """What the event simulator says of a GEMM on an array.

    cycles: as the convention reports them (`systolic.cycles`), plus stalls. a_reads, b_reads, writes: words
    that crossed the ports (partial sums that the accumulators read back are in the result only).
    stall_cycles: the array waited for a port. result: all else.
    """

    cycles: int
    a_reads: int
    b_reads: int
    writes: int
    stall_cycles: int
    result: Result


def simulated(spec: ArraySpec, gemm: Gemm, ports: Ports | None = None) -> Simulated:
    """Simulates out = a @ b; N:M as SCALE-Sim's layer-wise rule, which shortens k of both.

    Raises RuleError for the "overlapped" convention, whose tiles are not separate, and for N:M in another
    convention than "scale-sim", where a keeps all its values.
    """
    where, named = ("convention",), spec.convention
    if named == "overlapped":
        raise RuleError("must keep tiles apart (scale-sim or edge-aware)", got=named, at=where)
    if gemm.nm is not None and named != "scale-sim":
        raise RuleError("N:M shortens both operands in scale-sim only", got=named, at=where)
    machine, mapping = _machine(spec, ports or Ports()), _mapping(spec, gemm)
    cascade = parse(
        "Z[m,n] = A[m,k] * B[k,n]", name="gemm", sizes={"m": gemm.m, "n": gemm.n, "k": gemm.slots}
    )
    program = lower(mapping, cascade, machine)
    run = Simulation(program, True)
    run.go()
    result = run.result(machine)
    counts: Counts = {actor.op.id: actor.counts for actor in run.actors}
    return Simulated(
        cycles=result.cycles - (1 if spec.convention == "scale-sim" else 0),
        a_reads=_words(program, counts, "A", "read_bytes"),
        b_reads=_words(program, counts, "B", "read_bytes"),
        writes=_words(program, counts, "Z", "write_bytes"),
        stall_cycles=sum(result.stalls_by_unit["array"].values()),
        result=result,
    )


def _machine(spec: ArraySpec, ports: Ports) -> Machine:
    rates = [ports.load_words_per_cycle, ports.store_words_per_cycle]
    read, write = (None if rate is None else round(rate * WORD_BYTES * CLOCK_HZ) for rate in rates)
    sram = Memory(
        name="sram", parent=None, capacity_bytes=None, read_bytes_per_s=read, write_bytes_per_s=None,
        shared_port=False,
    )  # fmt: skip
    sums = Memory(
        name="accumulators", parent="sram", capacity_bytes=None, read_bytes_per_s=None,
        write_bytes_per_s=write, shared_port=False,
    )  # fmt: skip
    array = Unit(
        name="array", kind="systolic", dims={"rows": spec.rows, "cols": spec.cols}, ops={"mac": OpCost()},
        reads_from="sram", dataflows=(spec.dataflow,), convention=spec.convention,
    )  # fmt: skip
    return Machine(
        name="array", family="generic", clock_hz=float(CLOCK_HZ), memories=(sram, sums), units=(array,)
    )


def _mapping(spec: ArraySpec, gemm: Gemm) -> Mapping:
    along = {"output-stationary": "mn", "weight-stationary": "kn", "input-stationary": "km"}[spec.dataflow]
    sizes = {"m": gemm.m, "n": gemm.n, "k": gemm.slots}
    spatial: dict[str, tuple[str, ...]] = {"rows": (along[0],), "cols": (along[1],)}
    tree = chain(
        keep("Z", "accumulators"),
        (along[0], min(spec.rows, sizes[along[0]])),
        (along[1], min(spec.cols, sizes[along[1]])),
        Compute(einsum="Z", unit="array", spatial=spatial, stationarity=spec.dataflow),
    )
    return Mapping(cascade="gemm", machine="array", template="by hand", tree=tree)


def _words(program: Program, counts: Counts, tensor: str, kind: str) -> int:
    moved = sum(
        getattr(access, kind) * times
        for op in program.ops
        if op.kind == "compute"
        for key, times in counts[op.id].items()
        for access in op.costs[key].accesses
        if access.tensor == tensor
    )
    return int(moved) // WORD_BYTES
