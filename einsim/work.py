"""The work that a cascade asks for, whatever machine does it."""

from __future__ import annotations

from einsim.workloads.cascade import Cascade


def macs(cascade: Cascade) -> int:
    """Multiply-accumulates of the whole cascade: the points of every Einsum that sums products."""
    return sum(cascade.points(einsum.name) for einsum in cascade.einsums if "mac" in einsum.ops)
