"""A mapping judged by the analytical model."""

from __future__ import annotations

from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import legal
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.result import Result
from einsim.workloads.cascade import Cascade

Judged = tuple[Mapping, Result]


def judged(tree: Mapping, cascade: Cascade, machine: Machine) -> Judged | None:
    """A mapping with its analytical result; None where it is not legal."""
    if not legal(tree, cascade, machine):
        return None
    return tree, analyse(lower(tree, cascade, machine), machine)
