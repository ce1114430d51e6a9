"""The baseline: what a part takes at least by a machine's peak and its DRAM's bandwidth alone.

Williams, Waterman, Patterson: Roofline, CACM 52(4), 2009.
"""

from __future__ import annotations

from einsim.accel.machine import Machine
from einsim.accel.widths import issued
from einsim.specs.errors import RuleError
from einsim.workloads.cascade import Cascade
from einsim.workloads.einsum import Einsum
from einsim.workloads.sparsity import stored_bytes


def bound_s(cascade: Cascade, machine: Machine) -> float:
    """Seconds: the larger of multiply-accumulates over the fastest unit's peak at their widths, and bytes of
    inputs and results, each moved once, over the DRAM's rate (0 where that isn't stated).
    """
    products = (einsum for einsum in cascade.einsums if "mac" in einsum.ops)
    work = sum(cascade.points(one.name) / peak_macs_per_s(cascade, one, machine) for one in products)
    rate = machine.dram.read_bytes_per_s
    return max(work, moved_bytes(cascade) / rate if rate else 0.0)


def peak_macs_per_s(cascade: Cascade, einsum: Einsum, machine: Machine) -> float:
    """Of the unit that does them fastest; RuleError where none can."""
    bits = tuple(cascade.tensor(access.tensor).bits for access in einsum.reads)
    found = 0.0
    for unit in machine.units:
        if unit.supports("mac"):
            try:
                ops = issued(unit, "mac", bits)
            except RuleError:
                continue
            cycles = sum(unit.cost(op).cycles for op in ops)
            found = max(found, unit.pes * (unit.clock_hz or machine.clock_hz) / cycles)
    if not found:
        raise RuleError("has no unit for products of these widths", got=bits)
    return found


def moved_bytes(cascade: Cascade) -> int:
    """Inputs and results once; of a table that is looked up, no more than the reads of it."""
    total = sum(stored_bytes(tensor, cascade.elements(tensor.name)) for tensor in cascade.outputs)
    for tensor in cascade.inputs:
        reads = sum(cascade.points(einsum.name) for einsum, _ in cascade.users(tensor.name))
        total += stored_bytes(tensor, min(cascade.elements(tensor.name), reads))
    return total
