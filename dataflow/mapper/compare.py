"""Which of several cascades that compute the same function maps best on a machine.

Cascades are searched in the order of a bound on their latency; one whose bound is no better than what was
found already is left out, which proves that none of its mappings is faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.leaf import cycles_per_point
from einsim.dataflow.mapper.best import Answer
from einsim.dataflow.mapper.makespan import makespan
from einsim.dataflow.result import Result
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One cascade: its answer, or None: no mapping of it is below `bound_s`, or `why` none was found."""

    cascade: Cascade
    answer: Answer | None
    bound_s: float
    why: str = ""


def bound_s(cascade: Cascade, machine: Machine) -> float:
    """Seconds that no mapping is below: the Einsums spread over the units that have their ops, each with all
    of its lanes at work, and inputs and results once through DRAM. 0 where sparsity may save work.
    """
    if any(tensor.sparsity.patterns for tensor in cascade.tensors):
        return 0.0
    rows = []
    for einsum in cascade.einsums:
        units = [unit for unit in machine.units if all(map(unit.supports, einsum.ops))]
        rows.append(
            {
                unit.name: cascade.points(einsum.name) * max(1, cycles_per_point(unit, einsum.ops))
                / unit.pes / (unit.clock_hz or machine.clock_hz)
                for unit in units
            }
        )  # fmt: skip
    busy = makespan([{name: math.floor(time * 1e15) for name, time in row.items()} for row in rows]) / 1e15
    moved = sum(
        cascade.elements(tensor.name) * tensor.bits // 8 for tensor in (*cascade.inputs, *cascade.outputs)
    )
    rate = machine.dram.read_bytes_per_s
    both = rate if machine.dram.shared_port else None
    return max(busy, moved / both if both and not cascade.bounds else 0.0)


def compare(
    cascades: Sequence[Cascade],
    machine: Machine,
    search: Callable[[Cascade], Answer],
    better: Callable[[Result, Result], bool],
    *,
    by_latency: bool,
) -> list[Compared]:
    """Every cascade with its answer, the best first; those that a bound rules out, or of which no mapping
    fits, last, without one. Raises the first EinsimError where no cascade has a mapping.
    """
    bounds = sorted(((bound_s(cascade, machine), at) for at, cascade in enumerate(cascades)))
    found: list[Compared] = []
    skipped: list[Compared] = []
    failed: EinsimError | None = None
    for bound, at in bounds:
        if by_latency and found and bound >= found[0].answer.result.latency_s:  # type: ignore[union-attr]
            skipped.append(Compared(cascade=cascades[at], answer=None, bound_s=bound))
            continue
        try:
            answer = search(cascades[at])
        except EinsimError as mistake:
            skipped.append(Compared(cascade=cascades[at], answer=None, bound_s=bound, why=str(mistake)))
            failed = failed or mistake
            continue
        one = Compared(cascade=cascades[at], answer=answer, bound_s=bound)
        place = next(
            (n for n, other in enumerate(found) if better(answer.result, other.answer.result)),  # type: ignore[union-attr]
            len(found),
        )
        found.insert(place, one)
    if failed is not None and not found:
        raise failed
    return [*found, *skipped]
