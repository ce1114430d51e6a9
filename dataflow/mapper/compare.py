"""Which of several cascades that compute the same function maps best on a machine.

Cascades are searched in the order of a bound on their latency; one whose bound is no better than what was
found already is left out, which proves that none of its mappings is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.mapper.best import Answer
from einsim.dataflow.mapper.bound import least_seconds
from einsim.dataflow.result import Result
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One cascade: its answer, or None: no mapping of it is below `bound_s`, or `why` none was found."""

    cascade: Cascade
    answer: Answer | None
    bound_s: float
    why: str = ""


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
    bounds = sorted(((least_seconds(cascade, machine), at) for at, cascade in enumerate(cascades)))
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
